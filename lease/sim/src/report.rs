//! The report: what a set of simulations did, and what went wrong in it.

use std::fmt;

use crate::faults::KINDS;
use crate::kind::Kind;
use crate::mode::Mode;
use crate::model::Model;
use crate::true_time::{Nanos, SECOND};

/// What happened, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Simulations.
    pub runs: u64,
    /// Simulated time.
    pub simulated: u128,
    /// Events played.
    pub events: u64,
    /// Tenures that began to work.
    pub elections: u64,
    /// Faults by kind, in the order of [`KINDS`].
    pub faults: [u64; KINDS.len()],
    /// Messages lost.
    pub lost: u64,
    /// Messages that came late.
    pub late: u64,
    /// Messages that came twice.
    pub doubled: u64,
    /// Writes that the sink admitted.
    pub admitted: u64,
    /// Writes that the sink refused.
    pub refused: u64,
    /// The longest time, after the faults had stopped, until somebody led for good.
    pub slowest_recovery: Nanos,
    /// The seed that took it.
    pub slowest_seed: u64,
    /// The longest overlap that had to be expected, outside the fault model.
    pub longest_overlap: Nanos,
}

impl Counts {
    /// Adds the counts of other simulations.
    pub fn add(&mut self, other: &Counts) {
        self.runs += other.runs;
        self.simulated += other.simulated;
        self.events += other.events;
        self.elections += other.elections;
        for (mine, theirs) in self.faults.iter_mut().zip(other.faults) {
            *mine += theirs;
        }
        self.lost += other.lost;
        self.late += other.late;
        self.doubled += other.doubled;
        self.admitted += other.admitted;
        self.refused += other.refused;
        if self.slowest_recovery < other.slowest_recovery {
            (self.slowest_recovery, self.slowest_seed) = (other.slowest_recovery, other.slowest_seed);
        }
        self.longest_overlap = self.longest_overlap.max(other.longest_overlap);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated as f64 / SECOND as f64 / 3_600.0;
        writeln!(f, "simulations      {:>12}", self.runs)?;
        writeln!(f, "simulated hours  {hours:>12.1}")?;
        writeln!(f, "events           {:>12}", self.events)?;
        writeln!(f, "elections        {:>12}", self.elections)?;
        writeln!(f, "faults")?;
        for (kind, count) in KINDS.iter().zip(self.faults) {
            writeln!(f, "  {kind:<18} {count:>8}")?;
        }
        for (kind, count) in
            [("messages lost", self.lost), ("messages late", self.late), ("messages doubled", self.doubled)]
        {
            writeln!(f, "  {kind:<18} {count:>8}")?;
        }
        writeln!(f, "writes admitted  {:>12}", self.admitted)?;
        writeln!(f, "writes refused   {:>12}", self.refused)?;
        let recovery = self.slowest_recovery as f64 / SECOND as f64;
        writeln!(f, "slowest recovery {recovery:>10.3} s (seed {})", self.slowest_seed)?;
        write!(f, "longest overlap  {:>10.3} s", self.longest_overlap as f64 / SECOND as f64)
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name, which is its file's.
    pub invariant: &'static str,
    /// The invariant that was broken first, where this one asks others in a run of its own.
    pub through: Option<&'static str>,
    /// When.
    pub at: Nanos,
    /// What happened, in a sentence.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken at {:.6} s: {}", self.invariant, self.at as f64 / SECOND as f64, self.what)
    }
}

/// How a simulation went.
#[derive(Debug)]
pub struct Outcome {
    /// What happened, counted.
    pub counts: Counts,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// The trace, where it was wanted.
    pub trace: Vec<String>,
}

/// What a seed tells a story of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Story {
    /// The seed.
    pub seed: u64,
    /// Which machine candidates run.
    pub kind: Kind,
    /// Which model of the store they ask.
    pub model: Model,
    /// Which faults may happen.
    pub mode: Mode,
}

/// A seed that broke a promise, and how to see it again.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which.
    pub story: Story,
    /// What it broke.
    pub violation: Violation,
    /// What happened until then.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        let Story { seed, kind, model, mode } = self.story;
        write!(f, "FAILED: {kind}, {model}, seed {seed}, {mode}: {}", self.violation)
    }
}
