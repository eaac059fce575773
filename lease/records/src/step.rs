//! One verb on one key, as a machine without a socket and a clock: it says what to read or write next, is told what came
//! of it, and knows what was seen before.
//!
//! The first way is short where this process knows what stands there: one conditional write, which the server refuses if
//! that is not so any more. Otherwise the record is read, the step of all stores is taken on it, and what that has changed
//! is written back where the record is still the one that was read.

use std::time::Duration;

use tenure_store::record::{Content, Occupancy, Record};
use tenure_store::{
    Change, Claim, ClaimTime, Claimed, Held, HolderId, LeaseKey, LeaseRecord, Nonce, Released, Renewed, StoreError,
    StoreErrorKind, Term, Time,
};

use crate::observations::{By, Observations, Observed};
use crate::records::{Place, Seen, Swap, Write};

/// What a caller of the store asks of one key.
#[derive(Clone, Debug)]
pub enum Ask {
    /// See [`tenure_store::LeaseStore::acquire`].
    Acquire(Claim),
    /// See [`tenure_store::LeaseStore::renew`].
    Renew(Held),
    /// See [`tenure_store::LeaseStore::release`].
    Release(Held),
    /// See [`tenure_store::LeaseStore::request_resign`].
    RequestResign(LeaseKey),
    /// See [`tenure_store::LeaseStore::remove`].
    Remove(LeaseKey),
    /// See [`tenure_store::LeaseStore::record`] and [`tenure_store::LeaseStore::last_term`].
    Look(LeaseKey),
}

/// The answer to an [`Ask`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// To a claim.
    Claimed(Claimed),
    /// To a renewal.
    Renewed(Renewed),
    /// To a release.
    Released(Released),
    /// To a request to resign.
    ResignRequested(bool),
    /// To a removal.
    Removed(Option<LeaseRecord>),
    /// To a look: the lease that is held, and the term record.
    Looked(Option<LeaseRecord>, Option<Term>),
}

/// What is to be done next.
#[derive(Clone, Debug)]
pub enum Next {
    /// Read the place, then call [`Step::seen`].
    Read(Place),
    /// Do this write, then call [`Step::swapped`].
    Write(Write),
    /// Nothing: this is the answer.
    Done(Result<Told, StoreError>),
}

/// The clocks of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// A clock that counts through sleep, of the process that asks.
    pub now: Time,
    /// Its wall clock in microseconds since 1970: seeds terms where the server tells no time.
    pub wall_micros: u64,
}

/// What the steps of one process know together: bounded, and forgotten with the process.
#[derive(Debug)]
pub struct Memory {
    pub(crate) observations: Observations,
    /// The next [`Record::beat`].
    beat: u64,
    /// What the server's wall clock told last, in microseconds since 1970, and when that came.
    server_clock: Option<(u64, Time)>,
    /// Since when the server knows of every write, where it may have lost some before.
    complete_since: Option<Time>,
}

impl Memory {
    /// Nothing is known yet. `seed` is random: records that two processes write have different beats.
    pub fn new(seed: u64) -> Memory {
        Memory {
            observations: Observations::new(Observations::LIMIT),
            beat: seed,
            server_clock: None,
            complete_since: None,
        }
    }

    fn beat(&mut self) -> u64 {
        self.beat = self.beat.wrapping_add(1);
        self.beat
    }

    /// A list showed this. Answers the lease, where somebody holds it as far as can be proven from here.
    pub fn listed(&mut self, now: Time, key: &LeaseKey, seen: Seen) -> Option<LeaseRecord> {
        self.saw(now, None, key, By::Other, seen).slot(now).record(now, key)
    }

    /// The server told of this change. Answers who is in the record, expired or not, and under which nonce: what tells one
    /// tenure from the next.
    pub fn heard(&mut self, now: Time, key: &LeaseKey, seen: Seen) -> Option<(HolderId, Option<Nonce>)> {
        let observed = self.saw(now, None, key, By::Other, seen);
        observed.record?.holder().map(|(holder, nonce)| (holder.clone(), nonce))
    }

    fn saw(&mut self, now: Time, asked: Option<Time>, key: &LeaseKey, by: By, seen: Seen) -> Observed {
        if let Some(micros) = seen.server_micros {
            // What was asked for after the last answer had come is later, also where the clock was set back. Of two answers that
            // may have overtaken each other the higher one counts.
            let rival =
                self.server_clock.filter(|(told, came)| *told > micros && asked.is_none_or(|asked| asked < *came));
            self.server_clock = Some(rival.unwrap_or((micros, now)));
        }
        // The time counts from the receipt, so that it begins rather too late. An answer that was overtaken undoes nothing.
        self.complete_since = self.complete_since.max(seen.complete_for.map(|told| now - told));
        self.observations.read(now, key, by, seen)
    }

    /// What seeds a term: what the server's clock has told, where it tells, else the clock of whoever claims. Nobody counts on
    /// from what was told, for no term may be ahead of the server: one that comes back with an older state gives its terms
    /// out by its clock alone, and whoever claims then has read it since.
    fn clock_micros(&self, at: Moment) -> u64 {
        self.server_clock.map_or(at.wall_micros, |(told, _)| told)
    }
}

/// One verb under way.
#[derive(Debug)]
pub struct Step {
    ask: Ask,
    conflicts: u8,
    /// When the read or write was asked for that is under way.
    asked: Time,
    /// What was sent and not answered yet.
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    record: Record,
    told: Told,
}

/// How often a record may change between the read and the write.
const CONFLICTS: u8 = 3;

impl Step {
    /// Begins; says what to do first.
    pub fn begin(ask: Ask, at: Moment, memory: &mut Memory) -> (Step, Next) {
        let mut step = Step { ask, conflicts: 0, asked: at.now, pending: None };
        let next = step.short_way(at, memory).unwrap_or_else(|| step.read(at));
        (step, next)
    }

    /// The read was answered.
    pub fn seen(&mut self, at: Moment, seen: Result<Seen, StoreError>, memory: &mut Memory) -> Next {
        match seen {
            Ok(seen) => {
                let observed = memory.saw(at.now, Some(self.asked), self.key(), self.by(), seen);
                self.take(at, &observed, memory)
            }
            // Nothing was written: whatever the error says of itself, the outcome is not in doubt.
            Err(error) if error.is_outcome_unknown() => {
                Next::Done(Err(StoreError::new(StoreErrorKind::Unavailable, error.to_string())))
            }
            Err(error) => Next::Done(Err(error)),
        }
    }

    /// The write was answered.
    pub fn swapped(&mut self, at: Moment, swap: Result<Swap, StoreError>, memory: &mut Memory) -> Next {
        let key = self.key().clone();
        let Some(Pending { record, told }) = self.pending.take() else {
            let error = StoreError::new(StoreErrorKind::Corrupt, "an answer to a write that was not sent");
            return Next::Done(Err(error));
        };
        match swap {
            Ok(Swap::Done(version)) => {
                memory.observations.wrote(at.now, &key, self.by(), self.asked, (version, record));
                Next::Done(Ok(told))
            }
            Ok(Swap::Conflict(found)) => {
                self.conflicts += 1;
                if self.conflicts > CONFLICTS {
                    memory.observations.doubt(&key);
                    let message = format!("the record of {key} was changed by others {CONFLICTS} times meanwhile");
                    return Next::Done(Err(StoreError::new(StoreErrorKind::Unavailable, message)));
                }
                match found {
                    Some(seen) => self.seen(at, Ok(seen), memory),
                    None => self.read(at),
                }
            }
            Err(error) => {
                // It may have been done, or be done later: what was known need not stand there any more, and the write is not
                // repeated. Whoever asks again begins with a read.
                if error.is_outcome_unknown() {
                    memory.observations.doubt(&key);
                }
                Next::Done(Err(error))
            }
        }
    }

    /// One write without a read, where it is known what stands there and what is to come of it. A refusal is never believed
    /// from memory alone.
    fn short_way(&mut self, at: Moment, memory: &mut Memory) -> Option<Next> {
        let known = memory.observations.get(self.key(), self.by())?.clone();
        let occupant = known.record.as_ref().and_then(Record::occupant);
        let ttl = occupant.map_or(Duration::ZERO, |occupant| occupant.ttl);
        // Nobody writes to a bound record while it lasts, so that what is known of it may be days old. A server that came back
        // with an older state meanwhile may have given its version to another record; who owns the key reads it again and
        // again, and has seen it not long ago.
        let is_old = occupant.is_some_and(|occupant| occupant.bound.is_some()) && known.read_at + ttl <= at.now;
        if known.version.is_none() || known.in_doubt || is_old {
            return None;
        }
        // Past this moment somebody may have been granted the key already.
        let in_time = known.sent.is_some_and(|sent| at.now < sent + ttl);
        let is_of = |held| known.record.as_ref().is_some_and(|record| record.is_of(held));
        match &self.ask {
            Ask::Acquire(_) => {}
            Ask::Renew(held) if in_time && is_of(held) => {}
            Ask::Release(held) if is_of(held) => {}
            _ => return None,
        }
        match self.take(at, &known, memory) {
            next @ Next::Write(_) => Some(next),
            _ => {
                self.pending = None;
                None
            }
        }
    }

    /// Takes the step on what stands there.
    fn take(&mut self, at: Moment, observed: &Observed, memory: &mut Memory) -> Next {
        let mut slot = observed.slot(at.now);
        let (told, change) = match &self.ask {
            Ask::Acquire(claim) => {
                let clock_micros = memory.clock_micros(at);
                let moment = ClaimTime { now: at.now, clock_micros, complete_since: memory.complete_since };
                match slot.acquire(moment, claim) {
                    Ok((claimed, change)) => (Told::Claimed(claimed), change),
                    Err(error) => return Next::Done(Err(error)),
                }
            }
            Ask::Renew(held) => {
                let (renewed, change) = slot.renew(at.now, held);
                (Told::Renewed(renewed), change)
            }
            Ask::Release(held) => {
                let (released, change) = slot.release(held);
                (Told::Released(released), change)
            }
            Ask::RequestResign(_) => {
                // A second request changes nothing, and so does not make the record of a dead holder look alive; one to a record
                // that is over, of whoever it was, changes nothing either.
                let before = slot.tenure.clone();
                let asked = slot.request_resign(at.now);
                (Told::ResignRequested(asked), if slot.tenure == before { Change::Nothing } else { Change::Extended })
            }
            Ask::Remove(key) => {
                let is_free = observed.record.as_ref().is_none_or(|record| record.occupancy == Occupancy::Nobody);
                let change = if is_free { Change::Nothing } else { Change::ChangedHands };
                (Told::Removed(slot.remove(at.now, key)), change)
            }
            Ask::Look(key) => (Told::Looked(slot.record(at.now, key), slot.term), Change::Nothing),
        };
        if change == Change::Nothing {
            return Next::Done(Ok(told));
        }
        let claim = if let Ask::Acquire(claim) = &self.ask { Some(claim) } else { None };
        let record = Record::of(slot, observed.record.as_ref(), claim, memory.beat());
        let to = Some(Content::Lease(record.clone()));
        self.pending = Some(Pending { record, told });
        self.asked = at.now;
        Next::Write(Write { place: self.place(), expected: observed.version.clone(), to })
    }

    fn read(&mut self, at: Moment) -> Next {
        self.asked = at.now;
        Next::Read(self.place())
    }

    fn key(&self) -> &LeaseKey {
        match &self.ask {
            Ask::Acquire(claim) => &claim.key,
            Ask::Renew(held) | Ask::Release(held) => &held.key,
            Ask::RequestResign(key) | Ask::Remove(key) | Ask::Look(key) => key,
        }
    }

    fn by(&self) -> By {
        if matches!(self.ask, Ask::Acquire(_)) { By::Claim } else { By::Other }
    }

    fn place(&self) -> Place {
        Place::lease(self.key())
    }
}
