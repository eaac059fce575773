//! The worker: the work of one tenure, which can go on after it was told to stop.

use tenure_core::{Nonce, Term, Time};

use crate::tenure::Tenure;
use crate::true_time::Nanos;

/// The work of one tenure.
///
/// It acts only while it believes itself current: a comparison of its own clock with the deadline it was last told, made
/// before each act. It does not end by itself at the deadline; its watchdog kills it.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The host it runs on.
    pub host: usize,
    /// The process that started it.
    pub process: u64,
    /// The place of its tenure's key.
    pub slot: usize,
    /// The tenure's term.
    pub term: Term,
    /// The tenure's nonce.
    pub nonce: Nonce,
    /// The moment, on its host's clock, at which it must be dead.
    pub deadline: Time,
    /// When it was started.
    pub started: Nanos,
    /// What it was told last.
    pub phase: Phase,
}

/// What a worker was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// To work.
    Working,
    /// To stop by itself. It still acts, to finish what it began.
    Draining,
    /// It was killed, and dies any moment.
    Dying,
    /// Nothing of it is left.
    Dead,
}

impl Worker {
    /// The tenure that it works for.
    pub fn tenure(&self) -> Tenure {
        Tenure { slot: self.slot, nonce: self.nonce, term: self.term }
    }

    /// Whether anything of it is left.
    pub fn is_alive(&self) -> bool {
        self.phase != Phase::Dead
    }

    /// Whether it would act at `local`, the time on its host's clock. A dying worker may be in the middle of an act, so
    /// it counts.
    pub fn believes_itself_current(&self, local: Time) -> bool {
        self.is_alive() && local < self.deadline
    }
}
