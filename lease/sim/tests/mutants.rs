//! Every known bug is caught within 1,000 seeds, and the table says by what.

use tenure_sim::kind::Kind;
use tenure_sim::model::Model;
use tenure_sim::mutant::Mutant;
use tenure_sim::mutants::{ALL, INNOCENT, INNOCENT_RECORDS, INNOCENT_SLOTS, RECORDS, SLOTS};
use tenure_sim::report::Failure;
use tenure_sim::run::{BOTH, Run, run_mutant};

const SEEDS: u64 = 1_000;

fn caught(kind: Kind, mutant: &Mutant, seeds: u64) -> Option<Failure> {
    let run = Run { kind, model: mutant.model, start: 0, seeds, modes: BOTH, threads: 1 };
    run_mutant(run, mutant, |_| {}).1
}

/// Every known bug of electors, and of what they rely on.
#[test]
fn every_mutant_is_caught() {
    all_are_caught(Kind::Elector, ALL);
}

/// Every known bug of slots.
#[test]
fn every_mutant_of_slots_is_caught() {
    all_are_caught(Kind::Slots, SLOTS);
}

/// Every known bug of stores over records, by the invariant that its reason says.
#[test]
fn every_mutant_of_records_is_caught() {
    all_are_caught(Kind::Elector, RECORDS);
}

/// Prints mutant, invariant and seeds; one that is not caught fails the test.
fn all_are_caught(kind: Kind, mutants: &[Mutant]) {
    println!("{:<28} {:<28} {:>5}  bug", "mutant", "caught by", "seeds");
    let mut missed = Vec::new();
    for mutant in mutants {
        match caught(kind, mutant, SEEDS) {
            Some(failure) => {
                let by = match failure.violation.through {
                    Some(other) => format!("{other} (no wake-ups)"),
                    None => failure.violation.invariant.to_owned(),
                };
                println!("{:<28} {by:<28} {:>5}  {}", mutant.name, failure.story.seed + 1, mutant.bug);
                let name = failure.violation.through.unwrap_or(failure.violation.invariant);
                if !mutant.caught_by.is_empty() && !mutant.caught_by.contains(&name) {
                    missed.push(mutant.name);
                }
            }
            None => {
                println!("{:<28} {:<28} {SEEDS:>5}  {}", mutant.name, "NOTHING", mutant.bug);
                missed.push(mutant.name);
            }
        }
    }
    assert!(missed.is_empty(), "not caught, or by something else: {missed:?}");
}

/// What the mutants are made of is caught by nothing while no bug is in it.
#[test]
fn the_mutants_parts_are_innocent() {
    let by_age = Mutant { model: Model::Age, ..INNOCENT_RECORDS };
    for (kind, parts, seeds) in [
        (Kind::Elector, INNOCENT, SEEDS),
        (Kind::Slots, INNOCENT_SLOTS, SEEDS),
        (Kind::Elector, INNOCENT_RECORDS, SEEDS / 2),
        (Kind::Slots, by_age, SEEDS / 5),
    ] {
        if let Some(failure) = caught(kind, &parts, seeds) {
            panic!("{failure}");
        }
    }
}
