//! A leadership's view for those who act under it but do not own it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenure_core::{LossReason, Term, Time};

use crate::control::Control;
use crate::tenure::Tenure;

/// A leadership's view for those who act under it but do not own it: cheap to clone, never keeps the lease.
///
/// It may outlive the work, and gives no right to act then.
#[derive(Debug)]
pub struct Mandate {
    tenure: Arc<Tenure>,
    control: Arc<Control>,
    /// The deadline that [`Mandate::deadline_changed`] has answered last.
    shown: AtomicU64,
}

impl Mandate {
    pub(crate) fn new(tenure: Arc<Tenure>, control: Arc<Control>) -> Mandate {
        let shown = AtomicU64::new(tenure.deadline().as_nanos());
        Mandate { tenure, control, shown }
    }

    /// The fencing token: carry it with every side effect.
    pub fn term(&self) -> Term {
        self.tenure.term
    }

    /// Whether the tenure may act at this very moment. Asks a clock, no network; right even after a pause.
    pub fn is_current(&self) -> bool {
        self.tenure.is_current()
    }

    /// The moment, on the boottime clock, after which the tenure must not act unless a renewal moves it.
    pub fn deadline(&self) -> Time {
        self.tenure.deadline()
    }

    /// For how long the tenure may still act unless a renewal moves its deadline; zero once it may not.
    pub fn remaining(&self) -> Duration {
        self.tenure.remaining()
    }

    /// Waits until the deadline has moved and answers where to; `None` once the right to act has ended, for then it moves
    /// no more.
    ///
    /// No move is missed for good: the first call compares with the deadline at which this value was made, each later one
    /// with its last answer, so that of several moves in between the latest is told. Every clone counts for itself.
    /// Cancel-safe.
    pub async fn deadline_changed(&self) -> Option<Time> {
        self.tenure.deadline_changed(&self.shown).await
    }

    /// Waits until the work must stop, and says why. Work that goes on is cut off at the deadline.
    pub async fn lost(&self) -> LossReason {
        self.tenure.stopped().await
    }

    /// Waits until the right to act has ended. Woken by the deadline's own thread, whatever the async runtime is doing.
    pub async fn killed(&self) {
        self.tenure.killed().await;
    }

    /// Says that a sink refused the term and has seen `seen`: the leadership ends, and the next campaign claims above.
    pub fn fenced(&self, seen: Term) {
        if seen > self.tenure.term {
            // At once, so that the work sees what it has said.
            self.tenure.kill(LossReason::Fenced { seen });
        }
        self.control.wish(|wishes| wishes.shown_term(self.tenure.slot, seen));
    }
}

impl Clone for Mandate {
    fn clone(&self) -> Mandate {
        let shown = AtomicU64::new(self.shown.load(Ordering::Acquire));
        Mandate { tenure: Arc::clone(&self.tenure), control: Arc::clone(&self.control), shown }
    }
}
