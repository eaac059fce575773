//! Time for everything that counts deadlines: moments, and with the feature `os` the clock that they are read from.
//!
//! [`Time`] is a number: nanoseconds of an unnamed monotonic clock. State machines take it as an argument, so that a simulator
//! can drive them through a day in a millisecond. Without the feature `os` this crate is `no_std` and reads no clock at all.
//!
//! ```
//! use std::time::Duration;
//! use tenure_base_time::Time;
//!
//! let sent = Time::from_millis(1_000);
//! let deadline = sent + Duration::from_secs(15) - Duration::from_secs(2);
//! assert_eq!(deadline.since(sent), Duration::from_secs(13));
//! assert_eq!(sent.since(deadline), Duration::ZERO); // never negative
//! assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX); // saturates, never panics
//! ```
//!
//! With `os`, `MachineClock` reads a clock that all processes of one boot agree on, [`now`] reads a clock that counts through sleep, and a [`Timer`] fires on that same clock:
//!
//! ```
//! # #[cfg(feature = "os")]
//! # fn main() -> std::io::Result<()> {
//! use std::time::Duration;
//! use tenure_base_time::{Timer, now};
//!
//! let deadline = now() + Duration::from_millis(5);
//! let timer = Timer::new()?;
//! timer.set(deadline)?;
//! timer.wait();
//! assert!(now() >= deadline);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "os"))]
//! # fn main() {}
//! ```

#![no_std]

#[cfg(feature = "os")]
extern crate std;

#[cfg(feature = "os")]
mod clock;
#[cfg(feature = "os")]
mod machine;
mod time;
#[cfg(feature = "os")]
mod timer;
#[cfg(feature = "os")]
mod wall;

#[cfg(feature = "os")]
pub use clock::now;
#[cfg(feature = "os")]
pub use machine::MachineClock;
pub use time::Time;
#[cfg(feature = "os")]
pub use timer::Timer;
#[cfg(feature = "os")]
pub use wall::{unix_micros, unix_millis};
