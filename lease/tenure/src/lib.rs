//! Leases, leader election and fencing over the store that you already run.
//!
//! Of all processes that take part in the election for a key, one at a time leads. It is told before its time is up,
//! it is cut off when its time is up, and whatever it writes can carry a number that lets a database refuse the
//! leaders before it.
//!
//! # A whole program
//!
//! ```
//! use std::sync::Arc;
//!
//! use tenure::{Election, ElectionConfig, HolderId, MemoryStore};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // In production each candidate is a process of its own, and the store is one that they share.
//!     let store = Arc::new(MemoryStore::new());
//!     let candidate = |name: &str| -> Result<Election, Box<dyn std::error::Error>> {
//!         let config = ElectionConfig { holder: Some(HolderId::new(name)?), ..ElectionConfig::default() };
//!         Ok(Election::new(store.clone(), "reports/nightly", config)?.start())
//!     };
//!     let (anna, bert) = (candidate("anna")?, candidate("bert")?);
//!
//!     // The first one leads. Its closure is the work that only a leader does.
//!     let first = anna
//!         .lead(async |leadership| {
//!             assert!(leadership.is_current());
//!             assert!(!bert.status().is_leader());
//!             leadership.term()
//!         })
//!         .await?;
//!
//!     // The work has ended, so the lease is free, and the second one leads: under a higher term.
//!     let second = bert.lead(async |leadership| leadership.term()).await?;
//!     assert!(second > first);
//!
//!     // Whoever stops an election waits until its lease is released.
//!     anna.stop().await;
//!     bert.stop().await;
//!     Ok(())
//! }
//! ```
//!
//! The folder `examples/` of the repository has longer programs: an election from beginning to end, a component with
//! callbacks, a writer behind a fence, a web service with a leader.
//!
//! # The words
//!
//! | Word | Means |
//! |---|---|
//! | key | what is contended for: [`LeaseKey`], any text such as `myapp/leader` |
//! | lease | the record in the store that somebody holds the key, and for how long: its *ttl* |
//! | candidate | who takes part: one [`Election`] value; known to people by its [`HolderId`] |
//! | tenure | the time from one grant to its end; [`Leadership`] is the value that stands for it |
//! | term | a number for each tenure of a key that only ever grows: [`Term`], the fencing token |
//! | deadline | the moment from which the holder must not act unless a renewal moves it: [`Leadership::deadline`] |
//! | note | a little text that is written with the lease, for others to read: [`Note`] |
//!
//! # Leadership is a deadline
//!
//! A flag that says "I lead" is wrong as soon as the process was paused for longer than its lease. So there is none.
//! Each answered renewal moves a deadline: the moment *before the request was sent*, plus the ttl, less a margin for
//! clocks that do not run alike. [`Leadership::is_current`] compares that deadline with a clock that counts through
//! sleep (see [`now`]): it asks no network, costs nanoseconds, and is right even in the first instruction after a
//! pause.
//!
//! The deadline is enforced by a thread of its own, not by the runtime, whose timers wait behind code that does not
//! yield.
//!
//! # How work stops
//!
//! Leadership ends because the store says so, because renewals fail, because somebody asked for it
//! ([`Election::resign`], [`Election::set_healthy`], an operator), or because the work has ended. Then, in this
//! order:
//!
//! 1. [`Leadership::lost`] answers, with the [`LossReason`]. The work now has the stop timeout to end, and renewals
//!    go on meanwhile. Where renewals themselves fail, that is the stop timeout before the deadline and not earlier.
//!    Where the store says that the lease is gone there is no time left, and step 2 follows at once.
//! 2. [`Leadership::is_current`] turns false, and [`Leadership::killed`] answers. [`Election::lead`] drops the work
//!    at its next `.await`.
//! 3. The lease is released: after the work has ended, never before, so that the next leader meets nobody.
//!
//! Work should look out for the first step. Here it finishes what it has begun:
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use tenure::{Election, ElectionConfig, LossReason, MemoryStore};
//! # #[tokio::main]
//! # async fn main() -> Result<(), tenure::ElectionError> {
//! # let election = Election::new(Arc::new(MemoryStore::new()), "reports/nightly", ElectionConfig::default())?.start();
//! let reason = election
//!     .lead(async |leadership| {
//!         loop {
//!             // One batch; it carries `leadership.term()` wherever it writes.
//! #           election.resign();
//!             tokio::select! {
//!                 reason = leadership.lost() => return reason,
//!                 () = tokio::time::sleep(Duration::from_secs(60)) => {}
//!             }
//!         }
//!     })
//!     .await?;
//! assert_eq!(reason, LossReason::Resigned);
//! # Ok(())
//! # }
//! ```
//!
//! Dropping a future cannot end a thread that it has started, nor code that never yields. Give such code a
//! [`Mandate`] ([`Leadership::mandate`]), let it ask [`Mandate::is_current`] before each step, and let the work wait
//! for it. What to do about code that outlives its deadline all the same is [`OnOverrun`]'s choice.
//!
//! # Fencing
//!
//! Between a question and the write that follows it any time may pass, and no lease can help that. So let the sink
//! compare the terms: it keeps the highest that it has seen, in the same transaction as the data, and refuses a lower
//! one.
//!
//! ```
//! use tenure::{Fence, Fenced, Term};
//!
//! # fn main() -> Result<(), Fenced> {
//! let (old, new) = (Term::new(41).unwrap(), Term::new(42).unwrap());
//! let mut fence = Fence::new();
//! fence.admit(old)?;
//! fence.admit(old)?; // a tenure writes more than once
//! fence.admit(new)?;
//! assert_eq!(fence.admit(old), Err(Fenced::Stale { offered: old, seen: new }));
//! # Ok(())
//! # }
//! ```
//!
//! In SQL a fence is a column and a condition: `UPDATE report SET body = $2, term = $1 WHERE id = $3 AND term <= $1`,
//! and no row updated means refused. A writer that was refused says so with [`Leadership::fenced`]: its tenure ends,
//! and its next claim asks for a term above the one that it was shown. The term is minted in the same atomic step as
//! the grant, by the store.
//!
//! # What is promised, and when
//!
//! **At most one holder acts at any moment**, as long as
//!
//! - the store keeps what it has acknowledged,
//! - its clock does not step,
//! - the clocks of store and holder run at rates that differ by less than margin / ttl (2 s in 15 s, by default).
//!
//! Crashes, pauses of any length, suspended machines, partitions, lost, late and repeated requests and replies are
//! within that promise. Outside of it two holders may overlap for at most one ttl, and a fence still lets no older
//! term write after a newer one. What can break the first two conditions differs by store;
//! `StoreInfo::overlap_faults` lists it.
//!
//! **Somebody leads again** as long as the store answers: within moments after a release, and when the lease has run
//! out where a holder vanished without one. Wake-ups from the store only make that faster; without any, a timer
//! remains.
//!
//! # Durations
//!
//! The ttl is how long everybody waits after a holder was lost without a trace; all else derives from it
//! ([`TimingOptions`]).
//!
//! | | default | for a ttl of 15 s |
//! |---|---|---|
//! | renew interval | ttl / 3 | 5 s |
//! | margin | ttl x 2/15, within 200 ms to 2 s | 2 s |
//! | stop timeout | ttl / 3, at most 10 s | 5 s |
//! | retry interval | ttl / 6, at most 2 s | 2 s |
//!
//! The default suits most. A shorter ttl means less time without a leader, more requests, and less patience: below
//! some seconds a pause of the process or a slow store costs leadership. A longer one rides out a restart of the
//! store. What must hold is `ttl > renew interval + stop timeout + margin`, so that one missed renewal leaves time to
//! stop; values that break it are refused when the election is made:
//!
//! ```
//! use std::time::Duration;
//! use tenure::{TimingError, TimingOptions};
//!
//! let given = TimingOptions {
//!     ttl: Some(Duration::from_secs(30)),
//!     stop_timeout: Some(Duration::from_secs(25)), // long-running transactions
//!     ..TimingOptions::default()
//! };
//! assert!(matches!(given.resolve(), Err(TimingError::NoTimeToStop { .. })));
//!
//! let timing = TimingOptions { ttl: Some(Duration::from_secs(60)), ..given }.resolve()?;
//! assert_eq!(timing.renew_interval(), Duration::from_secs(20));
//! # Ok::<(), TimingError>(())
//! ```
//!
//! # Stores
//!
//! | URL | Crate | For |
//! |---|---|---|
//! | `memory:` | here, [`MemoryStore`] | tests, one process |
//! | `sqlite:PATH` | `tenure-sqlite` | processes and containers of one machine |
//! | `redis://HOST` | `tenure-redis` | fleets with a Redis or Valkey: one server, Cluster, Sentinel |
//!
//! `tenure-open` turns such a URL into a store; its cargo features choose what is compiled in. Any other place that
//! can perform one atomic step per key becomes a store by implementing [`LeaseStore`], and shows with
//! `tenure-conformance` that it is one.
//!
//! # Errors
//!
//! [`ElectionError`] answers the caller: a name or durations that are not valid, when the election is made; later
//! only that the election was stopped, or that leadership was lost before the work had ended. A store that fails is
//! no reason to give up: a campaign goes on until it is granted or dropped, a leader goes on until its deadline, and
//! each failure is an [`Event::StoreFailed`], a log line and a count.
//!
//! # Events, logs, metrics
//!
//! [`Election::events`] tells what happened, in order: [`Event::LeaderElectionStarted`], [`Event::BecameLeader`]
//! (before the work starts), [`Event::LostLeadership`] (after the work was told to stop), [`Event::LeaderChanged`]
//! (also for those who only look on). A subscriber that falls behind is told how much it missed.
//! [`Election::observe`] keeps the latest [`Status`] only; [`Election::status`] is that status now.
//!
//! Logs go to `tracing`. Metrics go to `metrics`, each with the label `lease`: `tenure_is_leader`,
//! `tenure_leader_transitions_total`, `tenure_renewals_total`, `tenure_store_failures_total`,
//! `tenure_overruns_total`.
//!
//! # Testing what uses an election
//!
//! A [`MemoryStore`] grants at once. The shortest ttl is one second, and a lease that is taken away is noticed with
//! the next renewal:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use tenure::{Election, ElectionConfig, ElectionError, LeaseStore, LossReason, MemoryStore, TimingOptions};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Arc::new(MemoryStore::new());
//! let timing = TimingOptions { ttl: Some(Duration::from_secs(1)), ..TimingOptions::default() };
//! let config = ElectionConfig { timing, ..ElectionConfig::default() };
//! let election = Election::new(store.clone(), "test/leader", config)?.start();
//!
//! let led = election
//!     .lead(async |leadership| {
//!         store.remove(leadership.key()).await.unwrap(); // as an operator with `--force`
//!         std::future::pending::<()>().await
//!     })
//!     .await;
//! assert!(matches!(led, Err(ElectionError::Lost(LossReason::Lost { to: None }))));
//! # Ok(())
//! # }
//! ```
//!
//! Elections count on the machine's own clock, so a test cannot pause or advance them with tokio's; wait on a
//! condition ([`Election::observe`], [`Election::events`]) with a time-out. The rules themselves are a state machine
//! without clock and network, `Elector` in `tenure-core`, which takes the time as an argument: that is what to drive
//! for hours in a millisecond.

mod attempt;
mod builder;
mod clock;
mod control;
mod driver;
mod election;
mod error;
mod events;
mod frontend;
mod hold;
mod identity;
mod lasted;
mod lead;
mod leadership;
mod legacy;
mod mandate;
mod overrun;
mod publisher;
mod semaphore;
mod status;
mod telemetry;
mod tenure;
pub mod testing;
mod waiter;
mod wakes;
mod watchdog;

pub use attempt::Attempt;
pub use builder::{Builder, ElectionBuilder, SemaphoreBuilder};
pub use election::Election;
pub use error::ElectionError;
pub use events::{Events, SlotEvent};
pub use identity::random;
pub use lasted::Lasted;
pub use leadership::Leadership;
#[doc(hidden)]
pub use legacy::ElectionConfig;
pub use mandate::Mandate;
pub use overrun::OnOverrun;
pub use semaphore::Semaphore;
pub use status::Status;
pub use tenure_base_time::now;
pub use tenure_core::{
    Event, Fence, Fenced, HolderId, KeyPrefix, LeaseKey, LossReason, NameError, Nonce, NotElected, Note, SlotKeys,
    Standing, Term, Time, Timing, TimingError, TimingOptions,
};
pub use tenure_store::{LeaseStore, MemoryStore, StoreError};

/// The programs in the guide for this crate are compiled and run with those above.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
mod guide {}
