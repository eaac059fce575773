//! The memory stores of this process, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tenure_store::MemoryStore;

static STORES: Mutex<Option<HashMap<String, Weak<MemoryStore>>>> = Mutex::new(None);

/// Returns the store of that name, or a new one where nobody has it open.
pub(crate) fn memory(name: &str) -> Arc<MemoryStore> {
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let stores = stores.get_or_insert_default();
    // Names whose stores were dropped are removed, so that the map holds no more than what is open.
    stores.retain(|_, store| store.strong_count() > 0);
    if let Some(store) = stores.get(name).and_then(Weak::upgrade) {
        return store;
    }
    let store = Arc::new(MemoryStore::new());
    stores.insert(name.to_owned(), Arc::downgrade(&store));
    store
}
