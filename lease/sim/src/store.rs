//! The store as the simulator sees it: single atomic steps on an injected clock.

use tenure_core::{Answer, LeaseKey, Request, Time};

use crate::true_time::Nanos;

/// A moment on the store's clocks.
#[derive(Clone, Copy, Debug)]
pub struct StoreTime {
    /// Monotonic: judges expiry.
    pub now: Time,
    /// Wall clock, microseconds since 1970: seeds terms.
    pub micros: u64,
}

/// Something for the store to do, in one atomic step.
#[derive(Clone, Debug)]
pub struct Op {
    /// What was asked.
    pub request: Request,
    /// Zero for a fresh request. Only mutants use others, for stores that need several steps for one request.
    pub stage: u8,
    /// What a mutant remembers between its steps.
    pub carry: u64,
}

impl Op {
    /// A fresh request.
    pub fn new(request: Request) -> Self {
        Op { request, stage: 0, carry: 0 }
    }
}

/// What one atomic step led to.
#[derive(Clone, Debug)]
pub enum Step {
    /// The answer to the request.
    Answer(Answer),
    /// The request is not done: the store goes on with this after that time. Only mutants do.
    Later(Nanos, Op),
}

/// A store, as the simulator sees it.
pub trait Store {
    /// Performs one atomic step.
    fn step(&mut self, at: StoreTime, op: Op) -> Step;
    /// Asks whoever holds `key` to resign.
    fn request_resign(&mut self, at: StoreTime, key: &LeaseKey);
    /// Loses every record.
    fn forget(&mut self);
    /// Keeps what it knows now for [`Store::come_back`].
    fn save(&mut self);
    /// Comes back from a restart.
    fn come_back(&mut self, at: StoreTime, with: State);
    /// The place in the order of tenures of the tenure that was granted last: counts the moments at which a record
    /// changed hands, not the moments at which terms were minted.
    fn last_grant(&self) -> u64;
    /// How many leases it keeps that have not run out.
    fn kept(&self, now: Time) -> usize;
}

/// What a store knows after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// What it had saved last; nothing, where it never did. It knows that this may not be all.
    Saved,
    /// Nothing, and it knows that this may not be all.
    Empty,
    /// What it had saved last, which it takes for all. Outside the fault model: a replica that was behind, a file that was
    /// put back.
    TakenForAll,
}
