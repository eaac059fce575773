//! The store: every verb of leases over records with compare-and-swap.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tenure_store::{
    Answers, Claim, Claimed, Diagnosis, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed,
    StoreError, StoreErrorKind, StoreInfo, Term, WakeFeed, WakeStream, check_batch, check_ttl,
};
use tokio::time::Instant;

use crate::calls::Calls;
use crate::lease_changes::LeaseChanges;
use crate::records::{Kind, Records};
use crate::step::{Ask, Memory, Moment, Next, Step, Told};

/// A lease store over a server that has [`Records`].
///
/// What the server cannot do stands here once for all: the steps, their short way, expiry by age or by silence, and the
/// hints.
///
/// It keeps in mind what it has seen, for at most 65,536 keys; a process that begins knows nothing, and on a server
/// without a clock waits one ttl before it takes a key that somebody left without a release. What is seen is kept whole: of each
/// key, its holder and the member it is bound to these are some 2 KiB at most, and of its two notes 16 KiB each. So the most that
/// other people's records can make it hold is 65,536 x 34 KiB, 2.1 GiB; with keys of 40 bytes and notes of 100 it is some 50 MiB.
///
/// **Every verb ends** within twice the server's [`call_timeout`](crate::RecordsInfo::call_timeout), however often others were
/// quicker: each call has that time, and none begins later than that after the verb did. Of very many keys some go first, 256
/// or what the server bears at a time, and each further group has that time anew as long as those before were answered. What
/// was sent and not answered is unavailable where it was a read and unknown where it was a write; what there was no time for was
/// not sent, and is [`Unavailable`](StoreErrorKind::Unavailable). A list, and the beginning of a watch, may take ten times as long as a call: they read all there is.
#[derive(Debug)]
pub struct RecordStore<R> {
    calls: Arc<Calls<R>>,
    memory: Arc<Mutex<Memory>>,
    feed: WakeFeed,
}

impl<R: Records> RecordStore<R> {
    /// The store over this server.
    pub fn new(records: R) -> RecordStore<R> {
        let calls = Arc::new(Calls::new(records));
        let feed = WakeFeed::new(&calls.info.store);
        // Without a random source the beats begin with the clock; they need to differ, not to be secret.
        let seed = getrandom::u64().unwrap_or_else(|_| tenure_base_time::now().as_nanos());
        let memory = Arc::new(Mutex::new(Memory::new(seed)));
        RecordStore { calls, memory, feed }
    }

    /// The server.
    pub fn records(&self) -> &R {
        &self.calls.records
    }

    /// What is asked of many keys, each on its own: a ttl that the store does not honour fails its item alone.
    async fn all<I: Sync, T>(
        &self,
        items: &[I],
        of: fn(&I) -> (&LeaseKey, Option<Duration>),
        ask: fn(&I) -> Ask,
        told: fn(Told) -> Option<T>,
    ) -> Result<Answers<T>, StoreError> {
        let info = &self.calls.info.store;
        check_batch(info, items.iter().map(|item| of(item).0))?;
        let ask = |item| match of(item) {
            (key, Some(ttl)) => check_ttl(info, key, ttl).map(|()| ask(item)),
            (_, None) => Ok(ask(item)),
        };
        let answers = self.run(items.iter().map(ask).collect()).await;
        Ok(answers.into_iter().map(|answer| told(answer?).ok_or_else(unfit)).collect())
    }

    async fn one<T>(&self, ask: Ask, told: fn(Told) -> Option<T>) -> Result<T, StoreError> {
        let answer = self.run(vec![Ok(ask)]).await.pop();
        answer.and_then(|answer| answer.map(told).transpose()).unwrap_or_else(|| Err(unfit()))
    }

    /// Takes all steps to their ends; what they need of the server at the same time is asked for together.
    ///
    /// Where there are more than the server bears at a time some go first, and all the way. Once one of them failed for want of
    /// time nothing more is asked than what its own time allows: the server is slow, or gone.
    async fn run(&self, asks: Vec<Result<Ask, StoreError>>) -> Answers<Told> {
        let mut until = self.calls.until();
        let (mut asks, mut answers) = (asks.into_iter(), Vec::new());
        while asks.len() > 0 {
            let mut steps = self.begin(asks.by_ref().take(self.calls.at_a_time()));
            while self.round(&mut steps, until).await {}
            let group = steps.into_iter().map(|(_, next)| match next {
                Next::Done(answer) => answer,
                Next::Read(_) | Next::Write(_) => Err(unfit()),
            });
            let before = answers.len();
            answers.extend(group);
            if !answers[before..].iter().any(|answer| answer.as_ref().is_err_and(StoreError::is_retryable)) {
                until = self.calls.until();
            }
        }
        answers
    }

    /// What was asked wrongly has its answer at once, and no step.
    fn begin(&self, asks: impl Iterator<Item = Result<Ask, StoreError>>) -> Vec<(Option<Step>, Next)> {
        let (mut memory, at) = (self.memory(), now());
        let begin = |ask| match ask {
            Ok(ask) => {
                let (step, next) = Step::begin(ask, at, &mut memory);
                (Some(step), next)
            }
            Err(error) => (None, Next::Done(Err(error))),
        };
        asks.map(begin).collect()
    }

    /// Does what the steps want done; `false` where that is nothing more.
    async fn round(&self, steps: &mut [(Option<Step>, Next)], until: Instant) -> bool {
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
        let (seen, swapped) = tokio::join!(self.calls.read(until, &places), self.calls.write(until, &writes));
        let (mut memory, at) = (self.memory(), now());
        for ((step, next), seen) in reading.into_iter().zip(seen) {
            *next = step.seen(at, seen, &mut memory);
        }
        for ((step, next), swap) in writing.into_iter().zip(swapped) {
            *next = step.swapped(at, swap, &mut memory);
        }
        true
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every step leaves it whole.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a step was told, where it is of this kind.
macro_rules! told {
    ($told:pat => $what:expr) => {
        |told| if let $told = told { Some($what) } else { None }
    };
}

#[async_trait]
impl<R: Records> LeaseStore for RecordStore<R> {
    fn info(&self) -> StoreInfo {
        self.calls.info.store.clone()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        let told = told!(Told::Claimed(claimed) => claimed);
        self.all(claims, |claim| (&claim.key, Some(claim.ttl)), |claim| Ask::Acquire(claim.clone()), told).await
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        let told = told!(Told::Renewed(renewed) => renewed);
        self.all(held, |held| (&held.key, Some(held.ttl)), |held| Ask::Renew(held.clone()), told).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        let told = told!(Told::Released(released) => released);
        self.all(held, |held| (&held.key, None), |held| Ask::Release(held.clone()), told).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.one(Ask::RequestResign(key.clone()), told!(Told::ResignRequested(asked) => asked)).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.one(Ask::Remove(key.clone()), told!(Told::Removed(stood) => stood)).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        let seen = self.calls.scan(Kind::Lease, prefix).await?;
        let (mut memory, now) = (self.memory(), tenure_base_time::now());
        let matching = seen.into_iter().filter(|(key, _)| prefix.matches(key));
        let mut records: Vec<LeaseRecord> = matching.filter_map(|(key, seen)| memory.listed(now, &key, seen)).collect();
        records.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(records)
    }

    async fn record(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.one(Ask::Look(key.clone()), told!(Told::Looked(record, _) => record)).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.one(Ask::Look(key.clone()), told!(Told::Looked(_, term) => term)).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        let (calls, memory) = (Arc::clone(&self.calls), Arc::clone(&self.memory));
        let source = || LeaseChanges { calls, memory, known: HashMap::new() };
        self.feed.watch(prefix, self.calls.scan_timeout(), source).await
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        self.calls.diagnose().await
    }
}

fn now() -> Moment {
    Moment { now: tenure_base_time::now(), wall_micros: tenure_base_time::unix_micros() }
}

fn unfit() -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, "an answer to another question")
}
