//! Electors and slots as they are: some seeds in each mode, and the promise that a seed repeats itself.

use tenure_sim::kind::Kind;
use tenure_sim::mode::Mode;
use tenure_sim::model::Model;
use tenure_sim::mutant::Mutant;
use tenure_sim::mutants::ALL;
use tenure_sim::report::Story;
use tenure_sim::run::{BOTH, Run, run, trace};

/// 2,000 seeds in each mode break nothing. Far more are played by the binary.
#[test]
fn seeds_of_electors_pass() {
    seeds_pass(Kind::Elector, Model::Scripted, 2_000);
}

/// As for electors, with two to four keys in place of one.
#[test]
fn seeds_of_slots_pass() {
    seeds_pass(Kind::Slots, Model::Scripted, 2_000);
}

/// Fewer on records whose server tells their age, with the same promises.
#[test]
fn seeds_of_records_by_age_pass() {
    seeds_pass(Kind::Elector, Model::Age, 700);
    seeds_pass(Kind::Slots, Model::Age, 300);
}

/// And where nothing but silence tells that a holder is gone.
#[test]
fn seeds_of_records_by_silence_pass() {
    seeds_pass(Kind::Elector, Model::Silence, 700);
    seeds_pass(Kind::Slots, Model::Silence, 300);
}

fn seeds_pass(kind: Kind, model: Model, seeds: u64) {
    let (counts, failure) = run(Run { kind, model, start: 1_000_000, seeds, modes: BOTH, threads: 2 }, |_| {});
    println!("{counts}");
    if let Some(failure) = failure {
        panic!("{failure}");
    }
    assert_eq!(counts.runs, seeds * 4);
    assert!(counts.simulated >= u128::from(counts.runs) * 60_000_000_000);
    assert!(counts.faults.iter().all(|count| *count > 0), "{counts}");
    assert!(counts.lost > 0 && counts.late > 0 && counts.doubled > 0, "{counts}");
}

/// Inside the fault model nothing ever overlaps; outside it does, or the second mode would show nothing.
#[test]
fn overlaps_happen_outside_the_fault_model_only() {
    let longest = |kind, model, mode: &'static [Mode]| {
        run(Run { kind, model, start: 0, seeds: 150, modes: mode, threads: 2 }, |_| {}).0.longest_overlap
    };
    for (kind, model) in everything() {
        assert_eq!(longest(kind, model, &[Mode::Inside]), 0);
        assert!(longest(kind, model, &[Mode::Outside]) > 0);
    }
}

/// A seed tells the same story twice, word for word, and other seeds tell others.
#[test]
fn a_seed_repeats_itself() {
    for ((kind, model), mode) in everything().flat_map(|what| BOTH.iter().map(move |mode| (what, *mode))) {
        let story = Story { seed: 7, kind, model, mode };
        let (first, _) = trace(story, &Mutant::HONEST);
        assert!(first.len() > 100);
        assert_eq!(first, trace(story, &Mutant::HONEST).0);
        assert_ne!(first, trace(Story { seed: 8, ..story }, &Mutant::HONEST).0);
    }
}

fn everything() -> impl Iterator<Item = (Kind, Model)> {
    Model::ALL.into_iter().flat_map(|model| [Kind::Elector, Kind::Slots].map(|kind| (kind, model)))
}

/// The trace that a failing run prints is the one that its seed prints alone, broken promise and all.
#[test]
fn a_failure_repeats_itself() {
    let mutant = ALL.iter().find(|mutant| mutant.name == "flag_not_deadline").expect("it is in the list");
    let many = Run { kind: Kind::Elector, model: Model::Scripted, start: 0, seeds: 100, modes: BOTH, threads: 2 };
    let (_, failure) = tenure_sim::run::run_mutant(many, mutant, |_| {});
    let failure = failure.expect("this mutant is caught");
    let (lines, again) = trace(failure.story, mutant);
    assert_eq!(lines, failure.trace);
    let again = again.expect("a seed that failed fails again");
    assert_eq!(again.violation, failure.violation);
    assert!(lines.last().is_some_and(|line| line.contains("broken at")), "{:?}", lines.last());
}
