//! The clock that deadlines are counted on: the machine's, or one that a test moves by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenure_base_time::now;
use tenure_core::Time;

/// The clock of one election and of everything that it hands out.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The machine's own, that counts through sleep: [`now`].
    Boottime,
    /// A test's: it stands still until it is moved.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// A clock that begins at the machine's time and stands still.
    pub(crate) fn manual() -> Clock {
        Clock::Manual(Arc::new(AtomicU64::new(now().as_nanos())))
    }

    pub(crate) fn now(&self) -> Time {
        match self {
            Clock::Boottime => now(),
            Clock::Manual(nanos) => Time::from_nanos(nanos.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock; the machine's own moves by itself.
    pub(crate) fn advance(&self, span: Duration) {
        if let Clock::Manual(nanos) = self {
            nanos.store((self.now() + span).as_nanos(), Ordering::Release);
        }
    }
}
