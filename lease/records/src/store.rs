//! The store: every verb of leases over records with compare-and-swap.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed, StoreError,
    StoreErrorKind, StoreInfo, Term, WakeStream, check_batch, check_ttl,
};

use crate::calls::Calls;
use crate::feed::Feed;
use crate::lease_changes::LeaseChanges;
use crate::records::{Kind, Records};
use crate::step::{Ask, Memory, Moment, Next, Step, Told};

/// A lease store over a server that has [`Records`].
///
/// What the server cannot do stands here once for all: the steps, their short way, expiry by age or by silence, and the
/// hints. It keeps in mind what it has seen, for at most 65,536 keys; a process that begins knows nothing, and on a server
/// without a clock waits one ttl before it takes a key that somebody left without a release.
#[derive(Debug)]
pub struct RecordStore<R> {
    calls: Arc<Calls<R>>,
    memory: Arc<Mutex<Memory>>,
    feed: Feed,
}

impl<R: Records> RecordStore<R> {
    /// The store over this server.
    pub fn new(records: R) -> RecordStore<R> {
        let calls = Arc::new(Calls::new(records));
        let feed = Feed::new(calls.info.store.scheme);
        // Without a random source the beats begin with the clock; they need to differ, not to be secret.
        let seed = getrandom::u64().unwrap_or_else(|_| tenure_base_time::now().as_nanos());
        let memory = Arc::new(Mutex::new(Memory::new(seed)));
        RecordStore { calls, memory, feed }
    }

    /// The server.
    pub fn records(&self) -> &R {
        &self.calls.records
    }

    fn info_ref(&self) -> &StoreInfo {
        &self.calls.info.store
    }

    /// Takes all steps to their ends, each on its own; what they need of the server at the same time is asked for together.
    async fn run(&self, asks: Vec<Result<Ask, StoreError>>) -> Vec<Result<Told, StoreError>> {
        let mut steps = self.begin(asks);
        while self.round(&mut steps).await {}
        let answer = |(_, next)| match next {
            Next::Done(answer) => answer,
            Next::Read(_) | Next::Write(_) => Err(unfit()),
        };
        steps.into_iter().map(answer).collect()
    }

    /// What was asked wrongly has its answer at once, and no step.
    fn begin(&self, asks: Vec<Result<Ask, StoreError>>) -> Vec<(Option<Step>, Next)> {
        let (mut memory, at) = (self.memory(), now());
        let begin = |ask| match ask {
            Ok(ask) => {
                let (step, next) = Step::begin(ask, at, &mut memory);
                (Some(step), next)
            }
            Err(error) => (None, Next::Done(Err(error))),
        };
        asks.into_iter().map(begin).collect()
    }

    /// Does what the steps want done; `false` where that is nothing more.
    async fn round(&self, steps: &mut [(Option<Step>, Next)]) -> bool {
        let (mut reading, mut places) = (Vec::new(), Vec::new());
        let (mut writing, mut writes) = (Vec::new(), Vec::new());
        for (step, next) in steps.iter_mut() {
            match (step, &*next) {
                (Some(step), Next::Read(place)) => {
                    places.push(place.clone());
                    reading.push((step, next));
                }
                (Some(step), Next::Write(write)) => {
                    writes.push(write.clone());
                    writing.push((step, next));
                }
                _ => {}
            }
        }
        if reading.is_empty() && writing.is_empty() {
            return false;
        }
        let (seen, swapped) = tokio::join!(self.calls.read(&places), self.calls.write(&writes));
        let (mut memory, at) = (self.memory(), now());
        for ((step, next), seen) in reading.into_iter().zip(seen) {
            *next = step.seen(at, seen, &mut memory);
        }
        for ((step, next), swap) in writing.into_iter().zip(swapped) {
            *next = step.swapped(at, swap, &mut memory);
        }
        true
    }

    async fn run_one(&self, ask: Ask) -> Result<Told, StoreError> {
        self.run(vec![Ok(ask)]).await.pop().unwrap_or_else(|| Err(unfit()))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every step leaves it whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl<R: Records> LeaseStore for RecordStore<R> {
    fn info(&self) -> StoreInfo {
        self.info_ref().clone()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        let info = self.info_ref();
        check_batch(info, claims.iter().map(|claim| &claim.key))?;
        let ask = |claim: &Claim| {
            check_ttl(info, &claim.key, claim.ttl)?;
            Ok(Ask::Acquire(claim.clone()))
        };
        let told = self.run(claims.iter().map(ask).collect()).await;
        Ok(told.into_iter().map(|told| told.and_then(Told::claimed)).collect())
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        let info = self.info_ref();
        check_batch(info, held.iter().map(|held| &held.key))?;
        let ask = |held: &Held| {
            check_ttl(info, &held.key, held.ttl)?;
            Ok(Ask::Renew(held.clone()))
        };
        let told = self.run(held.iter().map(ask).collect()).await;
        Ok(told.into_iter().map(|told| told.and_then(Told::renewed)).collect())
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        check_batch(self.info_ref(), held.iter().map(|held| &held.key))?;
        let told = self.run(held.iter().map(|held| Ok(Ask::Release(held.clone()))).collect()).await;
        Ok(told.into_iter().map(|told| told.and_then(Told::released)).collect())
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        match self.run_one(Ask::RequestResign(key.clone())).await? {
            Told::ResignRequested(asked) => Ok(asked),
            _ => Err(unfit()),
        }
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        match self.run_one(Ask::Remove(key.clone())).await? {
            Told::Removed(stood) => Ok(stood),
            _ => Err(unfit()),
        }
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        let scan = self.calls.records.scan(Kind::Lease, prefix);
        let seen = self.calls.in_time(StoreErrorKind::Unavailable, scan).await??;
        let (mut memory, now) = (self.memory(), tenure_base_time::now());
        let matching = seen.into_iter().filter(|(key, _)| prefix.matches(key));
        let mut records: Vec<LeaseRecord> = matching.filter_map(|(key, seen)| memory.listed(now, &key, seen)).collect();
        records.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(records)
    }

    async fn record(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        match self.run_one(Ask::Look(key.clone())).await? {
            Told::Looked(record, _) => Ok(record),
            _ => Err(unfit()),
        }
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        match self.run_one(Ask::Look(key.clone())).await? {
            Told::Looked(_, term) => Ok(term),
            _ => Err(unfit()),
        }
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.feed.watch(&self.calls, prefix, || LeaseChanges::new(&self.memory)).await
    }
}

impl Told {
    fn claimed(self) -> Result<Claimed, StoreError> {
        match self {
            Told::Claimed(claimed) => Ok(claimed),
            _ => Err(unfit()),
        }
    }

    fn renewed(self) -> Result<Renewed, StoreError> {
        match self {
            Told::Renewed(renewed) => Ok(renewed),
            _ => Err(unfit()),
        }
    }

    fn released(self) -> Result<Released, StoreError> {
        match self {
            Told::Released(released) => Ok(released),
            _ => Err(unfit()),
        }
    }
}

fn now() -> Moment {
    Moment { now: tenure_base_time::now(), wall_micros: tenure_base_time::unix_micros() }
}

fn unfit() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "an answer to another question")
}
