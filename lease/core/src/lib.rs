//! The pure core of Tenure: state machines for elections and semaphores, fences, and the words that they share.
//!
//! Nothing here reads a clock, a socket or a random source: `now` and a seed are arguments, effects are return values.
//! The crate is `no_std`, so the compiler refuses the rest. Programs use the crate `tenure`, which drives these machines
//! on tokio; this one is for whoever writes another driver, a simulator, or a test.
//!
//! # Driving an elector
//!
//! An [`Elector`] is one candidate for one key. A driver calls [`Elector::handle`] with whatever happened, does what
//! [`Elector::poll`] says, and calls again at [`Elector::poll_timeout`] at the latest. This is the whole loop, with a store
//! that grants everything, and a clock that jumps to whatever is due next:
//!
//! ```
//! use std::collections::VecDeque;
//! use std::time::Duration;
//! use tenure_core::{
//!     Answer, Claimed, Elector, ElectorConfig, HolderId, Input, LeaseKey, Note, Order, Output, Released, Renewed, Request,
//!     Standing, Term, Time, Timing,
//! };
//!
//! /// Does one request. A driver asks its store here; a request that fails, or takes longer than
//! /// `Timing::request_timeout`, is answered with `Answer::Failed`, and an answer that comes after all is handed in too.
//! fn ask(request: Request) -> Answer {
//!     match request {
//!         Request::Acquire(claim) => {
//!             // Terms grow: the store mints each one above the highest that the claimant or itself ever saw.
//!             let term = Term::mint(None, claim.above, 1).expect("terms are not used up");
//!             Answer::Claimed(Claimed::Granted { term, last_note: None })
//!         }
//!         Request::Renew(_) => Answer::Renewed(Renewed::Extended { resign_requested: false }),
//!         Request::Release(_) => Answer::Released(Released::Freed),
//!         Request::Observe(_) => Answer::Observed(None),
//!         Request::List { .. } => Answer::Listed(Vec::new()),
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut elector = Elector::new(ElectorConfig {
//!     key: LeaseKey::new("reports/nightly")?,
//!     holder: HolderId::new("host-1")?,
//!     process: 0x5eed, // random, once per process start
//!     timing: Timing::from_ttl(Duration::from_secs(15))?,
//!     hold: Duration::ZERO,
//!     note: Note::default(),
//!     leave_lease: false,
//!     hints: true,
//!     seed: 1, // random too
//! });
//! let mut now = Time::ZERO; // of a clock that counts through sleep, as CLOCK_BOOTTIME does
//! let mut input = Input::Campaign;
//! let mut answers = VecDeque::new();
//! let mut deadline = None; // the work must be dead by then, whatever becomes of this loop: a thread of its own sees to it
//! let mut renewals = 0;
//! loop {
//!     elector.handle(now, input);
//!     let mut work_ended = false;
//!     while let Some(output) = elector.poll() {
//!         match output {
//!             Output::Send(id, request) => answers.push_back((id, ask(request))),
//!             Output::Work(Order::Start { term, deadline: until, .. }) => {
//!                 println!("work starts under term {term}, which all that it writes carries");
//!                 deadline = Some(until);
//!             }
//!             Output::Work(Order::Extend { deadline: until }) => {
//!                 deadline = Some(until);
//!                 renewals += 1;
//!             }
//!             // Told to stop, work has until `kill_at`; this one needs no time. Once nothing of it can act any more the
//!             // elector is told, and only then writes the release.
//!             Output::Work(Order::Stop { .. } | Order::Kill { .. }) => work_ended = true,
//!             Output::Event(event) => println!("{event:?}"),
//!         }
//!     }
//!     // What happens next: an answer, the end of the work, somebody's wish, or the time that something is due.
//!     input = if let Some((id, answer)) = answers.pop_front() {
//!         Input::Answer(id, answer)
//!     } else if work_ended {
//!         deadline = None;
//!         Input::WorkEnded
//!     } else if renewals == 3 {
//!         renewals = 0;
//!         Input::Resign
//!     } else if let Some(due) = elector.poll_timeout() {
//!         now = due;
//!         Input::Timeout
//!     } else {
//!         break;
//!     };
//!     assert!(deadline.is_none_or(|deadline| now < deadline));
//! }
//! assert_eq!(elector.standing(), Standing::Idle);
//! # Ok(())
//! # }
//! ```
//!
//! # Slots
//!
//! [`Slots`] are one candidate for any one of several keys: a semaphore. They take the same inputs and are driven by the
//! same loop; their outputs name the slot. One slot is an elector, request by request, so that one driver can serve both.
//!
//! ```
//! # use std::time::Duration;
//! # use tenure_core::*;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut slots = Slots::new(SlotsConfig {
//!     keys: SlotKeys::numbered(LeaseKey::new("transcode")?, 3)?, // transcode/0 to transcode/2
//!     holder: HolderId::new("host-1")?,
//!     process: 0x5eed,
//!     timing: Timing::from_ttl(Duration::from_secs(15))?,
//!     hold: Duration::ZERO,
//!     note: Note::default(),
//!     leave_lease: false,
//!     hints: true,
//!     seed: 1,
//! });
//! slots.handle(Time::ZERO, Input::Campaign);
//! // First it asks who holds which slot, then it claims one that looks free.
//! let told: Vec<SlotsOutput> = std::iter::from_fn(|| slots.poll()).collect();
//! let [SlotsOutput::Event(None, Event::LeaderElectionStarted), SlotsOutput::Send(id, Request::List { .. })] = &told[..]
//! else {
//!     panic!("{told:?}");
//! };
//! slots.handle(Time::from_millis(5), Input::Answer(*id, Answer::Listed(Vec::new())));
//! assert!(matches!(slots.poll(), Some(SlotsOutput::Send(_, Request::Acquire(_)))));
//! # Ok(())
//! # }
//! ```

#![no_std]

extern crate alloc;

mod elector;
mod event;
mod fence;
mod hints;
mod jitter;
mod names;
mod record;
mod slots;
mod term;
mod timing;

pub use elector::*;
pub use event::{Event, LossReason, NotElected};
pub use fence::{Fence, Fenced};
pub use names::{HolderId, KeyPrefix, LeaseKey, NameError, Nonce, Note};
pub use record::{Bound, BoundClaim, Claim, Claimed, Held, LeaseRecord, RecordFormat, Released, Renewed};
pub use slots::{SlotKeys, Slots, SlotsConfig, SlotsOutput};
pub use tenure_base_time::Time;
pub use term::Term;
pub use timing::{Timing, TimingError, TimingOptions};
