//! Documents in this process's memory: for tests, demonstrations and one-process programs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tenure_core::{KeyPrefix, LeaseKey};

use crate::document::{Document, DocumentList, Found, Swapped, Version, check_document};
use crate::document_store::DocumentStore;
use crate::error::StoreError;
use crate::info::StoreInfo;
use crate::wake::{Wake, WakeStream};
use crate::wake_hub::WakeHub;

/// Documents in this process's memory: shared by whoever holds the same `Arc`, gone with the process.
pub struct MemoryDocuments {
    state: Mutex<State>,
    watchers: Arc<WakeHub>,
    overflowed: Arc<AtomicU64>,
}

struct State {
    documents: BTreeMap<LeaseKey, Document>,
    // Counts every change of every key.
    changes: u64,
}

static INFO: StoreInfo = StoreInfo::new("memory").watch(true);

impl MemoryDocuments {
    /// A store without documents.
    pub fn new() -> Self {
        // Versions of an earlier store of the same name are none of this one's.
        let changes = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let changes = u64::try_from(changes).unwrap_or_default();
        let state = Mutex::new(State { documents: BTreeMap::new(), changes });
        MemoryDocuments { state, watchers: WakeHub::new(INFO.scheme), overflowed: Arc::default() }
    }

    /// Leaves `to` where the document stands at the version that is expected; `None` is no document.
    fn change(&self, key: &LeaseKey, expected: Option<&Version>, to: Option<&[u8]>) -> Swapped<Version> {
        let mut state = self.state();
        let found = state.documents.get(key);
        if found.map(|document| &document.version) != expected {
            return Swapped::Conflict(Found::from(found.cloned()));
        }
        state.changes += 1;
        let version = Version::new(state.changes.to_string());
        match to {
            Some(value) => {
                let document = Document { key: key.clone(), version: version.clone(), value: value.to_vec() };
                state.documents.insert(key.clone(), document);
            }
            None => drop(state.documents.remove(key)),
        }
        drop(state);
        self.watchers.wake(&Wake::changed(key.clone()));
        Swapped::Done(version)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every step leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryDocuments {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryDocuments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryDocuments").finish_non_exhaustive()
    }
}

#[async_trait]
impl DocumentStore for MemoryDocuments {
    fn info(&self) -> StoreInfo {
        INFO.clone()
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Document>, StoreError> {
        Ok(self.state().documents.get(key).cloned())
    }

    async fn create(&self, key: &LeaseKey, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(INFO.scheme, key, value)?;
        Ok(self.change(key, None, Some(value)))
    }

    async fn swap(&self, key: &LeaseKey, version: &Version, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        check_document(INFO.scheme, key, value)?;
        Ok(self.change(key, Some(version), Some(value)))
    }

    async fn delete(&self, key: &LeaseKey, version: &Version) -> Result<Swapped<()>, StoreError> {
        Ok(self.change(key, Some(version), None).map(drop))
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<Document>, StoreError> {
        let (state, mut list) = (self.state(), DocumentList::new(INFO.scheme, prefix));
        state.documents.values().try_for_each(|document| list.add(document.clone()))?;
        Ok(list.finish())
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.watchers.watch(prefix, &self.overflowed)
    }
}
