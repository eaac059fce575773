//! Leases, leader election and fencing over the store that you already run.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use tenure::{Election, ElectionConfig, MemoryStore};
//!
//! let store = Arc::new(MemoryStore::new());
//! let election = Election::new(store, "myapp/leader", ElectionConfig::default())?.start();
//! election
//!     .lead(async |leadership| {
//!         while leadership.is_current() {
//!             // Work; carry `leadership.term()` with every side effect.
//!             tokio::select! {
//!                 _ = leadership.lost() => break,
//!                 () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
//!             }
//!         }
//!     })
//!     .await?;
//! # Ok(())
//! # }
//! ```
//!
//! Leadership is a deadline on a clock that counts through sleep, not a flag: [`Leadership::is_current`] asks no network
//! and is right even after a pause. Work is told to stop before the deadline, and cut off at it; the lease is released
//! only after the work has ended. Every tenure has a [`Term`] that grows, for a [`Fence`] at whatever the work writes to.

mod clock;
mod config;
mod control;
mod driver;
mod election;
mod error;
mod events;
mod identity;
mod leadership;
mod status;
mod telemetry;
mod tenure;
mod wakes;
mod watchdog;

pub use clock::now;
pub use config::{ElectionConfig, OnOverrun};
pub use election::{Election, ElectionBuilder};
pub use error::ElectionError;
pub use events::Events;
pub use leadership::{Leadership, Mandate};
pub use status::Status;
pub use tenure_core::{
    Event, Fence, Fenced, HolderId, KeyPrefix, LeaseKey, LossReason, Nonce, Note, Standing, Term, Time, Timing,
    TimingError, TimingOptions,
};
pub use tenure_store::{LeaseStore, MemoryStore, StoreError};
