//! The cases about stopped clients and dying stores, over a memory store behind a gate that can be shut.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tenure_conformance::{BuildError, Killable, Options, Stoppable, StoppableClient, StoreBuilder, suite_with};
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, MemoryStore, Released, Renewed,
    StoreError, StoreErrorKind, StoreInfo, Term, WakeStream,
};

type Gate = Arc<AtomicBool>;

#[derive(Debug)]
struct Gated {
    store: Arc<MemoryStore>,
    gates: [Gate; 2],
}

impl Gated {
    /// Waits while a gate is shut, and gives up after a while.
    async fn pass(&self) -> Result<(), StoreError> {
        for _ in 0..20 {
            if self.gates.iter().all(|gate| !gate.load(Ordering::SeqCst)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(StoreError::new(StoreErrorKind::TimedOut, "no answer"))
    }
}

#[async_trait]
impl LeaseStore for Gated {
    fn info(&self) -> StoreInfo {
        self.store.info()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        self.pass().await?;
        self.store.acquire(claims).await
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        self.pass().await?;
        self.store.renew(held).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        self.pass().await?;
        self.store.release(held).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.pass().await?;
        self.store.request_resign(key).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.pass().await?;
        self.store.remove(key).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        self.pass().await?;
        self.store.list(prefix).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.pass().await?;
        self.store.last_term(key).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.store.watch(prefix).await
    }
}

#[derive(Default)]
struct Builder {
    store: Arc<MemoryStore>,
    down: Gate,
}

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        "gated memory"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        let gates = [Arc::clone(&self.down), Gate::default()];
        let store: Arc<dyn LeaseStore> = Arc::new(Gated { store: Arc::clone(&self.store), gates });
        async { Ok(store) }.boxed()
    }

    fn stoppable(&self) -> Option<&dyn Stoppable> {
        Some(self)
    }

    fn killable(&self) -> Option<&dyn Killable> {
        Some(self)
    }

    fn stoppable_client(&self) -> Option<BoxFuture<'_, Result<Box<dyn StoppableClient>, BuildError>>> {
        let gates = [Arc::clone(&self.down), Gate::default()];
        let client: Box<dyn StoppableClient> = Box::new(Client {
            stopped: Arc::clone(&gates[1]),
            store: Arc::new(Gated { store: Arc::clone(&self.store), gates }),
        });
        Some(async { Ok(client) }.boxed())
    }
}

fn set(gate: &Gate, shut: bool) -> BoxFuture<'_, Result<(), BuildError>> {
    gate.store(shut, Ordering::SeqCst);
    async { Ok(()) }.boxed()
}

impl Stoppable for Builder {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        set(&self.down, true)
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        set(&self.down, false)
    }
}

impl Killable for Builder {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        set(&self.down, true)
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.store.with_table(|table, _| table.forget_all());
        set(&self.down, false)
    }
}

struct Client {
    stopped: Gate,
    store: Arc<Gated>,
}

impl StoppableClient for Client {
    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.store) as Arc<dyn LeaseStore>
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        set(&self.stopped, true)
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        set(&self.stopped, false)
    }
}

/// Every case about faults is run, none is skipped, and all pass.
#[tokio::test]
async fn a_gated_store_passes_the_cases_about_faults() {
    let options = Options { only: "faults::".to_owned(), ..Options::default() };
    let report = suite_with(&Builder::default(), options).await;
    assert!(report.to_string().ends_with("4 passed, 0 failed, 0 skipped"), "{report}");
}
