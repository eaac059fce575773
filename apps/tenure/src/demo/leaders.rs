//! Follows who leads and when that changed: read from the store, not asked of the instances.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tenure_core::{KeyPrefix, LeaseKey, Term, Time};
use tenure_store::LeaseStore;

/// One leader, as the store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) name: String,
    pub(crate) term: Term,
}

/// The store's latest answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observation {
    /// Who leads now.
    pub(crate) leader: Option<Leader>,
    /// When the key was last seen to change hands or come free.
    pub(crate) changed_at: Time,

    /// How many terms were seen.
    pub(crate) terms: u64,
}

/// Watches one lease.
#[derive(Clone, Debug)]
pub(crate) struct Leaders {
    seen: Arc<Mutex<Observation>>,
}

impl Leaders {
    /// Watches from now on, on the current runtime.
    pub(crate) fn watch(store: Arc<dyn LeaseStore>, key: LeaseKey) -> Leaders {
        let leaders = Leaders { seen: Arc::default() };
        let seen = Arc::clone(&leaders.seen);
        tokio::spawn(async move {
            let prefix = KeyPrefix::from(&key);
            let mut wakes = store.watch(&prefix).await.ok();
            loop {
                if let Ok(records) = store.list(&prefix).await {
                    let now = tenure::now();
                    let leader = records
                        .into_iter()
                        .find(|record| record.key == key)
                        .and_then(|record| Some(Leader { name: record.holder.to_string(), term: record.term? }));
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    if seen.leader != leader {
                        seen.changed_at = now;
                        seen.terms += u64::from(leader.is_some());
                    }
                    seen.leader = leader;
                }
                let pause = tokio::time::sleep(Duration::from_millis(5));
                match &mut wakes {
                    Some(wakes) => tokio::select! { _ = wakes.next() => {}, () = pause => {} },
                    None => pause.await,
                }
            }
        });
        leaders
    }

    /// The latest answer.
    pub(crate) fn now(&self) -> Observation {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until somebody leads under a term above `term`; returns that answer, or `None` after `at_most`.
    pub(crate) async fn after(&self, term: Option<Term>, at_most: Duration) -> Option<Observation> {
        let give_up = tenure::now() + at_most;
        while tenure::now() < give_up {
            let seen = self.now();
            if seen.leader.as_ref().is_some_and(|leader| Some(leader.term) > term) {
                return Some(seen);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        None
    }
}
