//! The cases about stores of several servers, over two memory stores that can each be shut; and stores that let the failure
//! of one of them touch the other's keys, which must be caught.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, CaseResult, Options, ShardFault, Shards, StoreBuilder, examine, suite_with};
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, MemoryStore, Released, Renewed,
    StoreError, StoreErrorKind, StoreInfo, Term, WakeStream,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// Nobody is told of anything while one is down.
    HintsNeedAll,
    /// A batch that touches the one that is down fails as a whole.
    BatchesNeedAll,
    /// Now and then a call waits for the one that is down, whatever its key.
    CallsWait,
}

#[derive(Debug)]
struct Two {
    stores: [MemoryStore; 2],
    // Which of them is down; 2 for none.
    down: AtomicUsize,
    calls: AtomicUsize,
    flaw: Flaw,
}

fn shard(key: &LeaseKey) -> usize {
    key.as_str().bytes().fold(0_usize, |sum, byte| sum.wrapping_add(byte.into())) % 2
}

fn no_answer() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "no answer")
}

impl Two {
    async fn of(&self, key: &LeaseKey) -> Result<&MemoryStore, StoreError> {
        let down = self.down.load(Ordering::SeqCst);
        let calls = self.calls.fetch_add(1, Ordering::SeqCst);
        if self.flaw == Flaw::CallsWait && down < 2 && calls.is_multiple_of(5) {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        if shard(key) == down { Err(no_answer()) } else { Ok(&self.stores[shard(key)]) }
    }

    fn all_or_nothing<'a>(&self, keys: impl Iterator<Item = &'a LeaseKey>) -> Result<(), StoreError> {
        let down = self.down.load(Ordering::SeqCst);
        let fails = self.flaw == Flaw::BatchesNeedAll && keys.map(shard).any(|shard| shard == down);
        if fails { Err(no_answer()) } else { Ok(()) }
    }
}

#[async_trait]
impl LeaseStore for Two {
    fn info(&self) -> StoreInfo {
        self.stores[0].info()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        self.all_or_nothing(claims.iter().map(|claim| &claim.key))?;
        let mut answers = Vec::new();
        for claim in claims {
            answers.push(match self.of(&claim.key).await {
                Ok(store) => store.acquire(std::slice::from_ref(claim)).await?.remove(0),
                Err(error) => Err(error),
            });
        }
        Ok(answers)
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        self.of(&held[0].key).await?.renew(held).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        self.of(&held[0].key).await?.release(held).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.of(key).await?.request_resign(key).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.of(key).await?.remove(key).await
    }

    async fn record(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.of(key).await?.record(key).await
    }

    async fn list(&self, _: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        Err(no_answer())
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.of(key).await?.last_term(key).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        let [one, two] = [self.stores[0].watch(prefix).await?, self.stores[1].watch(prefix).await?];
        // A flawed one hears nothing from the first moment on; with less it would take a shared clock to tell.
        Ok(match self.flaw {
            Flaw::HintsNeedAll => futures_util::stream::pending().boxed(),
            _ => futures_util::stream::select(one, two).boxed(),
        })
    }
}

struct Builder(Arc<Two>);

impl Builder {
    fn new(flaw: Flaw) -> Self {
        let stores = [MemoryStore::new(), MemoryStore::new()];
        Builder(Arc::new(Two { stores, down: AtomicUsize::new(2), calls: AtomicUsize::default(), flaw }))
    }
}

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        "two memories"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        async { Ok(Arc::clone(&self.0) as Arc<dyn LeaseStore>) }.boxed()
    }

    fn shards(&self) -> Option<&dyn Shards> {
        Some(self)
    }
}

impl Shards for Builder {
    fn together(&self, one: &LeaseKey, other: &LeaseKey) -> bool {
        shard(one) == shard(other)
    }

    fn fail<'a>(&'a self, key: &'a LeaseKey, _: ShardFault) -> BoxFuture<'a, Result<(), BuildError>> {
        self.0.down.store(shard(key), Ordering::SeqCst);
        ready(Ok(())).boxed()
    }

    fn mend(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.0.down.store(2, Ordering::SeqCst);
        ready(Ok(())).boxed()
    }
}

fn options() -> Options {
    Options { only: "shards::".to_owned(), wake_bound: Duration::from_secs(1), ..Options::default() }
}

/// A store each of whose servers fails for itself passes.
#[tokio::test]
async fn servers_that_fail_for_themselves_pass() {
    let report = suite_with(&Builder::new(Flaw::None), options()).await;
    assert!(report.to_string().ends_with("2 passed, 0 failed, 0 skipped"), "{report}");
}

/// A failure that reaches the keys of other servers is caught, whichever way it takes.
#[tokio::test]
async fn failures_that_spread_are_caught() {
    for flaw in [Flaw::HintsNeedAll, Flaw::BatchesNeedAll, Flaw::CallsWait] {
        let report = examine(&Builder::new(flaw), options()).await;
        let caught = report.lines().iter().filter(|line| matches!(line.result, CaseResult::Failed(_))).count();
        assert_eq!(caught, 2, "{flaw:?}: {report}");
    }
}
