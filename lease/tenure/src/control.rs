//! What the users of an election want from its driver: a handful of wishes, each kept once, so that nothing can pile up.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tenure_core::{Note, Term};
use tokio::sync::Notify;

use crate::waiter::Waiter;

/// The wishes that the driver has not fulfilled yet.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// Campaign, and hand the leadership to this waiter.
    pub(crate) campaign: Option<Waiter>,
    /// Resign: end the campaign or the tenure. It came before `campaign`, where there is one.
    pub(crate) resign: bool,
    /// Whoever waited has gone: end the campaign, but no tenure that somebody else was given.
    pub(crate) give_up: bool,
    /// The health gate's new position.
    pub(crate) health: Option<bool>,
    /// The note to write from now on.
    pub(crate) note: Option<Note>,
    /// The highest term that a sink has shown, for each slot, and where no slot is known.
    pub(crate) shown_terms: BTreeMap<Option<usize>, Term>,
    /// Resign, release, then end the driver.
    pub(crate) stop: bool,
}

impl Wishes {
    /// A sink of this slot has shown this term.
    pub(crate) fn shown_term(&mut self, slot: Option<usize>, seen: Term) {
        let highest = self.shown_terms.entry(slot).or_insert(seen);
        *highest = seen.max(*highest);
    }
}

/// The one way from users to the driver.
#[derive(Debug, Default)]
pub(crate) struct Control {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    wishes: Wishes,
    /// How often an end of the tenure was wished for, if there is one.
    ends: u64,
    /// Somebody has asked the election to stop.
    stopped: bool,
    /// The driver has gone, and fulfils nothing any more.
    closed: bool,
}

impl Control {
    /// Changes the wishes and wakes the driver. Once the driver has gone the change is dropped, and with it whoever waits.
    pub(crate) fn wish(&self, change: impl FnOnce(&mut Wishes)) {
        let mut state = self.lock();
        if !state.closed {
            change(&mut state.wishes);
            self.changed.notify_one();
        }
    }

    /// Wishes for something that ends the tenure, if there is one.
    pub(crate) fn wish_end(&self, change: impl FnOnce(&mut Wishes)) {
        self.lock().ends += 1;
        self.wish(change);
    }

    /// How often such an end was wished for.
    pub(crate) fn ends(&self) -> u64 {
        self.lock().ends
    }

    /// Wishes for the election's end.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.wish_end(|wishes| wishes.stop = true);
    }

    /// Whether the election's end was asked for, or its driver has gone.
    pub(crate) fn is_stopped(&self) -> bool {
        let state = self.lock();
        state.stopped || state.closed
    }

    /// For the driver: takes what is wished for.
    pub(crate) fn take(&self) -> Wishes {
        std::mem::take(&mut self.lock().wishes)
    }

    /// For the driver: waits until something is wished for.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// For the driver: whoever waits is let go, and nobody waits from now on.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let unfulfilled = std::mem::take(&mut state.wishes);
        self.changed.notify_one();
        // A waiter is woken without the lock.
        drop(state);
        drop(unfulfilled);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
