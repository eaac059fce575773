//! The fleet: every warm reader announces what it covers in the note of a lease of its own. A leader reads these notes to
//! tell an interval that a peer has read from one that nobody has.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{KeyPrefix, LeaseKey, NameError};
use tenure_store::{LeaseStore, StoreError, StoreErrorKind};

use crate::note::CoverageNote;
use tenure_base_time::unix_millis;

impl FleetNotes {
    /// The notes of a fleet of one: none.
    pub fn of_no_peer() -> FleetNotes {
        FleetNotes { asked_ms: unix_millis(), answered_ms: unix_millis(), readers: Vec::new() }
    }
}

/// How long the store may take to list the readers.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The notes of all peers that hold their lease.
#[derive(Clone, Debug, Default)]
pub struct FleetNotes {
    /// When the store was asked, by the own wall clock in Unix milliseconds.
    pub asked_ms: u64,
    /// When the store had answered.
    pub answered_ms: u64,
    /// The note of each.
    pub readers: Vec<(LeaseKey, CoverageNote)>,
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

    /// The notes of the peers. `None` where the store did not answer; that comes after a pause, so that a caller that asks
    /// again at once does not flood the store.
    pub(crate) async fn others(self) -> Option<FleetNotes> {
        let asked_ms = unix_millis();
        let listed = tokio::time::timeout(ANSWER_WITHIN, self.store.list(&self.prefix)).await;
        let timeout = || StoreError::new(StoreErrorKind::Unavailable, "the store did not answer");
        match listed.unwrap_or_else(|_| Err(timeout())) {
            Ok(records) => {
                let others = records.into_iter().filter(|record| record.key != self.own);
                let readers =
                    others.filter_map(|record| Some((record.key, CoverageNote::parse(record.note.as_str())?)));
                Some(FleetNotes { asked_ms, answered_ms: unix_millis(), readers: readers.collect() })
            }
            Err(error) => {
                tracing::debug!(component = "coverage", %error, "the fleet could not be listed");
                tokio::time::sleep(Duration::from_millis(500)).await;
                None
            }
        }
    }
}
