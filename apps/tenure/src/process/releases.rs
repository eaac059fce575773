//! The leases of dead processes, released for them: at once, or as soon as the store answers again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Held, KeyPrefix, Time};
use tenure_store::{LeaseStore, StoreError};

/// The pause between two tries grows from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of how many dead processes at most the leases are still to be released; older ones are left to their ttl.
const MOST: usize = 64;

/// What is still to be released.
#[derive(Debug)]
pub(crate) struct Releases {
    /// `None` where the leases die with their process, or where there are none.
    store: Option<Arc<dyn LeaseStore>>,
    lease: KeyPrefix,
    ttl: Duration,
    /// The process numbers of the dead, and when their leases have ended by themselves.
    dead: VecDeque<(u64, Time)>,
    failures: u32,
}

impl Releases {
    /// Releases in this store, below this lease, what lasts at most `ttl`.
    pub(crate) fn new(store: Option<Arc<dyn LeaseStore>>, lease: KeyPrefix, ttl: Duration) -> Releases {
        Releases { store, lease, ttl, dead: VecDeque::new(), failures: 0 }
    }

    /// The process with this number was proven dead.
    pub(crate) fn add(&mut self, process: u64) {
        if self.store.is_some() {
            if self.dead.len() == MOST {
                self.dead.pop_front();
            }
            self.dead.push_back((process, tenure::now() + self.ttl));
        }
    }

    /// Releases everything there is to release, with as many tries as it takes. May be dropped and called again at any
    /// time.
    pub(crate) async fn settle(&mut self) {
        while !self.is_settled() {
            if self.failures > 0 {
                let pause = RETRY.0 * 2_u32.saturating_pow(self.failures.min(10) - 1);
                tokio::time::sleep(pause.min(RETRY.1)).await;
            }
            let error = match tokio::time::timeout(PATIENCE, self.release()).await {
                Ok(Ok(released)) => {
                    if released > 0 {
                        tracing::info!(component = "releases", released, "released the leases of the dead");
                    }
                    self.dead.clear();
                    self.failures = 0;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {PATIENCE:?}"),
            };
            if self.failures == 0 {
                tracing::warn!(component = "releases", error, "cannot release for the dead yet; trying on");
            }
            self.failures = self.failures.saturating_add(1);
            let now = tenure::now();
            self.dead.retain(|(_, ended)| *ended > now);
            if self.is_settled() {
                tracing::warn!(component = "releases", error, "the leases of the dead have ended by themselves");
                self.failures = 0;
            }
        }
    }

    /// Whether nothing is left to release.
    pub(crate) fn is_settled(&self) -> bool {
        self.dead.is_empty()
    }

    /// Releases every record whose nonce has the process number of the dead; answers how many there were.
    async fn release(&self) -> Result<usize, StoreError> {
        let Some(store) = &self.store else { return Ok(0) };
        let records = store.list(&self.lease).await?;
        let held: Vec<Held> = records
            .into_iter()
            .filter_map(|record| {
                let nonce = record.nonce.filter(|nonce| self.dead.iter().any(|(dead, _)| *dead == nonce.process))?;
                Some(Held { key: record.key, nonce, term: record.term?, ttl: self.ttl, note: record.note })
            })
            .collect();
        if !held.is_empty() {
            for answer in store.release(&held).await? {
                answer?;
            }
        }
        Ok(held.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{HolderId, LeaseKey, Nonce, Note};
    use tenure_store::Claim;

    fn claim(key: &str, process: u64) -> Claim {
        Claim {
            key: LeaseKey::new(key).unwrap(),
            holder: HolderId::new("h").unwrap(),
            nonce: Nonce { process, campaign: 1 },
            ttl: Duration::from_secs(10),
            hold: Duration::ZERO,
            above: None,
            note: Note::default(),
        }
    }

    /// Only what the dead held is released, and of several dead what all of them held.
    #[tokio::test]
    async fn only_the_leases_of_the_dead_are_released() {
        let store = tenure_open::open("memory:releases").await.unwrap();
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
        let store = tenure_open::open("memory:bounded").await.unwrap();
        let mut releases = Releases::new(Some(store), KeyPrefix::default(), Duration::from_secs(10));
        (0..1_000).for_each(|process| releases.add(process));
        assert_eq!(releases.dead.len(), MOST);
    }
}
