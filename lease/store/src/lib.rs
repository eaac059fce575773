//! The store: where leases are kept. One atomic step per key, and no policy.
//!
//! [`LeaseStore`] is the whole plug point for leases, [`DocumentStore`] the one for what a fleet shares besides them, and
//! `memory:` is built in ([`MemoryStore`], [`MemoryDocuments`]). The words of tenure-core are exported again here, so that a
//! store crate needs this crate alone.
//!
//! # Writing a store
//!
//! A store performs the step that a verb names and answers what came of it. When to claim, how long to wait and whom to
//! believe is decided above, once for all stores. What each step does is a pure function of [`Slot`], what is kept for one
//! key; a store that can load a slot, take the step and write the slot back in one transaction is done with that. One that
//! does the step inside its server (a script, a stored procedure) does what [`Slot`] does, and its test plays both side by
//! side. Around the steps stand the checks that all stores share ([`check_batch`], [`check_ttl`]), what the store says of
//! itself ([`StoreInfo`]), and the hints to those who watch ([`WakeHub`]):
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::atomic::AtomicU64;
//! use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
//! use std::time::{Instant, SystemTime, UNIX_EPOCH};
//!
//! use async_trait::async_trait;
//! use tenure_store::{
//!     Answers, Change, Claim, ClaimTime, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Released, Renewed,
//!     Slot, StoreError, StoreInfo, Term, Time, Wake, WakeHub, WakeStream, check_batch, check_ttl,
//! };
//!
//! /// Slots in a map. A store that others depend on keeps them where they outlive the process.
//! #[derive(Debug)]
//! struct MapStore {
//!     slots: Mutex<BTreeMap<LeaseKey, Slot>>,
//!     began: Instant,
//!     hub: Arc<WakeHub>,
//!     overflowed: Arc<AtomicU64>,
//! }
//!
//! static INFO: StoreInfo = StoreInfo::new("map").watch(true);
//!
//! impl MapStore {
//!     fn new() -> MapStore {
//!         let (slots, began) = (Mutex::default(), Instant::now());
//!         MapStore { slots, began, hub: WakeHub::new(INFO.scheme), overflowed: Arc::default() }
//!     }
//!
//!     /// The lock is what makes a step atomic here. Every step leaves the map whole.
//!     fn slots(&self) -> MutexGuard<'_, BTreeMap<LeaseKey, Slot>> {
//!         self.slots.lock().unwrap_or_else(PoisonError::into_inner)
//!     }
//!
//!     /// Expiry is judged by the store's own clock, and by one that nobody sets.
//!     fn now(&self) -> Time {
//!         Time::ZERO + self.began.elapsed()
//!     }
//! }
//!
//! #[async_trait]
//! impl LeaseStore for MapStore {
//!     fn info(&self) -> StoreInfo {
//!         INFO.clone()
//!     }
//!
//!     async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
//!         check_batch(&INFO, claims.iter().map(|claim| &claim.key))?;
//!         let mut slots = self.slots();
//!         // The wall clock seeds terms and decides nothing. `complete_since` is for a store that may forget and go on.
//!         let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
//!         let at = ClaimTime { now: self.now(), clock_micros: micros, complete_since: None };
//!         let answers = claims.iter().map(|claim| {
//!             check_ttl(&INFO, &claim.key, claim.ttl)?;
//!             let (answer, change) = slots.entry(claim.key.clone()).or_default().acquire(at, claim)?;
//!             if change == Change::ChangedHands {
//!                 self.hub.wake(&Wake::taken(claim.key.clone()));
//!             }
//!             Ok(answer)
//!         });
//!         Ok(answers.collect())
//!     }
//!
//!     async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
//!         check_batch(&INFO, held.iter().map(|held| &held.key))?;
//!         let (mut slots, now) = (self.slots(), self.now());
//!         let answers = held.iter().map(|held| {
//!             check_ttl(&INFO, &held.key, held.ttl)?;
//!             Ok(slots.get_mut(&held.key).map_or(Renewed::Lost { to: None }, |slot| slot.renew(now, held).0))
//!         });
//!         Ok(answers.collect())
//!     }
//!
//!     async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
//!         check_batch(&INFO, held.iter().map(|held| &held.key))?;
//!         let mut slots = self.slots();
//!         let answers = held.iter().map(|held| {
//!             let answer = slots.get_mut(&held.key).map_or(Released::NotHeld, |slot| slot.release(held).0);
//!             if answer == Released::Freed {
//!                 self.hub.wake(&Wake::freed(held.key.clone()));
//!             }
//!             Ok(answer)
//!         });
//!         Ok(answers.collect())
//!     }
//!
//!     async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
//!         let now = self.now();
//!         Ok(self.slots().get_mut(key).is_some_and(|slot| slot.request_resign(now)))
//!     }
//!
//!     async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
//!         let now = self.now();
//!         let stood = self.slots().get_mut(key).and_then(|slot| slot.remove(now, key));
//!         self.hub.wake(&Wake::freed(key.clone()));
//!         Ok(stood)
//!     }
//!
//!     async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
//!         let (slots, now) = (self.slots(), self.now());
//!         let matching = slots.iter().filter(|(key, _)| prefix.matches(key));
//!         Ok(matching.filter_map(|(key, slot)| slot.record(now, key)).collect())
//!     }
//!
//!     async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
//!         Ok(self.slots().get(key).and_then(|slot| slot.term))
//!     }
//!
//!     async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
//!         self.hub.watch(prefix, &self.overflowed)
//!     }
//! }
//!
//! // tests/conformance.rs: a builder, and one call. The suite is the definition of done.
//! use futures_util::FutureExt;
//! use futures_util::future::{BoxFuture, ready};
//! use tenure_conformance::{BuildError, Options, StoreBuilder, suite_with};
//!
//! struct Builder(Arc<MapStore>);
//!
//! impl StoreBuilder for Builder {
//!     fn name(&self) -> &str {
//!         "map"
//!     }
//!
//!     /// A further client of the same store: here another handle, elsewhere another connection.
//!     fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
//!         ready(Ok(Arc::clone(&self.0) as Arc<dyn LeaseStore>)).boxed()
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     // A store's own test calls `suite`, whose races take 20 s.
//!     let options = Options { race_time: std::time::Duration::from_secs(1), ..Options::default() };
//!     println!("{}", suite_with(&Builder(Arc::new(MapStore::new())), options).await);
//! }
//! ```
//!
//! Two things this store lacks, and one in use must have. Term records that nobody uses go after seven days
//! ([`LeaseTable::KEEP_UNUSED`]). And a store that can come back with an older state says since when it knows of every
//! tenure ([`ClaimTime::complete_since`]), so that nothing is granted that somebody may have been promised.

mod batch;
mod document;
mod document_store;
mod error;
pub mod foreign;
mod info;
mod lease_store;
mod memory;
mod memory_documents;
mod pauses;
pub mod place;
pub mod record;
mod record_json;
mod slot;
mod table;
mod wake;
mod wake_feed;
mod wake_hub;

pub use batch::{check_batch, check_ttl};
pub use document::{Document, DocumentList, Found, LeftOut, Swapped, Version, check_document};
pub use document_store::DocumentStore;
pub use error::{StoreError, StoreErrorKind};
pub use info::StoreInfo;
pub use lease_store::{Answers, LeaseStore};
pub use memory::MemoryStore;
pub use memory_documents::MemoryDocuments;
pub use pauses::Pauses;
pub use slot::{Change, ClaimTime, Ends, Occupant, Slot, Tenure};
pub use table::LeaseTable;
pub use tenure_base_net::diagnosis::{ClockReading, Diagnosis, Remark};
pub use tenure_core::{
    Bound, BoundClaim, Claim, Claimed, Held, HolderId, KeyPrefix, LeaseKey, LeaseRecord, NameError, Nonce, Note,
    RecordFormat, Released, Renewed, Term, Time, Timing,
};
pub use wake::{Wake, WakeChange, WakeStream};
pub use wake_feed::{WakeFeed, WakeSource};
pub use wake_hub::WakeHub;
