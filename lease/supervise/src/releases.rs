//! The leases of worker processes that have died: released at once, or as soon as the store answers again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{KeyPrefix, Time};
use tenure_store::{LeaseStore, StoreError};

use crate::records::release_of_processes;
use tenure_base_time::now;

/// The pause between two tries grows from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// For how many dead processes leases wait to be released at most; those of earlier deaths are left to their ttl.
const MOST_DEAD: usize = 64;

/// The leases that dead worker processes may still hold.
#[derive(Debug)]
pub struct Releases {
    /// `None` where a lease dies with its process (`memory:`).
    store: Option<Arc<dyn LeaseStore>>,
    lease: KeyPrefix,
    ttl: Duration,
    /// The process half of the nonces of each dead process, and the moment at which its leases have run out by themselves.
    dead: VecDeque<(u64, Time)>,
    failures: u32,
}

impl Releases {
    /// For leases in `store` that begin with `lease` and last at most `ttl`.
    pub fn new(store: Option<Arc<dyn LeaseStore>>, lease: KeyPrefix, ttl: Duration) -> Releases {
        Releases { store, lease, ttl, dead: VecDeque::new(), failures: 0 }
    }

    /// The process whose nonces have this process half was proven dead.
    pub fn add(&mut self, process: u64) {
        if self.store.is_some() {
            if self.dead.len() == MOST_DEAD {
                self.dead.pop_front();
            }
            self.dead.push_back((process, now() + self.ttl));
        }
    }

    /// Releases everything there is to release, in as many tries as it takes; gives up on a lease once it has run out by itself.
    /// Cancel-safe.
    pub async fn settle(&mut self) {
        while !self.is_settled() {
            if self.failures > 0 {
                let pause = RETRY.0 * 2_u32.saturating_pow(self.failures.min(10) - 1);
                tokio::time::sleep(pause.min(RETRY.1)).await;
            }
            let error = match tokio::time::timeout(TRY_TIMEOUT, self.release()).await {
                Ok(Ok(released)) => {
                    if released > 0 {
                        tracing::info!(component = "releases", released, "released the leases of the dead");
                    }
                    self.dead.clear();
                    self.failures = 0;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {TRY_TIMEOUT:?}"),
            };
            if self.failures == 0 {
                tracing::warn!(component = "releases", error, "cannot release for the dead yet; trying on");
            }
            self.failures = self.failures.saturating_add(1);
            let now = now();
            self.dead.retain(|(_, ended)| *ended > now);
            if self.is_settled() {
                tracing::warn!(component = "releases", error, "the leases of the dead have ended by themselves");
                self.failures = 0;
            }
        }
    }

    /// Whether nothing is left to release.
    pub fn is_settled(&self) -> bool {
        self.dead.is_empty()
    }

    async fn release(&self) -> Result<usize, StoreError> {
        let Some(store) = &self.store else { return Ok(0) };
        let records = store.list(&self.lease).await?;
        let is_dead = |process| self.dead.iter().any(|(dead, _)| *dead == process);
        release_of_processes(&**store, records, is_dead, self.ttl).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{HolderId, LeaseKey, Nonce};
    use tenure_store::{Claim, MemoryStore};

    fn claim(key: &str, process: u64) -> Claim {
        Claim::new(
            LeaseKey::new(key).unwrap(),
            HolderId::new("h").unwrap(),
            Nonce { process, campaign: 1 },
            Duration::from_secs(10),
        )
    }

    /// Only what the dead held is released, and of several dead what all of them held.
    #[tokio::test]
    async fn only_the_leases_of_the_dead_are_released() {
        let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
        let claims = [claim("k", 1), claim("k/readers/a", 2), claim("k/readers/b", 3), claim("other", 1)];
        for answer in store.acquire(&claims).await.unwrap() {
            answer.unwrap();
        }
        let prefix = KeyPrefix::new("k").unwrap();
        let mut releases = Releases::new(Some(Arc::clone(&store)), prefix, Duration::from_secs(10));
        assert!(releases.is_settled());
        releases.add(1);
        releases.add(2);
        assert!(!releases.is_settled());
        releases.settle().await;
        assert!(releases.is_settled());
        let left = store.list(&KeyPrefix::default()).await.unwrap();
        let mut left: Vec<&str> = left.iter().map(|record| record.key.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["k/readers/b", "other"]);
    }

    /// Processes that die faster than the store answers do not pile up.
    #[tokio::test]
    async fn the_dead_are_bounded() {
        let store: Arc<dyn LeaseStore> = Arc::new(MemoryStore::new());
        let mut releases = Releases::new(Some(store), KeyPrefix::default(), Duration::from_secs(10));
        (0..1_000).for_each(|process| releases.add(process));
        assert_eq!(releases.dead.len(), MOST_DEAD);
    }
}
