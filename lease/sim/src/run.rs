//! Runs: many seeds on several threads, and one seed for a reader.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::invariants::wakes_are_hints;
use crate::kind::Kind;
use crate::mode::Mode;
use crate::model::Model;
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::report::{Counts, Failure, Outcome, Story, Violation};
use crate::world::play;

/// Which seeds to play, and how.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Which machine candidates run.
    pub kind: Kind,
    /// Which model of the store they ask.
    pub model: Model,
    /// The first seed.
    pub start: u64,
    /// How many.
    pub seeds: u64,
    /// The modes to play each seed in.
    pub modes: &'static [Mode],
    /// On how many threads.
    pub threads: usize,
}

/// Both modes.
pub const BOTH: &[Mode] = &[Mode::Inside, Mode::Outside];

/// Plays the seeds of `run` with honest parts until one fails; what was counted, and the failure of the lowest seed
/// that was found. `progress` is called now and then with the number of seeds done.
pub fn run(run: Run, progress: impl Fn(u64) + Sync) -> (Counts, Option<Failure>) {
    run_mutant(run, &Mutant::HONEST, progress)
}

/// As [`run()`], with a mutant among the parts.
pub fn run_mutant(run: Run, mutant: &Mutant, progress: impl Fn(u64) + Sync) -> (Counts, Option<Failure>) {
    let next = AtomicU64::new(run.start);
    let stop = AtomicBool::new(false);
    let end = run.start.saturating_add(run.seeds);
    let total = Mutex::new((Counts::default(), None::<(u64, Mode)>));
    thread::scope(|scope| {
        for _ in 0..run.threads.max(1) {
            scope.spawn(|| {
                let mut counts = Counts::default();
                let mut failed = None;
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    for mode in run.modes {
                        let (outcomes, violation) =
                            explore(Story { seed, kind: run.kind, model: run.model, mode: *mode }, mutant, false);
                        outcomes.iter().for_each(|outcome| counts.add(&outcome.counts));
                        if violation.is_some() && failed.is_none() {
                            failed = Some((seed, *mode));
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    let done = seed - run.start + 1;
                    if done.is_multiple_of(10_000) {
                        progress(done);
                    }
                }
                let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                total.0.add(&counts);
                total.1 = match (total.1, failed) {
                    (Some(a), Some(b)) => Some(if a.0 <= b.0 { a } else { b }),
                    (a, b) => a.or(b),
                };
            });
        }
    });
    let (counts, failed) = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failure =
        failed.and_then(|(seed, mode)| trace(Story { seed, kind: run.kind, model: run.model, mode }, mutant).1);
    (counts, failure)
}

/// Plays one seed for a reader: the trace of the run that failed, or of the one with wake-ups where none did.
pub fn trace(story: Story, mutant: &Mutant) -> (Vec<String>, Option<Failure>) {
    let (mut outcomes, violation) = explore(story, mutant, true);
    let Some(violation) = violation else {
        return (outcomes.swap_remove(0).trace, None);
    };
    let trace = outcomes.pop().map(|outcome| outcome.trace).unwrap_or_default();
    (trace.clone(), Some(Failure { story, violation, trace }))
}

/// Plays one seed with wake-ups and, where that goes well, without.
fn explore(story: Story, mutant: &Mutant, trace: bool) -> (Vec<Outcome>, Option<Violation>) {
    let plan = Plan::new(story.seed, story.mode, story.kind, story.model);
    let with = play(&plan, mutant, true, trace);
    if let Some(violation) = with.violation.clone() {
        return (vec![with], Some(violation));
    }
    let without = play(&plan, mutant, false, trace);
    let violation = without.violation.clone().map(wakes_are_hints::broken_without);
    (vec![with, without], violation)
}
