//! A lease store over whatever has records with compare-and-swap.
//!
//! [`Records`] is what a server offers: read a record at its version, write one where the version is still the one that
//! was seen. [`RecordStore`] makes a [`LeaseStore`](tenure_store::LeaseStore) of it, and decides all else once for every
//! server: the steps of the verbs, their short way, when a lease is over, what is known for certain, and the hints.
//! [`RecordDocuments`] makes a [`DocumentStore`](tenure_store::DocumentStore) of the same server.
//!
//! # When a lease is over
//!
//! No record says until when it lasts. Either of two proofs suffices: its **age** by the server's clock has reached the
//! ttl, where the server has a clock that tells, or its **silence** has: it stood unchanged for its ttl on this process's
//! own clock, which counts through sleep, since the receipt of the first answer that showed this version. A clock of another
//! machine decides nothing. A process that begins has seen nothing, and waits one ttl where silence alone can tell.
//!
//! A lease that is **bound** to a member's tenure is never over by age or silence: nobody renews it, so that neither says
//! anything. It ends with its release, its removal, or a claim that displaces it.
//!
//! A server that may have **lost** what it acknowledged says so where it can tell ([`Seen::complete_for`]): its table was dropped
//! and made anew, or it came back with an older state. Nothing that looks free is granted then before everything has run out that
//! may have been promised.
//!
//! # Writing a store
//!
//! A server is done with five methods, and the suite of all stores is the definition of done:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex, PoisonError};
//! use std::time::Duration;
//!
//! use async_trait::async_trait;
//! use tenure_records::{
//!     Content, Kind, Place, RecordDocuments, RecordStore, Records, RecordsInfo, Seen, Swap, Version, Write,
//! };
//! use tenure_store::{DocumentStore, KeyPrefix, LeaseKey, LeaseStore, StoreError, StoreInfo};
//!
//! /// A table of values with version numbers, as many a server is one.
//! #[derive(Clone, Debug, Default)]
//! struct Shelf(Arc<Mutex<(HashMap<Place, (Content, u64)>, u64)>>);
//!
//! impl Shelf {
//!     fn seen(row: Option<&(Content, u64)>) -> Seen {
//!         let Some((content, number)) = row else { return Seen::default() };
//!         Seen { content: Some(content.clone()), version: Some(Version::new(number.to_string())), ..Seen::default() }
//!     }
//! }
//!
//! #[async_trait]
//! impl Records for Shelf {
//!     fn info(&self) -> RecordsInfo {
//!         // No hints and no clock: candidates go by their timers, and silence tells that a holder is gone.
//!         RecordsInfo { store: StoreInfo::new("shelf"), call_timeout: Duration::from_secs(3), in_flight: 16, batch: 1 }
//!     }
//!
//!     async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
//!         let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
//!         Ok(Shelf::seen(table.0.get(place)))
//!     }
//!
//!     async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
//!         let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
//!         let found = Shelf::seen(table.0.get(&write.place));
//!         if found.version != write.expected {
//!             return Ok(Swap::Conflict(Some(found)));
//!         }
//!         // One count for all keys: no version repeats, also where a key was deleted in between.
//!         table.1 += 1;
//!         let number = table.1;
//!         match &write.to {
//!             Some(content) => table.0.insert(write.place.clone(), (content.clone(), number)),
//!             None => table.0.remove(&write.place),
//!         };
//!         Ok(Swap::Done(Version::new(number.to_string())))
//!     }
//!
//!     async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
//!         let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
//!         let rows = table.0.iter().filter(|(place, _)| place.kind == kind && prefix.matches(&place.key));
//!         Ok(rows.map(|(place, row)| (place.key.clone(), Shelf::seen(Some(row)))).collect())
//!     }
//! }
//!
//! // tests/conformance.rs
//! use futures_util::FutureExt;
//! use futures_util::future::{BoxFuture, ready};
//! use tenure_conformance::{BuildError, Options, StoreBuilder, suite_with};
//!
//! impl StoreBuilder for Shelf {
//!     fn name(&self) -> &str {
//!         "shelf"
//!     }
//!
//!     fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
//!         ready(Ok(Arc::new(RecordStore::new(self.clone())) as Arc<dyn LeaseStore>)).boxed()
//!     }
//!
//!     fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
//!         Some(ready(Ok(Arc::new(RecordDocuments::new(self.clone())) as Arc<dyn DocumentStore>)).boxed())
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     // A store's own test calls `suite`, whose races take 20 s.
//!     let options = Options { race_time: Duration::from_secs(1), ..Options::default() };
//!     println!("{}", suite_with(&Shelf::default(), options).await);
//! }
//! ```

mod calls;
mod documents;
mod lease_changes;
mod observations;
mod polled;
mod records;
mod step;
mod store;

pub use documents::RecordDocuments;
pub use polled::polled_changes;
pub use records::{Changes, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
pub use step::{Ask, Memory, Moment, Next, Step, Told};
pub use store::RecordStore;
pub use tenure_store::Bound;
pub use tenure_store::record::{Content, Lasts, Occupancy, Occupant, Record};
