//! Electors and slots as they are: some seeds in each mode, and the promise that a seed repeats itself.

use tenure_sim::kind::Kind;
use tenure_sim::mode::Mode;
use tenure_sim::mutant::Mutant;
use tenure_sim::mutants::ALL;
use tenure_sim::run::{BOTH, Run, run, trace};

/// 2,000 seeds in each mode break nothing. Far more are played by the binary.
#[test]
fn seeds_of_electors_pass() {
    seeds_pass(Kind::Elector);
}

/// As for electors, with two to four keys in place of one.
#[test]
fn seeds_of_slots_pass() {
    seeds_pass(Kind::Slots);
}

fn seeds_pass(kind: Kind) {
    let (counts, failure) = run(Run { kind, start: 1_000_000, seeds: 2_000, modes: BOTH, threads: 2 }, |_| {});
    println!("{counts}");
    if let Some(failure) = failure {
        panic!("{failure}");
    }
    assert_eq!(counts.runs, 8_000);
    assert!(counts.simulated >= 8_000 * 60_000_000_000);
    assert!(counts.faults.iter().all(|count| *count > 0), "{counts}");
    assert!(counts.lost > 0 && counts.late > 0 && counts.doubled > 0, "{counts}");
}

/// Inside the fault model nothing ever overlaps; outside it does, or the second mode would show nothing.
#[test]
fn overlaps_happen_outside_the_fault_model_only() {
    let longest = |kind, mode: &'static [Mode]| {
        run(Run { kind, start: 0, seeds: 150, modes: mode, threads: 2 }, |_| {}).0.longest_overlap
    };
    for kind in [Kind::Elector, Kind::Slots] {
        assert_eq!(longest(kind, &[Mode::Inside]), 0);
        assert!(longest(kind, &[Mode::Outside]) > 0);
    }
}

/// A seed tells the same story twice, word for word, and other seeds tell others.
#[test]
fn a_seed_repeats_itself() {
    for (kind, mode) in
        [Kind::Elector, Kind::Slots].into_iter().flat_map(|kind| BOTH.iter().map(move |mode| (kind, *mode)))
    {
        let (first, _) = trace(7, kind, mode, &Mutant::HONEST);
        assert!(first.len() > 100);
        assert_eq!(first, trace(7, kind, mode, &Mutant::HONEST).0);
        assert_ne!(first, trace(8, kind, mode, &Mutant::HONEST).0);
    }
}

/// The trace that a failing run prints is the one that its seed prints alone, broken promise and all.
#[test]
fn a_failure_repeats_itself() {
    let mutant = ALL.iter().find(|mutant| mutant.name == "flag_not_deadline").expect("it is in the list");
    let many = Run { kind: Kind::Elector, start: 0, seeds: 100, modes: BOTH, threads: 2 };
    let (_, failure) = tenure_sim::run::run_mutant(many, mutant, |_| {});
    let failure = failure.expect("this mutant is caught");
    let (lines, again) = trace(failure.seed, failure.kind, failure.mode, mutant);
    assert_eq!(lines, failure.trace);
    let again = again.expect("a seed that failed fails again");
    assert_eq!(again.violation, failure.violation);
    assert!(lines.last().is_some_and(|line| line.contains("broken at")), "{:?}", lines.last());
}
