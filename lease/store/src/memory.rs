//! The memory store: `memory:`, a table in this process, for tests, demonstrations and one-process programs.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tenure_core::{Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, Released, Renewed, Term, Time, Timing};

use crate::batch::{check_batch, check_ttl};
use crate::error::StoreError;
use crate::info::StoreInfo;
use crate::lease_store::{Answers, LeaseStore};
use crate::slot::Change;
use crate::table::LeaseTable;
use crate::wake::{Wake, WakeStream};
use crate::wake_hub::WakeHub;

/// Leases in this process's memory: shared by whoever holds the same `Arc`, gone with the process.
///
/// Its clock is tokio's, so that a paused runtime pauses it. That clock stands still while the machine sleeps, which
/// only ever makes leases outlast their holders' own deadlines.
pub struct MemoryStore {
    table: Mutex<LeaseTable>,
    origin: tokio::time::Instant,
    watchers: Arc<WakeHub>,
    overflowed: Arc<AtomicU64>,
}

static INFO: StoreInfo =
    StoreInfo::new("memory").ttl_between(Duration::from_millis(1), Timing::MAX_TTL).batch_limit(100_000).watch(true);

impl MemoryStore {
    /// A store without records.
    pub fn new() -> Self {
        MemoryStore {
            table: Mutex::default(),
            origin: tokio::time::Instant::now(),
            watchers: WakeHub::new(INFO.scheme),
            overflowed: Arc::default(),
        }
    }

    /// Does something to the table behind the store's back, at the store's present time: for tests and operators.
    /// Watchers are told that something happened, not what.
    pub fn with_table<R>(&self, act: impl FnOnce(&mut LeaseTable, Time) -> R) -> R {
        let mut table = self.table();
        let result = act(&mut table, self.now());
        drop(table);
        self.watchers.wake(&Wake::unknown());
        result
    }

    /// How many hints were replaced by ones that name no key, because a watcher did not read them in time.
    pub fn overflowed_wakes(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    fn now(&self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn table(&self) -> MutexGuard<'_, LeaseTable> {
        // Every step leaves the table whole, so a panic elsewhere under the lock does no harm to it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    fn info(&self) -> StoreInfo {
        INFO.clone()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        check_batch(&INFO, claims.iter().map(|claim| &claim.key))?;
        let (mut table, now, clock) = (self.table(), self.now(), clock_micros());
        table.drop_unused_now_and_then(now);
        let answers = claims.iter().map(|claim| {
            check_ttl(&INFO, &claim.key, claim.ttl)?;
            let (answer, change) = table.acquire_step(now, clock, claim)?;
            if change == Change::ChangedHands {
                self.watchers.wake(&Wake::taken(claim.key.clone()));
            }
            Ok(answer)
        });
        Ok(answers.collect())
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        let (mut table, now) = (self.table(), self.now());
        let answers = held.iter().map(|held| {
            check_ttl(&INFO, &held.key, held.ttl)?;
            Ok(table.renew(now, held))
        });
        Ok(answers.collect())
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        check_batch(&INFO, held.iter().map(|held| &held.key))?;
        let (mut table, now) = (self.table(), self.now());
        let answers = held.iter().map(|held| {
            let answer = table.release(now, held);
            if answer == Released::Freed {
                self.watchers.wake(&Wake::freed(held.key.clone()));
            }
            Ok(answer)
        });
        Ok(answers.collect())
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        Ok(self.table().request_resign(self.now(), key))
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        let stood = self.table().remove(self.now(), key);
        self.watchers.wake(&Wake::freed(key.clone()));
        Ok(stood)
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        Ok(self.table().list(self.now(), prefix))
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        Ok(self.table().slot(key).and_then(|slot| slot.term))
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.watchers.watch(prefix, &self.overflowed)
    }
}

fn clock_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}
