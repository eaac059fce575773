//! The memory stores of this process, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tenure_store::{MemoryDocuments, MemoryStore};

type Named<T> = Mutex<Option<HashMap<String, Weak<T>>>>;

static STORES: Named<MemoryStore> = Mutex::new(None);
static DOCUMENTS: Named<MemoryDocuments> = Mutex::new(None);

/// Returns the store of that name, or a new one where nobody has it open.
pub(crate) fn memory(name: &str) -> Arc<MemoryStore> {
    of(&STORES, name)
}

/// Returns the documents of that name, or new ones where nobody has them open.
pub(crate) fn memory_documents(name: &str) -> Arc<MemoryDocuments> {
    of(&DOCUMENTS, name)
}

fn of<T: Default>(named: &Named<T>, name: &str) -> Arc<T> {
    let mut stores = named.lock().unwrap_or_else(PoisonError::into_inner);
    let stores = stores.get_or_insert_default();
    // Names whose stores were dropped are removed, so that the map holds no more than what is open.
    stores.retain(|_, store| store.strong_count() > 0);
    if let Some(store) = stores.get(name).and_then(Weak::upgrade) {
        return store;
    }
    let store = Arc::new(T::default());
    stores.insert(name.to_owned(), Arc::downgrade(&store));
    store
}
