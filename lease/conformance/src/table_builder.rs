//! A builder for stores that are a [`LeaseTable`] in this process: the memory store, and the simulator's store model.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore, LeaseTable, Note, RecordFormat, Time};

use crate::builder::{BuildError, Records, Rewindable, StoreBuilder};

/// A change of a store's table, at the store's present time.
pub type Act<'a> = &'a mut dyn FnMut(&mut LeaseTable, Time);

/// Opens clients of one table, and changes the table past the store.
pub struct TableBuilder<S> {
    name: &'static str,
    store: Arc<S>,
    reach: fn(&S, Act<'_>),
    /// The table that [`Rewindable::save`] saved.
    saved: Mutex<LeaseTable>,
    documents: Option<Arc<dyn DocumentStore>>,
}

impl<S: LeaseStore + 'static> TableBuilder<S> {
    /// A builder for `store`. `reach` calls its argument once with the store's table, before it returns.
    pub fn new(name: &'static str, store: S, reach: fn(&S, Act<'_>)) -> Self {
        TableBuilder { name, store: Arc::new(store), reach, saved: Mutex::default(), documents: None }
    }

    /// The same with documents beside the leases.
    pub fn with_documents(self, documents: impl DocumentStore) -> Self {
        TableBuilder { documents: Some(Arc::new(documents)), ..self }
    }

    fn client(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        let store: Arc<dyn LeaseStore> = Arc::clone(&self.store) as _;
        ready(Ok(store)).boxed()
    }

    fn do_to_table(&self, mut act: impl FnMut(&mut LeaseTable, Time)) -> BoxFuture<'static, Result<(), BuildError>> {
        (self.reach)(&self.store, &mut act);
        ready(Ok(())).boxed()
    }
}

impl<S: LeaseStore + 'static> StoreBuilder for TableBuilder<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        self.client()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        self.documents.as_ref().map(|documents| ready(Ok(Arc::clone(documents))).boxed())
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn rewindable(&self) -> Option<&dyn Rewindable> {
        Some(self)
    }
}

impl<S: LeaseStore + 'static> Rewindable for TableBuilder<S> {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        self.client()
    }

    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        self.do_to_table(|table, _| *saved = table.clone())
    }

    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        self.do_to_table(|table, now| table.come_back(now, &saved))
    }
}

impl<S: LeaseStore + 'static> Records for TableBuilder<S> {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(self.do_to_table(|table, _| {
            table.forget(key);
        }))
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(self.do_to_table(|table, now| {
            table.plant(now, key.clone(), holder.clone(), RecordFormat::Foreign, Note::default());
        }))
    }
}
