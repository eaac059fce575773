//! What is made of the changes of leases: they are kept in mind for the steps, and hints tell of those by which a key changes
//! hands. A renewal changes a record and wakes nobody: tenures are told apart by their nonces.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tenure_store::{HolderId, KeyPrefix, LeaseKey, Nonce, StoreError, StoreErrorKind, Wake, WakeHub};

use crate::calls::Calls;
use crate::feed::Listener;
use crate::records::{Kind, Place, Records, Seen};
use crate::step::Memory;

/// How many keys are told apart at a time; where there are more, hints name none.
const KEYS: usize = 65_536;

/// What tells one tenure of a key from the next.
type Tenure = (HolderId, Option<Nonce>);

/// Listens to leases.
#[derive(Debug)]
pub(crate) struct LeaseChanges {
    memory: Arc<Mutex<Memory>>,
    /// Who held what when it was last heard of.
    known: HashMap<LeaseKey, Option<Tenure>>,
}

/// How a record came to be known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Looked for, after a subscription was made.
    ByScan,
    /// The server told of it.
    AsChange,
}

impl LeaseChanges {
    pub(crate) fn new(memory: &Arc<Mutex<Memory>>) -> LeaseChanges {
        LeaseChanges { memory: Arc::clone(memory), known: HashMap::new() }
    }

    /// Keeps in mind what stands there, and tells whoever watches if the key has changed hands.
    fn learn(&mut self, hub: &WakeHub, key: LeaseKey, seen: Seen, heard: Heard) {
        let now = tenure_base_time::now();
        let tenure = self.memory.lock().unwrap_or_else(PoisonError::into_inner).heard(now, &key, seen);
        if self.known.len() >= KEYS && !self.known.contains_key(&key) {
            self.known.clear();
            hub.wake(&Wake::unknown());
        }
        let wake = match (self.known.get(&key), &tenure) {
            (Some(before), after) if before == after => None,
            (Some(Some(_)), None) => Some(Wake::freed(key.clone())),
            (Some(_), Some(_)) => Some(Wake::taken(key.clone())),
            (Some(None), None) => None,
            // Heard of for the first time: what a scan begins with is no news.
            (None, _) if heard == Heard::ByScan => None,
            (None, Some(_)) => Some(Wake::taken(key.clone())),
            (None, None) => Some(Wake::freed(key.clone())),
        };
        self.known.insert(key, tenure);
        if let Some(wake) = wake {
            hub.wake(&wake);
        }
    }
}

impl<R: Records> Listener<R> for LeaseChanges {
    const KIND: Kind = Kind::Lease;

    async fn begun(&mut self, calls: &Calls<R>, hub: &WakeHub, prefix: &KeyPrefix) -> Result<(), StoreError> {
        let scan = calls.records.scan(Kind::Lease, prefix);
        let scanned = calls.in_time(StoreErrorKind::Unavailable, scan).await??;
        let mut gone: HashSet<LeaseKey> = self.known.keys().filter(|key| prefix.matches(key)).cloned().collect();
        for (key, seen) in scanned {
            gone.remove(&key);
            self.learn(hub, key, seen, Heard::ByScan);
        }
        for key in gone {
            self.learn(hub, key, Seen::default(), Heard::ByScan);
        }
        Ok(())
    }

    async fn changed(
        &mut self,
        calls: &Calls<R>,
        hub: &WakeHub,
        place: Place,
        seen: Option<Seen>,
    ) -> Result<(), StoreError> {
        let seen = match seen {
            Some(seen) => seen,
            None => calls.read_one(&place).await?,
        };
        self.learn(hub, place.key, seen, Heard::AsChange);
        Ok(())
    }

    /// What is known grows old; whoever watches next begins anew.
    fn unwatched(&mut self) {
        self.known.clear();
    }
}
