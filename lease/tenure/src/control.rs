//! What the users of an election want from its driver: a handful of wishes, each kept once, so that nothing can pile up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tenure_core::{Note, Term};
use tokio::sync::{Notify, oneshot};

use crate::Leadership;

/// The wishes that the driver has not fulfilled yet.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Campaign, and hand the leadership to this waiter.
    pub(crate) campaign: Option<oneshot::Sender<Leadership>>,
    /// Resign: end the campaign or the tenure. It came before `campaign`, where there is one.
    pub(crate) resign: bool,
    /// Whoever waited has gone: end the campaign, but no tenure that somebody else was given.
    pub(crate) give_up: bool,
    /// The work of this tenure has ended.
    pub(crate) ended: Option<Term>,
    /// The health gate's new position.
    pub(crate) health: Option<bool>,
    /// The note to write from now on.
    pub(crate) note: Option<Note>,
    /// The highest term that a sink has shown.
    pub(crate) fenced: Option<Term>,
    /// Resign, release, then end the driver.
    pub(crate) stop: bool,
}

/// The one way from users to the driver.
#[derive(Debug, Default)]
pub(crate) struct Control {
    wishes: Mutex<Wishes>,
    changed: Notify,
}

impl Control {
    /// Changes the wishes and wakes the driver.
    pub(crate) fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    pub(crate) fn take(&self) -> Wishes {
        std::mem::take(&mut self.lock())
    }

    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
