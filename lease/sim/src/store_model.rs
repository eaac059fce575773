//! The store model: a pure table with an injected clock, and the same table as a store that the suite can run.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{Answer, Claimed, Failure, KeyPrefix, LeaseKey, Nonce, Request, Term, Time, Timing};
use tenure_store::{
    Answers, Claim, Held, LeaseRecord, LeaseStore, LeaseTable, Released, Renewed, StoreError, StoreErrorKind,
    StoreInfo, WakeStream, check_batch, check_ttl,
};

use crate::Nanos;

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
    /// Zero for a fresh request. Only mutants use others: they need several steps for one request.
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
    /// Asks whoever holds `key` to resign. Mutants that are about something else need not.
    fn request_resign(&mut self, _at: StoreTime, _key: &LeaseKey) {}
    /// Loses every record.
    fn forget(&mut self);
    /// Keeps what it knows now for [`Store::come_back`]. Mutants that are about something else need not: theirs loses nothing.
    fn save(&mut self) {}
    /// Comes back from a restart.
    fn come_back(&mut self, _at: StoreTime, _with: State) {}
    /// The place in the order of tenures of the tenure that was granted last: counts the moments at which a record
    /// changed hands, not the moments at which terms were minted.
    fn last_grant(&self) -> u64;
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

/// The honest store: tenure-store's own table.
#[derive(Clone, Debug, Default)]
pub struct StoreModel {
    pub(crate) table: LeaseTable,
    saved: LeaseTable,
    /// Every tenure, in the order of their grants.
    tenures: Vec<(Nonce, Term)>,
    last: u64,
}

impl Store for StoreModel {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let answer = match op.request {
            Request::Acquire(claim) => match self.table.acquire(at.now, at.micros, &claim) {
                Ok(claimed) => {
                    if let Claimed::Granted { term, .. } = claimed {
                        self.note_grant((claim.nonce, term));
                    }
                    Answer::Claimed(claimed)
                }
                Err(error) => failed(&error),
            },
            Request::Renew(held) => Answer::Renewed(self.table.renew(at.now, &held)),
            Request::Release(held) => Answer::Released(self.table.release(at.now, &held)),
            Request::Observe(key) => {
                let records = self.table.list(at.now, &KeyPrefix::from(&key));
                Answer::Observed(records.into_iter().find(|record| record.key == key))
            }
        };
        Step::Answer(answer)
    }

    fn request_resign(&mut self, at: StoreTime, key: &LeaseKey) {
        self.table.request_resign(at.now, key);
    }

    fn forget(&mut self) {
        self.table.forget_all();
    }

    fn save(&mut self) {
        self.saved = self.table.clone();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        match with {
            State::Saved => self.table.come_back(at.now, &self.saved),
            State::Empty => self.table.come_back(at.now, &LeaseTable::new()),
            State::TakenForAll => self.table = self.saved.clone(),
        }
    }

    fn last_grant(&self) -> u64 {
        self.last
    }
}

impl StoreModel {
    /// A repeated claim is granted its old tenure again, also one that an older state brought back.
    fn note_grant(&mut self, tenure: (Nonce, Term)) {
        let known = self.tenures.iter().rposition(|known| *known == tenure);
        let place = known.unwrap_or_else(|| {
            self.tenures.push(tenure);
            self.tenures.len() - 1
        });
        self.last = place as u64 + 1;
    }
}

fn failed(error: &StoreError) -> Answer {
    Answer::Failed(Failure { outcome_unknown: error.is_outcome_unknown(), message: error.to_string() })
}

/// The store model behind the trait that real stores implement, so that the conformance suite can run it.
#[derive(Debug)]
pub struct ModelStore {
    model: Mutex<StoreModel>,
    origin: tokio::time::Instant,
}

static INFO: StoreInfo =
    StoreInfo::new("model").ttl_between(Duration::from_millis(1), Timing::MAX_TTL).batch_limit(100_000);

impl ModelStore {
    /// A store without records, on tokio's clock.
    pub fn new() -> Self {
        ModelStore { model: Mutex::default(), origin: tokio::time::Instant::now() }
    }

    /// Does something to the table behind the store's back, at the store's present time.
    pub fn with_table<R>(&self, act: impl FnOnce(&mut LeaseTable, Time) -> R) -> R {
        let now = self.time().now;
        act(&mut self.model.lock().unwrap_or_else(PoisonError::into_inner).table, now)
    }

    fn time(&self) -> StoreTime {
        let elapsed = self.origin.elapsed();
        // Any seed of terms will do here: the suite brings `above` where it needs growth.
        StoreTime { now: Time::ZERO + elapsed, micros: 1_700_000_000_000_000 + elapsed.as_micros() as u64 }
    }

    fn ask(&self, request: Request) -> Answer {
        match self.model.lock().unwrap_or_else(PoisonError::into_inner).step(self.time(), Op::new(request)) {
            Step::Answer(answer) => answer,
            Step::Later(..) => unfit(),
        }
    }
}

impl Default for ModelStore {
    fn default() -> Self {
        Self::new()
    }
}

fn unfit() -> Answer {
    Answer::Failed(Failure { outcome_unknown: false, message: "the model gave no fitting answer".into() })
}

fn error(answer: Answer) -> StoreError {
    match answer {
        Answer::Failed(failure) => StoreError::new(StoreErrorKind::Invalid, failure.message),
        other => StoreError::new(StoreErrorKind::Corrupt, format!("the model answered {other:?}")),
    }
}

#[async_trait]
impl LeaseStore for ModelStore {
    fn info(&self) -> StoreInfo {
        INFO.clone()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        check_batch(&INFO, claims.iter().map(|claim| &claim.key))?;
        let one = |claim: &Claim| {
            check_ttl(&INFO, &claim.key, claim.ttl)?;
            match self.ask(Request::Acquire(claim.clone())) {
                Answer::Claimed(claimed) => Ok(claimed),
                other => Err(error(other)),
            }
        };
        Ok(claims.iter().map(one).collect())
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        let one = |held: &Held| {
            check_ttl(&INFO, &held.key, held.ttl)?;
            match self.ask(Request::Renew(held.clone())) {
                Answer::Renewed(renewed) => Ok(renewed),
                other => Err(error(other)),
            }
        };
        Ok(held.iter().map(one).collect())
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        let one = |held: &Held| match self.ask(Request::Release(held.clone())) {
            Answer::Released(released) => Ok(released),
            other => Err(error(other)),
        };
        Ok(held.iter().map(one).collect())
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        Ok(self.with_table(|table, now| table.request_resign(now, key)))
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        Ok(self.with_table(|table, now| table.remove(now, key)))
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        Ok(self.with_table(|table, now| table.list(now, prefix)))
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        Ok(self.with_table(|table, _| table.slot(key).and_then(|slot| slot.term)))
    }

    async fn watch(&self, _prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unsupported, "model: has no hints; candidates go by their timers"))
    }
}
