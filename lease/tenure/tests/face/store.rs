//! A memory store that fails, or stays silent, when a test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tenure::{Election, ElectionBuilder, HolderId, KeyPrefix, LeaseKey, LeaseStore, MemoryStore, StoreError, Term};
use tenure_store::{
    Answers, Claim, Claimed, Held, LeaseRecord, Released, Renewed, StoreErrorKind, StoreInfo, WakeStream,
};

/// The key that everybody contends for here.
pub(crate) const KEY: &str = "test/leader";

/// A memory store with faults.
#[derive(Debug, Default)]
pub(crate) struct Faulty {
    inner: MemoryStore,
    fails: AtomicBool,
    /// Claims are granted, and their answers are not told while this is set.
    silent: AtomicBool,
    claims: AtomicUsize,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Faulty> {
        Arc::default()
    }

    /// A candidate for [`KEY`] with a ttl of 2 s.
    pub(crate) fn builder(self: &Arc<Self>, name: &str) -> ElectionBuilder {
        Election::builder(self.clone(), KEY).holder(name).ttl(Duration::from_secs(2))
    }

    /// The same, begun.
    pub(crate) fn candidate(self: &Arc<Self>, name: &str) -> Election {
        self.builder(name).start().unwrap()
    }

    pub(crate) fn set_failing(&self, fails: bool) {
        self.fails.store(fails, Ordering::SeqCst);
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }

    /// How many claims have arrived.
    pub(crate) fn claims(&self) -> usize {
        self.claims.load(Ordering::SeqCst)
    }

    /// Who holds the key.
    pub(crate) async fn holder(&self) -> Option<HolderId> {
        let record = self.inner.record(&LeaseKey::new(KEY).unwrap()).await.unwrap();
        record.map(|record| record.holder)
    }

    /// Waits until nobody holds the key.
    pub(crate) async fn is_free(&self) {
        while self.holder().await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "out of order")),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl LeaseStore for Faulty {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        self.check()?;
        let answers = self.inner.acquire(claims).await;
        while self.silent.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        answers
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        self.check()?;
        self.inner.renew(held).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        self.check()?;
        self.inner.release(held).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.inner.request_resign(key).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.inner.remove(key).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        self.check()?;
        self.inner.list(prefix).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.inner.last_term(key).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.inner.watch(prefix).await
    }
}
