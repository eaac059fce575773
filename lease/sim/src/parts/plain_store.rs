//! A store that is simple enough to get wrong: a record per key with holder, nonce, term and expiry, and a counter for terms.
//!
//! Its honest steps are [`Table::step`]. A mutant replaces the step as a whole, and falls back to the honest one for all that
//! it is not about. The store knows no requests to resign, and a restart loses nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{
    Answer, Claim, Claimed, Failure, Held, HolderId, LeaseKey, LeaseRecord, Nonce, RecordFormat, Released, Renewed,
    Request, Term, Time,
};

use crate::rng::Rng;
use crate::store::{Op, State, Step, Store, StoreTime};
use crate::true_time::{MS, Nanos, SECOND};

/// What a mutant does in place of [`Table::step`].
type StepFn = fn(&mut Table, StoreTime, Op) -> Step;

/// The store whose steps are `step`.
pub(crate) fn with(step: StepFn) -> Box<dyn Store> {
    Box::new(PlainStore { table: Table::new(), step })
}

struct PlainStore {
    table: Table,
    step: StepFn,
}

impl Store for PlainStore {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        (self.step)(&mut self.table, at, op)
    }

    fn request_resign(&mut self, _at: StoreTime, _key: &LeaseKey) {}

    fn forget(&mut self) {
        self.table.records.clear();
    }

    fn save(&mut self) {}

    fn come_back(&mut self, _at: StoreTime, _with: State) {}

    fn last_grant(&self) -> u64 {
        self.table.answered
    }

    fn kept(&self, now: Time) -> usize {
        self.table.records.values().filter(|record| now < record.expires).count()
    }
}

/// What the store keeps.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) records: BTreeMap<LeaseKey, Record>,
    /// The highest term given out.
    pub(crate) counter: u64,
    /// How often a record changed hands.
    grants: u64,
    /// The place among all grants of the tenure that was granted last.
    answered: u64,
    pub(crate) rng: Rng,
}

/// One lease. It stays when it has expired, until the next claim overwrites it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) holder: HolderId,
    pub(crate) nonce: Nonce,
    /// Only mutants write a record before its term is known.
    pub(crate) term: Option<Term>,
    pub(crate) expires: Time,
    /// Its place among all grants.
    pub(crate) grant: u64,
}

impl Table {
    fn new() -> Self {
        Table { records: BTreeMap::new(), counter: 0, grants: 0, answered: 0, rng: Rng::new(1, 99) }
    }

    // ---- honest steps --------------------------------------------------------------------------------------------

    /// The honest step: whatever is asked is done at once.
    pub(crate) fn step(&mut self, at: StoreTime, op: Op) -> Step {
        Step::Answer(match &op.request {
            Request::Acquire(claim) => self.acquire(at, claim),
            Request::Renew(held) => Answer::Renewed(self.renew(at.now, held)),
            Request::Release(held) => Answer::Released(self.release(held)),
            Request::Observe(key) => Answer::Observed(self.observe(at.now, key)),
            // The table serves one key, and nobody lists that.
            Request::List { .. } => Answer::Listed(Vec::new()),
        })
    }

    /// Answers a claim: a free key is granted under a new term.
    pub(crate) fn acquire(&mut self, at: StoreTime, claim: &Claim) -> Answer {
        self.acquire_under(at, claim, |table| table.mint(at.micros))
    }

    /// Answers a claim: a free key is granted under the term that `mint` gives.
    pub(crate) fn acquire_under(
        &mut self,
        at: StoreTime,
        claim: &Claim,
        mint: impl FnOnce(&mut Table) -> Option<Term>,
    ) -> Answer {
        if let Some(answer) = self.not_free(at.now, claim) {
            return answer;
        }
        let term = mint(self);
        let grant = self.write(at.now, claim, term);
        self.granted(grant, term)
    }

    /// Answers a claim of a key that is not free: held by another claimant, or extended for the same one.
    pub(crate) fn not_free(&mut self, now: Time, claim: &Claim) -> Option<Answer> {
        let record = self.current(now, &claim.key)?;
        if record.nonce != claim.nonce || record.term.is_none() {
            return Some(self.held(now, &claim.key));
        }
        let (grant, term) = (record.grant, record.term);
        if let Some(record) = self.records.get_mut(&claim.key) {
            record.expires = now + claim.ttl;
        }
        Some(self.granted(grant, term))
    }

    fn renew(&mut self, now: Time, held: &Held) -> Renewed {
        let to = self.current(now, &held.key).map(|record| record.holder.clone());
        match self.records.get_mut(&held.key) {
            Some(record) if record.nonce == held.nonce && now < record.expires => {
                record.expires = now + held.ttl;
                Renewed::Extended { resign_requested: false }
            }
            _ => Renewed::Lost { to },
        }
    }

    fn release(&mut self, held: &Held) -> Released {
        if self.records.get(&held.key).is_some_and(|record| record.nonce == held.nonce) {
            self.records.remove(&held.key);
            Released::Freed
        } else {
            Released::NotHeld
        }
    }

    fn observe(&self, now: Time, key: &LeaseKey) -> Option<LeaseRecord> {
        let record = self.current(now, key)?;
        Some(LeaseRecord {
            nonce: Some(record.nonce),
            term: record.term,
            remaining: Some(record.expires.since(now)),
            ..LeaseRecord::new(key.clone(), record.holder.clone(), RecordFormat::Tenure(1))
        })
    }

    // ---- what steps are made of ----------------------------------------------------------------------------------

    /// The key's record, unless it has expired.
    pub(crate) fn current(&self, now: Time, key: &LeaseKey) -> Option<&Record> {
        self.records.get(key).filter(|record| now < record.expires)
    }

    /// Writes the claimant into the key's record, whatever was there; returns the grant's place among all grants.
    pub(crate) fn write(&mut self, now: Time, claim: &Claim, term: Option<Term>) -> u64 {
        self.grants += 1;
        let (holder, nonce) = (claim.holder.clone(), claim.nonce);
        let record = Record { holder, nonce, term, expires: now + claim.ttl, grant: self.grants };
        self.records.insert(claim.key.clone(), record);
        self.grants
    }

    /// The next term.
    pub(crate) fn mint(&mut self, micros: u64) -> Option<Term> {
        self.counter = (self.counter + 1).max(micros);
        Term::new(self.counter)
    }

    /// The answer to a claim that is refused.
    pub(crate) fn held(&self, now: Time, key: &LeaseKey) -> Answer {
        Answer::Claimed(match self.records.get(key) {
            Some(record) => Claimed::Held {
                by: record.holder.clone(),
                term: record.term,
                remaining: Some(record.expires.since(now)),
                bound: None,
            },
            None => Claimed::Held {
                by: HolderId::new("nobody").unwrap_or_else(|_| unreachable!()),
                term: None,
                remaining: Some(Duration::ZERO),
                bound: None,
            },
        })
    }

    /// The answer to a claim that is granted.
    pub(crate) fn granted(&mut self, grant: u64, term: Option<Term>) -> Answer {
        self.answered = grant;
        match term {
            Some(term) => Answer::Claimed(Claimed::Granted { term, last_note: None }),
            None => Answer::Failed(Failure { outcome_unknown: true, message: "no term".into() }),
        }
    }

    /// The time between two calls of one client: mostly a round trip, now and then a pause of the client.
    pub(crate) fn between_calls(&mut self) -> Nanos {
        if self.rng.chance(60) { self.rng.range(SECOND, 8 * SECOND) } else { self.rng.range(MS / 2, 20 * MS) }
    }
}
