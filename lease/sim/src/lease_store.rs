//! The store model as a `LeaseStore`, so that it runs the conformance suite like any real store.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tenure_core::{Answer, Claimed, Failure, KeyPrefix, LeaseKey, Request, Term, Time, Timing};
use tenure_store::{
    Answers, Claim, Held, LeaseRecord, LeaseStore, LeaseTable, Released, Renewed, StoreError, StoreErrorKind,
    StoreInfo, WakeStream, check_batch, check_ttl,
};

use crate::store::{Op, Step, Store, StoreTime};
use crate::store_model::StoreModel;

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
