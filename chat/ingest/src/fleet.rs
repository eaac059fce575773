//! The fleet: each reader announces what it covers in the note of a lease of its own, so that a leader can tell what
//! somebody read from what nobody did.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{KeyPrefix, LeaseKey, NameError};
use tenure_store::{LeaseStore, StoreError, StoreErrorKind};

use crate::note::CoverNote;
use tenure_base_time::unix_millis;

impl Answer {
    /// That of a fleet of one.
    pub fn of_nobody() -> Answer {
        Answer { asked_ms: unix_millis(), answered_ms: unix_millis(), readers: Vec::new() }
    }
}

/// How long the store may take to list the readers.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What the other living readers say of themselves.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// When they were asked, by the own wall clock in Unix milliseconds.
    pub asked_ms: u64,
    /// When the answer was there.
    pub answered_ms: u64,
    /// The note of each.
    pub readers: Vec<(LeaseKey, CoverNote)>,
}

/// The readers beside this one.
#[derive(Clone, Debug)]
pub struct Fleet {
    store: Arc<dyn LeaseStore>,
    prefix: KeyPrefix,
    own: LeaseKey,
}

impl Fleet {
    /// The fleet that contends for `lease`, seen by `instance`.
    pub fn new(store: Arc<dyn LeaseStore>, lease: &LeaseKey, instance: &str) -> Result<Self, NameError> {
        let prefix = format!("{lease}/readers/");
        let own = LeaseKey::new(format!("{prefix}{instance}"))?;
        Ok(Fleet { store, prefix: KeyPrefix::new(prefix)?, own })
    }

    /// The key of this reader's own lease.
    pub fn own_key(&self) -> &LeaseKey {
        &self.own
    }

    /// What the other living readers say they cover; `None` where the store did not answer (after a pause, so that
    /// asking again at once is no storm).
    pub(crate) async fn others(self) -> Option<Answer> {
        let asked_ms = unix_millis();
        let listed = tokio::time::timeout(ANSWER_WITHIN, self.store.list(&self.prefix)).await;
        let timeout = || StoreError::new(StoreErrorKind::Unavailable, "the store did not answer");
        match listed.unwrap_or_else(|_| Err(timeout())) {
            Ok(records) => {
                let others = records.into_iter().filter(|record| record.key != self.own);
                let readers = others.filter_map(|record| Some((record.key, CoverNote::parse(record.note.as_str())?)));
                Some(Answer { asked_ms, answered_ms: unix_millis(), readers: readers.collect() })
            }
            Err(error) => {
                tracing::debug!(component = "coverage", %error, "the fleet could not be listed");
                tokio::time::sleep(Duration::from_millis(500)).await;
                None
            }
        }
    }
}
