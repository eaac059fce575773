//! A holder in a process of its own, and what holding costs it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tenure::{Election, KeyPrefix, LeaseKey, LeaseStore, StoreError, Term};
use tenure_store::{Answers, Claim, Claimed, Held as HeldLease, LeaseRecord, Released, Renewed, StoreInfo, WakeStream};

use crate::clock::{process_cpu, wall};

/// What holding cost.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct HoldingCost {
    /// How long the lease was held.
    pub(crate) seconds: f64,
    /// Calls to the store.
    pub(crate) calls: u64,
    /// Voluntary context switches of all threads.
    pub(crate) wake_ups: u64,
    /// CPU time of all threads.
    pub(crate) cpu_seconds: f64,
}

/// Acquires the lease, waits until everything is at rest, holds it, and returns what that cost.
///
/// # Errors
/// Where the lease is not granted, or lost.
pub(crate) fn hold(url: &str, seconds: u64) -> Result<HoldingCost> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = tenure_open::open(url).await.context("cannot open the store")?;
        let counted = Arc::new(CountingStore { store, calls: AtomicU64::new(0) });
        let election = Election::builder(counted.clone(), "bench/idle").start()?;
        let leadership = election.campaign().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (from, cpu, switches, calls) = (wall(), process_cpu(), wake_ups()?, counted.calls());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let held = HoldingCost {
            seconds: wall().saturating_sub(from).as_secs_f64(),
            calls: counted.calls() - calls,
            // One wake-up is that of this measurement.
            wake_ups: wake_ups()?.saturating_sub(switches + 1),
            cpu_seconds: process_cpu().saturating_sub(cpu).as_secs_f64(),
        };
        if !leadership.is_current() {
            bail!("the lease was lost");
        }
        Ok(held)
    })
}

/// Voluntary context switches of this process's threads so far.
fn wake_ups() -> Result<u64> {
    let mut switches = 0;
    for task in fs::read_dir("/proc/self/task").context("cannot read /proc/self/task")? {
        // A thread may end meanwhile.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else { continue };
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        switches += line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(switches)
}

/// A store that counts the calls to it.
#[derive(Debug)]
struct CountingStore {
    store: Arc<dyn LeaseStore>,
    calls: AtomicU64,
}

impl CountingStore {
    fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    fn count(&self) -> &dyn LeaseStore {
        self.calls.fetch_add(1, Ordering::Relaxed);
        &*self.store
    }
}

#[async_trait]
impl LeaseStore for CountingStore {
    fn info(&self) -> StoreInfo {
        self.store.info()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        self.count().acquire(claims).await
    }

    async fn renew(&self, held: &[HeldLease]) -> Result<Answers<Renewed>, StoreError> {
        self.count().renew(held).await
    }

    async fn release(&self, held: &[HeldLease]) -> Result<Answers<Released>, StoreError> {
        self.count().release(held).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.count().request_resign(key).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.count().remove(key).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        self.count().list(prefix).await
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.count().last_term(key).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.count().watch(prefix).await
    }
}
