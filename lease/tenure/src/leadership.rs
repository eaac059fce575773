//! Leadership: the right to act, as a value.

use std::sync::Arc;

use tenure_core::{LeaseKey, LossReason, Nonce, Note, Term, Time};
use tokio::sync::watch;

use crate::control::Control;
use crate::tenure::Tenure;
use crate::{ElectionError, Status};

/// One tenure's leadership. Dropping it says that the work has ended: the lease is then released.
///
/// Inside [`crate::Election::lead`] the tenure lasts at least as long as the work's future, whatever becomes of this value.
#[derive(Debug)]
#[must_use = "dropping it says that the work has ended: the lease is released then"]
pub struct Leadership {
    key: LeaseKey,
    hold: Arc<Hold>,
    status: watch::Receiver<Status>,
}

/// What keeps a tenure's lease: the lease is released once nobody has one any more, or somebody has said that the work has
/// ended.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) tenure: Arc<Tenure>,
    control: Arc<Control>,
}

/// A leadership's view for those who act under it but do not own it: cheap to clone, never keeps the lease.
#[derive(Clone, Debug)]
pub struct Mandate {
    tenure: Arc<Tenure>,
    control: Arc<Control>,
}

impl Leadership {
    pub(crate) fn new(
        key: LeaseKey,
        tenure: Arc<Tenure>,
        control: Arc<Control>,
        status: watch::Receiver<Status>,
    ) -> Leadership {
        Leadership { key, hold: Arc::new(Hold { tenure, control }), status }
    }

    /// Another hold on the same tenure.
    pub(crate) fn hold(&self) -> Arc<Hold> {
        Arc::clone(&self.hold)
    }

    /// What is led.
    pub fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// The fencing token: carry it with every side effect.
    pub fn term(&self) -> Term {
        self.hold.tenure.term
    }

    /// The nonce of the claim that was granted.
    pub fn nonce(&self) -> Nonce {
        self.hold.tenure.nonce
    }

    /// The last note of the tenure before this one, where the store still had it.
    pub fn last_note(&self) -> Option<&Note> {
        self.hold.tenure.last_note.as_ref()
    }

    /// The moment, on the boottime clock, after which this tenure must not act unless a renewal moves it.
    pub fn deadline(&self) -> Time {
        self.hold.tenure.deadline()
    }

    /// Whether this tenure may act at this very moment. Asks a clock, no network; right even after a pause.
    pub fn is_current(&self) -> bool {
        self.hold.tenure.is_current()
    }

    /// Waits until the work must stop, and says why. Work that goes on is cut off at the deadline.
    pub async fn lost(&self) -> LossReason {
        self.hold.tenure.stopped().await
    }

    /// Waits until the right to act has ended: later than [`Leadership::lost`] by at most the stop timeout.
    pub async fn killed(&self) {
        self.hold.tenure.killed().await;
    }

    /// A view to hand to those who act under this leadership.
    pub fn mandate(&self) -> Mandate {
        Mandate { tenure: Arc::clone(&self.hold.tenure), control: Arc::clone(&self.hold.control) }
    }

    /// Replaces the note; written with the next renewal, and with the release.
    pub fn set_note(&self, note: Note) {
        self.hold.control.wish(|wishes| wishes.note = Some(note));
    }

    /// Says that a sink refused this term and has seen `seen`: this leadership ends, and the next campaign claims above.
    pub fn fenced(&self, seen: Term) {
        self.mandate().fenced(seen);
    }

    /// Says that the work has ended, whoever else holds on to the tenure, and releases the lease; returns once the store has
    /// answered, or the lease has ended anyway. What still runs of the work may not act any more.
    pub async fn resign(self) -> Result<(), ElectionError> {
        let mut status = self.status.clone();
        let term = self.hold.tenure.term;
        self.hold.end();
        drop(self);
        let gone = |status: &Status| !status.holds(term);
        status.wait_for(gone).await.map(drop).map_err(|_| ElectionError::Stopped)
    }
}

impl Hold {
    /// The work has ended: nobody may act under this tenure any more, and its lease is released.
    fn end(&self) {
        let term = self.tenure.term;
        self.tenure.mark_ended();
        self.control.wish(|wishes| wishes.ended = Some(term));
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if !self.tenure.has_ended() {
            self.end();
        }
    }
}

impl Mandate {
    /// The fencing token: carry it with every side effect.
    pub fn term(&self) -> Term {
        self.tenure.term
    }

    /// Whether the tenure may act at this very moment.
    pub fn is_current(&self) -> bool {
        self.tenure.is_current()
    }

    /// The moment, on the boottime clock, after which the tenure must not act unless a renewal moves it.
    pub fn deadline(&self) -> Time {
        self.tenure.deadline()
    }

    /// Waits until the work must stop, and says why.
    pub async fn lost(&self) -> LossReason {
        self.tenure.stopped().await
    }

    /// Waits until the right to act has ended. Woken by the deadline's own thread, whatever the async runtime is doing.
    pub async fn killed(&self) {
        self.tenure.killed().await;
    }

    /// Says that a sink refused the term and has seen `seen`.
    pub fn fenced(&self, seen: Term) {
        self.control.wish(|wishes| wishes.fenced = wishes.fenced.max(Some(seen)));
    }
}
