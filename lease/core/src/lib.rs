//! The pure core of Tenure: electors, fences and the words they share.
//!
//! Nothing here reads a clock, a socket or a random source: `now` and a seed are arguments, effects are return values.
//! The crate is `no_std`, so the compiler refuses the rest.

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
pub use record::{Claim, Claimed, Held, LeaseRecord, RecordFormat, Released, Renewed};
pub use slots::{SlotKeys, Slots, SlotsConfig, SlotsOutput};
pub use tenure_base_time::Time;
pub use term::Term;
pub use timing::{Timing, TimingError, TimingOptions};
