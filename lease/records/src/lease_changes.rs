//! What is made of the changes of leases: they are kept in mind for the steps, and hints tell of those by which a key changes
//! hands. A renewal changes a record and wakes nobody: tenures are told apart by their nonces.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tenure_store::{HolderId, KeyPrefix, LeaseKey, Nonce, StoreError, Wake, WakeHub, WakeSource};

use crate::calls::Calls;
use crate::records::{Changes, Kind, Place, Records, Seen};
use crate::step::Memory;

/// How many keys are told apart at a time; where there are more, hints name none.
const KEYS: usize = 65_536;

/// Listens to leases.
#[derive(Debug)]
pub(crate) struct LeaseChanges<R> {
    pub(crate) calls: Arc<Calls<R>>,
    pub(crate) memory: Arc<Mutex<Memory>>,
    /// Who held what when it was last heard of, and under which nonce: what tells one tenure from the next.
    pub(crate) known: HashMap<LeaseKey, Option<(HolderId, Option<Nonce>)>>,
}

impl<R: Records> LeaseChanges<R> {
    /// Keeps in mind what stands there, and tells whoever watches if the key has changed hands. What is heard of for the first
    /// time by a scan is no news: the scan begins with it.
    fn learn(&mut self, hub: &WakeHub, key: LeaseKey, seen: Seen, by_scan: bool) {
        let now = tenure_base_time::now();
        let tenure = self.memory.lock().unwrap_or_else(PoisonError::into_inner).heard(now, &key, seen);
        if self.known.len() >= KEYS && !self.known.contains_key(&key) {
            self.known.clear();
            hub.wake(&Wake::unknown());
        }
        let is_held = tenure.is_some();
        let is_news = match self.known.get(&key) {
            Some(before) => *before != tenure,
            None => !by_scan,
        };
        self.known.insert(key.clone(), tenure);
        if is_news {
            hub.wake(&if is_held { Wake::taken(key) } else { Wake::freed(key) });
        }
    }
}

impl<R: Records> WakeSource for LeaseChanges<R> {
    type Change = (Place, Option<Seen>);

    async fn subscribe(&mut self, hub: &WakeHub, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let changes = self.calls.changes(Kind::Lease, prefix).await?;
        let mut gone: HashSet<LeaseKey> = self.known.keys().filter(|key| prefix.matches(key)).cloned().collect();
        for (key, seen) in self.calls.scan(Kind::Lease, prefix).await? {
            gone.remove(&key);
            self.learn(hub, key, seen, true);
        }
        for key in gone {
            self.learn(hub, key, Seen::default(), true);
        }
        Ok(changes)
    }

    async fn changed(&mut self, hub: &WakeHub, (place, seen): Self::Change) -> Result<(), StoreError> {
        let seen = match seen {
            Some(seen) => seen,
            None => self.calls.read_one(self.calls.until(), &place).await?,
        };
        self.learn(hub, place.key, seen, false);
        Ok(())
    }

    /// What is known grows old; whoever watches next begins anew.
    fn unwatched(&mut self) {
        self.known.clear();
    }
}
