//! What becomes of a lease whose holder has died or ends without settling it: released, or left to last until a moment that was
//! promised.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tenure_core::{Held, LeaseKey, LeaseRecord, Time};
use tenure_store::{LeaseStore, Renewed, StoreError};
use tokio::runtime::Runtime;

use crate::records::{records_of, release_of_processes};
use tenure_base_time::now;

/// The pause between two tries grows from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// When claims are looked for after the candidate's death: one may still be on its way to the store.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_millis(1500)];
/// How long a request of a process that has died may still be on its way.
const IN_FLIGHT: Duration = Duration::from_millis(100);

/// A lease that somebody else has to settle, because its holder has died or ends.
#[derive(Clone, Debug)]
pub enum OwedLease {
    /// A tenure whose work has ended.
    Tenure {
        /// The tenure.
        held: Held,
        /// Until when its lease is to last.
        keep_until: Time,
        /// By then the lease has run out by itself.
        expired_by: Time,
    },
    /// Leases that may have been granted to a candidate which has died.
    Claims {
        /// The keys that were campaigned for.
        keys: Vec<LeaseKey>,
        /// The process half of the candidate's nonces.
        process: u64,
        /// The ttl of its claims.
        ttl: Duration,
        /// How long the store is waited for. A claim that lies in front of a store that stands still is granted when that goes on:
        /// longer than the ttl where one is known to be on its way.
        patience: Duration,
    },
}

/// Opens the store; called again until it succeeds.
pub type OpenStore = Arc<dyn Fn() -> BoxFuture<'static, Option<Arc<dyn LeaseStore>>> + Send + Sync>;

/// Settles owed leases from a thread of its own, with a runtime and a store that it makes once they can be made. A machine at a
/// limit makes neither for a while: everything is tried again until the lease has run out by itself.
#[derive(Debug, Default)]
pub struct Settler {
    runtime: Option<Runtime>,
    store: Option<Arc<dyn LeaseStore>>,
}

impl Settler {
    /// Opens the store if it is not open yet. Blocks for at most 5 s. To be called while the command is still being killed, so
    /// that the store is open once that is done.
    pub fn prepare(&mut self, open: &OpenStore) {
        if self.runtime.is_none() {
            self.runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        }
        if let (Some(runtime), None) = (&self.runtime, &self.store) {
            self.store = runtime.block_on(within(open())).flatten();
        }
    }

    /// Settles this lease; blocks until that is done, or until the lease has run out by itself (of claims: until the patience has).
    /// Everything that acted under it must be dead.
    pub fn settle(&mut self, open: &OpenStore, owed: &OwedLease) {
        let mut pause = RETRY.0;
        let until = match owed {
            OwedLease::Tenure { expired_by, .. } => *expired_by,
            OwedLease::Claims { patience, .. } => now() + *patience,
        };
        loop {
            self.prepare(open);
            if let (Some(runtime), Some(store)) = (&self.runtime, &self.store)
                && runtime.block_on(within(settle(&**store, owed))).is_some_and(|answer| answer.is_ok())
            {
                return;
            }
            if now() + pause > until {
                return;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RETRY.1);
        }
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.store = None;
        if let Some(runtime) = self.runtime.take() {
            // A store whose thread hangs must not keep this process.
            runtime.shutdown_timeout(Duration::from_millis(100));
        }
    }
}

/// The answer if it comes in time. A store that needs a thread and gets none may panic: that counts as no answer.
async fn within<T>(answer: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(TRY_TIMEOUT, AssertUnwindSafe(answer).catch_unwind()).await.ok()?.ok()
}

async fn settle(store: &dyn LeaseStore, owed: &OwedLease) -> Result<(), StoreError> {
    match owed {
        OwedLease::Tenure { held, keep_until, .. } => release_or_keep(store, held, *keep_until).await,
        OwedLease::Claims { keys, process, ttl, .. } => {
            for pause in LOOKS {
                tokio::time::sleep(pause).await;
                let records = records_of(store, keys).await?;
                release_of_processes(store, records, |holder| holder == *process, *ttl).await?;
            }
            Ok(())
        }
    }
}

/// Releases a lease, or renews it to last until `keep_until` where that is still to come. A lease that the store has given to
/// somebody else already is no error.
async fn release_or_keep(store: &dyn LeaseStore, held: &Held, keep_until: Time) -> Result<(), StoreError> {
    let info = store.info();
    loop {
        let rest = keep_until.since(now());
        if rest.is_zero() {
            for answer in store.release(std::slice::from_ref(held)).await? {
                answer?;
            }
            return Ok(());
        }
        let ttl = rest.max(info.min_ttl).min(info.max_ttl);
        for answer in store.renew(&[Held { ttl, ..held.clone() }]).await? {
            if matches!(answer?, Renewed::Lost { .. }) {
                return Ok(());
            }
        }
        // The holder's last renewal, for its usual ttl, may arrive after this one and shorten it: looked at once that has arrived.
        tokio::time::sleep(IN_FLIGHT).await;
        let ours = store.record(&held.key).await?.filter(|record| record.nonce == Some(held.nonce));
        let is_shortened = |record: LeaseRecord| {
            record.ttl.is_some_and(|kept| kept < ttl)
                && record.remaining.is_some_and(|left| left < keep_until.since(now()))
        };
        if !ours.is_some_and(is_shortened) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{HolderId, KeyPrefix, Nonce, Note, Term};
    use tenure_store::{Claim, Claimed, MemoryStore};

    async fn granted(store: &dyn LeaseStore) -> Held {
        let (key, nonce) = (LeaseKey::new("k").unwrap(), Nonce { process: 1, campaign: 1 });
        let ttl = Duration::from_secs(10);
        let holder = HolderId::new("h").unwrap();
        let claim = Claim::new(key.clone(), holder, nonce, ttl);
        let Claimed::Granted { term, .. } = store.acquire(&[claim]).await.unwrap().remove(0).unwrap() else {
            panic!("not granted");
        };
        Held { key, nonce, term, ttl, note: Note::default() }
    }

    /// A lease that is to be kept lasts for the rest of that time; any other is free at once.
    #[tokio::test]
    async fn a_lease_is_released_or_kept() {
        let store = MemoryStore::new();
        let held = granted(&store).await;
        let all = KeyPrefix::default();
        release_or_keep(&store, &held, now() + Duration::from_secs(100)).await.unwrap();
        let records = store.list(&all).await.unwrap();
        let left = records[0].remaining.unwrap();
        assert!(left > Duration::from_secs(90) && left <= Duration::from_secs(100), "{left:?}");
        // Somebody else's is not touched.
        let other = Held { term: Term::new(1).unwrap(), ..held.clone() };
        release_or_keep(&store, &other, Time::ZERO).await.unwrap();
        assert_eq!(store.list(&all).await.unwrap().len(), 1);
        release_or_keep(&store, &held, Time::ZERO).await.unwrap();
        assert!(store.list(&all).await.unwrap().is_empty());
    }

    /// A store that panics or cannot be opened at first is tried again until the lease is settled.
    #[test]
    fn a_store_that_cannot_be_opened_is_tried_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
        let held = runtime.block_on(granted(&*store));
        let tries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (theirs, count) = (Arc::clone(&store), Arc::clone(&tries));
        let open: OpenStore = Arc::new(move || {
            let store = Arc::clone(&theirs);
            let tried = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move {
                assert!(tried > 0, "a thread is missing");
                (tried > 1).then_some(store)
            }
            .boxed()
        });
        let expired_by = now() + Duration::from_secs(10);
        Settler::default().settle(&open, &OwedLease::Tenure { held, keep_until: Time::ZERO, expired_by });
        assert_eq!(tries.load(std::sync::atomic::Ordering::Relaxed), 3);
        assert!(runtime.block_on(store.list(&KeyPrefix::default())).unwrap().is_empty());
    }
}
