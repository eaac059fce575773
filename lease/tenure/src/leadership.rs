//! Leadership: the right to act, as a value.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{LeaseKey, LossReason, Nonce, Note, Term, Time};
use tokio::sync::watch;

use crate::control::Control;
use crate::error::ElectionError;
use crate::hold::Hold;
use crate::mandate::Mandate;
use crate::status::Status;

/// One tenure's leadership. Dropping it says that the work has ended: the lease is then released.
///
/// Inside [`crate::Election::lead`] and [`crate::Election::run_until`] the tenure lasts at least as long as the work's
/// future, whatever becomes of this value.
#[derive(Debug)]
#[must_use = "dropping it says that the work has ended: the lease is released then"]
pub struct Leadership {
    hold: Hold,
    control: Arc<Control>,
    mandate: Mandate,
    status: watch::Receiver<Status>,
}

impl Leadership {
    pub(crate) fn new(hold: Hold, control: Arc<Control>, status: watch::Receiver<Status>) -> Leadership {
        let mandate = Mandate::new(Arc::clone(hold.tenure()), Arc::clone(&control));
        Leadership { hold, control, mandate, status }
    }

    /// Another hold on the same tenure.
    pub(crate) fn hold(&self) -> Hold {
        self.hold.clone()
    }

    /// What is led; of a [`crate::Semaphore`] the key of the slot.
    pub fn key(&self) -> &LeaseKey {
        &self.hold.tenure().key
    }

    /// Which slot of a [`crate::Semaphore`] this is, counted from zero; `None` in an election for one key.
    pub fn slot(&self) -> Option<usize> {
        self.hold.tenure().slot
    }

    /// The fencing token: carry it with every side effect.
    pub fn term(&self) -> Term {
        self.mandate.term()
    }

    /// The nonce of the claim that was granted.
    pub fn nonce(&self) -> Nonce {
        self.hold.tenure().nonce
    }

    /// The last note of the tenure before this one, where the store still had it.
    pub fn last_note(&self) -> Option<&Note> {
        self.hold.tenure().last_note.as_ref()
    }

    /// Whether this tenure may act at this very moment. Asks a clock, no network; right even after a pause.
    pub fn is_current(&self) -> bool {
        self.mandate.is_current()
    }

    /// The moment, on the boottime clock, after which this tenure must not act unless a renewal moves it.
    pub fn deadline(&self) -> Time {
        self.mandate.deadline()
    }

    /// For how long this tenure may still act unless a renewal moves its deadline; zero once it may not.
    pub fn remaining(&self) -> Duration {
        self.mandate.remaining()
    }

    /// Waits until the deadline has moved and answers where to; `None` once the right to act has ended, for then it moves
    /// no more.
    ///
    /// No move is missed for good: the first call compares with the deadline of the grant, each later one with its last
    /// answer, so that of several moves in between the latest is told. Two tasks that wait for moves take a
    /// [`Mandate`] each. Cancel-safe.
    pub async fn deadline_changed(&self) -> Option<Time> {
        self.mandate.deadline_changed().await
    }

    /// Waits until the work must stop, and says why. Work that goes on is cut off at the deadline.
    pub async fn lost(&self) -> LossReason {
        self.mandate.lost().await
    }

    /// Waits until the right to act has ended: later than [`Leadership::lost`] by at most the stop timeout.
    pub async fn killed(&self) {
        self.mandate.killed().await;
    }

    /// A view to hand to those who act under this leadership.
    pub fn mandate(&self) -> Mandate {
        Mandate::new(Arc::clone(self.hold.tenure()), Arc::clone(&self.control))
    }

    /// Replaces the note; written with the next renewal, and with the release.
    pub fn set_note(&self, note: Note) {
        self.control.wish(|wishes| wishes.note = Some(note));
    }

    /// Says that a sink refused this term and has seen `seen`: this leadership ends, and the next campaign claims above.
    pub fn fenced(&self, seen: Term) {
        self.mandate.fenced(seen);
    }

    /// Says that the work has ended, whoever else holds on to the tenure, and releases the lease; returns once the store has
    /// answered, or the lease has ended anyway. What still runs of the work may not act any more.
    pub async fn resign(self) -> Result<(), ElectionError> {
        let mut status = self.status.clone();
        let term = self.term();
        self.hold.tenure().end();
        drop(self);
        let gone = |status: &Status| !status.holds(term);
        status.wait_for(gone).await.map(drop).map_err(|_| ElectionError::Stopped)
    }
}
