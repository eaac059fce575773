//! What stands between a process and a server of records: the steps of its verbs, and what it knows. Mutants stand before
//! the real ones.

use std::collections::BTreeMap;

use tenure_core::{HolderId, LeaseKey, LeaseRecord, Nonce, Request};
use tenure_records::{Ask, Memory, Moment, Next, Seen, Step, Swap, Write};
use tenure_store::{StoreError, StoreErrorKind};

/// The verbs of one process on records. Without a socket: what it wants to be read and written comes back as [`Next`].
pub trait Shell {
    /// Begins the verb of this number.
    fn begin(&mut self, at: Moment, verb: u64, ask: Ask) -> Next;
    /// The verb's read was answered.
    fn seen(&mut self, at: Moment, verb: u64, seen: Result<Seen, StoreError>) -> Next;
    /// The verb's write was answered.
    fn swapped(&mut self, at: Moment, verb: u64, swap: Result<Swap, StoreError>) -> Next;
    /// Whoever wanted the verb waits no longer. Its last write may be under way.
    fn dropped(&mut self, verb: u64);
    /// All records were asked for: those that are held, as far as can be proven from here.
    fn listed(&mut self, at: Moment, rows: Vec<(LeaseKey, Seen)>) -> Vec<LeaseRecord>;
    /// The server told of a change. Whether the key has become free by it.
    fn heard(&mut self, at: Moment, key: &LeaseKey, seen: Seen) -> bool;
}

/// The steps and the memory of `tenure-records`, as its store runs them.
#[derive(Debug)]
pub struct RecordShell {
    memory: Memory,
    steps: BTreeMap<u64, Step>,
    /// Who was in each record when it was last heard of.
    known: BTreeMap<LeaseKey, Option<(HolderId, Option<Nonce>)>>,
}

impl RecordShell {
    /// A process that begins, and has seen nothing.
    pub fn new(seed: u64) -> RecordShell {
        RecordShell { memory: Memory::new(seed), steps: BTreeMap::new(), known: BTreeMap::new() }
    }

    fn go_on(&mut self, verb: u64, with: impl FnOnce(&mut Step, &mut Memory) -> Next) -> Next {
        let Some(step) = self.steps.get_mut(&verb) else { return unfit() };
        let next = with(step, &mut self.memory);
        if matches!(next, Next::Done(_)) {
            self.steps.remove(&verb);
        }
        next
    }
}

impl Shell for RecordShell {
    fn begin(&mut self, at: Moment, verb: u64, ask: Ask) -> Next {
        let (step, next) = Step::begin(ask, at, &mut self.memory);
        if !matches!(next, Next::Done(_)) {
            self.steps.insert(verb, step);
        }
        next
    }

    fn seen(&mut self, at: Moment, verb: u64, seen: Result<Seen, StoreError>) -> Next {
        self.go_on(verb, |step, memory| step.seen(at, seen, memory))
    }

    fn swapped(&mut self, at: Moment, verb: u64, swap: Result<Swap, StoreError>) -> Next {
        self.go_on(verb, |step, memory| step.swapped(at, swap, memory))
    }

    fn dropped(&mut self, verb: u64) {
        self.steps.remove(&verb);
    }

    fn listed(&mut self, at: Moment, rows: Vec<(LeaseKey, Seen)>) -> Vec<LeaseRecord> {
        rows.into_iter().filter_map(|(key, seen)| self.memory.listed(at.now, &key, seen)).collect()
    }

    fn heard(&mut self, at: Moment, key: &LeaseKey, seen: Seen) -> bool {
        let tenure = self.memory.heard(at.now, key, seen);
        let is_free = tenure.is_none();
        self.known.insert(key.clone(), tenure) != Some(None) && is_free
    }
}

/// An answer to a verb that is not under way.
pub(crate) fn unfit() -> Next {
    Next::Done(Err(StoreError::new(StoreErrorKind::Corrupt, "an answer to another question")))
}

/// One call to the server.
#[derive(Clone, Debug)]
pub enum Call {
    /// Of one record.
    Read(LeaseKey),
    /// Of one record, at a version.
    Write(Write),
    /// Of all records.
    Scan,
}

/// The answer to a [`Call`] of the same name.
#[derive(Clone, Debug)]
pub enum Reply {
    /// To a read.
    Seen(Result<Seen, StoreError>),
    /// To a write.
    Swapped(Result<Swap, StoreError>),
    /// To a scan.
    Scanned(Result<Vec<(LeaseKey, Seen)>, StoreError>),
}

impl Call {
    /// The answer that it failed.
    pub fn failed(&self, error: StoreError) -> Reply {
        match self {
            Call::Read(_) => Reply::Seen(Err(error)),
            Call::Write(_) => Reply::Swapped(Err(error)),
            Call::Scan => Reply::Scanned(Err(error)),
        }
    }

    /// The answer that none came in time: a read is unavailable, the outcome of a write unknown.
    pub fn late(&self) -> Reply {
        let kind = if matches!(self, Call::Write(_)) { StoreErrorKind::TimedOut } else { StoreErrorKind::Unavailable };
        self.failed(StoreError::new(kind, "no answer in time"))
    }
}

/// What somebody wants of the store.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// A candidate's request, or that of whoever proved its death.
    Request(Request),
    /// That the holder of this key resigns: an operator.
    Resign(LeaseKey),
}

impl Wanted {
    /// What is asked of the key; `None` where all records are asked for.
    pub fn ask(&self) -> Option<Ask> {
        Some(match self {
            Wanted::Request(Request::Acquire(claim)) => Ask::Acquire(claim.clone()),
            Wanted::Request(Request::Renew(held)) => Ask::Renew(held.clone()),
            Wanted::Request(Request::Release(held)) => Ask::Release(held.clone()),
            Wanted::Request(Request::Observe(key)) => Ask::Look(key.clone()),
            Wanted::Request(Request::List { .. }) => return None,
            Wanted::Resign(key) => Ask::RequestResign(key.clone()),
        })
    }
}
