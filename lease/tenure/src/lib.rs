//! Leases, leader election and fencing over the store that you already run.
//!
//! Of all processes that take part in the election for a key, one at a time leads. It is told before its time is up,
//! it is cut off when its time is up, and whatever it writes can carry a number that lets a database refuse the
//! leaders before it.
//!
//! # A whole program
//!
//! ```standalone_crate
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use tenure::{Election, MemoryStore};
//! use tokio::signal::ctrl_c;
//!
//! #[tokio::main]
//! async fn main() -> anyhow::Result<()> {
//! #   // Whoever tests this example presses Ctrl-C, after the signal has been registered.
//! #   let _registered = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
//! #   tokio::spawn(async {
//! #       loop {
//! #           tokio::time::sleep(Duration::from_millis(20)).await;
//! #           let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::INT);
//! #       }
//! #   });
//!     // `tenure_open::open("redis://localhost:6379").await?` where processes share the store.
//!     let store = Arc::new(MemoryStore::new());
//!
//!     let election = Election::builder(store, "reports/nightly").ttl(Duration::from_secs(30)).start()?;
//!     // Campaigns again after each loss; drains and releases at the end.
//!     election
//!         .run_until(ctrl_c(), async |leadership| {
//!             while leadership.is_current() {
//!                 write(next().await?, leadership.term()).await?;
//!             }
//!             anyhow::Ok(())
//!         })
//!         .await
//! }
//!
//! /// The next thing to do; it may take a while to come.
//! async fn next() -> anyhow::Result<String> {
//!     tokio::time::sleep(Duration::from_millis(5)).await;
//!     Ok("a page".to_owned())
//! }
//!
//! /// Writes it, with the term, so that the sink can refuse whoever led before.
//! async fn write(page: String, term: tenure::Term) -> anyhow::Result<()> {
//!     println!("{page} under term {term}");
//!     Ok(())
//! }
//! ```
//!
//! Start it in several processes over a shared store: one of them writes. Where it is stopped another one follows at once;
//! where it is killed, within the ttl. [`Election::run_until`] says what becomes of work that ends, fails, or does not stop.
//!
//! Where a closure does not fit, leadership is a value:
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use tenure::{Attempt, Election, ElectionError, MemoryStore};
//! # #[tokio::main]
//! # async fn main() -> Result<(), ElectionError> {
//! # let store = Arc::new(MemoryStore::new());
//! let anna = Election::builder(store.clone(), "reports/nightly").holder("anna").start()?;
//! let bert = Election::builder(store, "reports/nightly").holder("bert").start()?;
//!
//! let leadership = anna.campaign().await?; // waits for as long as it takes
//! assert!(leadership.is_current() && leadership.remaining() > Duration::from_secs(10));
//!
//! // Others are told by whom the key is held, or wait for a while.
//! assert!(matches!(bert.try_campaign().await?, Attempt::Held { by, .. } if by.as_str() == "anna"));
//! assert!(bert.campaign_within(Duration::from_millis(10)).await?.is_none());
//!
//! // The lease is released, and the next tenure has a higher term.
//! let first = leadership.term();
//! leadership.resign().await?; // dropping it does the same without waiting
//! assert!(bert.campaign().await?.term() > first);
//!
//! anna.stop().await; // may be called any number of times, also through an `Arc`
//! # Ok(())
//! # }
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
//! | slot | one of the N keys of a [`Semaphore`], any one of which is enough |
//! | deadline | the moment from which the holder must not act unless a renewal moves it: [`Leadership::deadline`] |
//! | note | a little text that is written with the lease, for others to read: [`Note`] |
//!
//! # Leadership is a deadline
//!
//! A flag that says "I lead" is wrong as soon as the process was paused for longer than its lease. So there is none.
//! Each answered renewal moves a deadline: the moment *before the request was sent*, plus the ttl, less a margin for
//! clocks that do not run alike. [`Leadership::is_current`] compares that deadline with a clock that counts through
//! sleep (see [`now`]): it asks no network, costs nanoseconds, and is right even in the first instruction after a
//! pause. [`Leadership::remaining`] is what is left; whoever hands the deadline on, to another process or a page, waits for
//! [`Leadership::deadline_changed`].
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
//! 2. [`Leadership::is_current`] turns false, and [`Leadership::killed`] answers. [`Election::run_until`] and
//!    [`Election::lead`] drop the work at its next `.await`.
//! 3. The lease is released: after the work has ended, never before, so that the next leader meets nobody.
//!
//! Work should look out for the first step. Here it finishes what it has begun:
//!
//! ```
//! # use std::{sync::Arc, time::Duration};
//! # use tenure::{Election, LossReason, MemoryStore};
//! # #[tokio::main]
//! # async fn main() -> Result<(), tenure::ElectionError> {
//! # let election = Election::builder(Arc::new(MemoryStore::new()), "reports/nightly").start()?;
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
//! let mut options = TimingOptions::with_ttl(Duration::from_secs(30));
//! options.stop_timeout = Some(Duration::from_secs(25)); // long-running transactions
//! assert!(matches!(options.resolve(), Err(TimingError::NoTimeToStop { .. })));
//!
//! options.ttl = Some(Duration::from_secs(60));
//! let timing = options.resolve()?;
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
//! What a fleet shares besides leases lies in the same places as values with compare-and-swap: [`DocumentStore`], opened with
//! `tenure_open::open_documents(URL)`, in memory [`MemoryDocuments`].
//!
//! # Errors
//!
//! [`ElectionError`] answers the caller: a name or durations that are not valid, when the election begins; later
//! only that the election was stopped, or that leadership was lost before the work of `lead` had ended. A store that fails
//! is no reason to give up: a campaign goes on until it is granted or dropped, a leader goes on until its deadline. Each
//! failure is an [`Event::StoreFailed`], a log line and a count, and [`Status::store_failing_since`] says for how long that
//! has gone on. Only [`Election::try_campaign`], which wants one answer, has it as an error.
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
//! # A semaphore
//!
//! Where N may work at a time, not one, a [`Semaphore`] has the same face: whoever campaigns gets whichever slot is free.
//!
//! ```
//! # use std::sync::Arc;
//! # use tenure::{ElectionError, MemoryStore, Semaphore};
//! # #[tokio::main]
//! # async fn main() -> Result<(), ElectionError> {
//! # let store = Arc::new(MemoryStore::new());
//! let semaphore = Semaphore::builder(store, "transcode", 3).start()?;
//! let leadership = semaphore.campaign().await?;
//! assert_eq!(leadership.key().as_str(), format!("transcode/{}", leadership.slot().unwrap()));
//! # Ok(())
//! # }
//! ```
//!
//! # Testing what uses an election
//!
//! [`testing::election`] makes an election that a test drives by hand, without store and time: it gains, loses and pauses
//! leadership when the test says so, and the code under test is as it is.
//!
//! Where the store belongs to the test, a [`MemoryStore`] grants at once. Elections over a store count on the machine's own
//! clock, so a test cannot pause or advance them with tokio's; wait on a condition ([`Election::observe`],
//! [`Election::events`]) with a time-out. The shortest ttl is one second. The rules themselves are a state machine without
//! clock and network, `Elector` in `tenure-core`, which takes the time as an argument: that is what to drive for hours in a
//! millisecond.

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
mod mandate;
mod overrun;
mod publisher;
mod release_reasons;
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
pub use mandate::Mandate;
pub use overrun::OnOverrun;
pub use semaphore::Semaphore;
pub use status::Status;
pub use tenure_base_time::now;
pub use tenure_core::{
    Event, Fence, Fenced, HolderId, KeyPrefix, LeaseKey, LossReason, NameError, Nonce, NotElected, Note, SlotKeys,
    Standing, Term, Time, Timing, TimingError, TimingOptions,
};
pub use tenure_store::{
    Document, DocumentStore, Found, LeaseStore, MemoryDocuments, MemoryStore, StoreError, Swapped, Version,
};

/// The programs in the guide for this crate are compiled and run with those above.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
mod guide {}
