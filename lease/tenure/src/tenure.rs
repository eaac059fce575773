//! One tenure, as the driver, the watchdog thread and the work share it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tenure_core::{LeaseKey, LossReason, Nonce, Note, Term, Time};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// What is known of one tenure. The deadline is the truth; everything else follows from it.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) key: LeaseKey,
    /// Which of several slots the key is.
    pub(crate) slot: Option<usize>,
    pub(crate) term: Term,
    pub(crate) nonce: Nonce,
    pub(crate) last_note: Option<Note>,
    clock: Clock,
    deadline: AtomicU64,
    killed: AtomicBool,
    ended: AtomicBool,
    /// The deadline has moved, or does not move any more.
    moved: Notify,
    stop: CancellationToken,
    kill: CancellationToken,
    end: CancellationToken,
    reason: Mutex<Option<LossReason>>,
}

impl Tenure {
    pub(crate) fn new(
        key: LeaseKey,
        slot: Option<usize>,
        term: Term,
        nonce: Nonce,
        last_note: Option<Note>,
        deadline: Time,
        clock: Clock,
    ) -> Self {
        Tenure {
            key,
            slot,
            term,
            nonce,
            last_note,
            clock,
            deadline: AtomicU64::new(deadline.as_nanos()),
            killed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            moved: Notify::new(),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            end: CancellationToken::new(),
            reason: Mutex::new(None),
        }
    }

    // ---- the right to act ----------------------------------------------------------------------------------------

    pub(crate) fn deadline(&self) -> Time {
        Time::from_nanos(self.deadline.load(Ordering::Acquire))
    }

    pub(crate) fn is_current(&self) -> bool {
        !self.is_over() && self.clock.now() < self.deadline()
    }

    /// What is left until the deadline; nothing once the right to act has ended.
    pub(crate) fn remaining(&self) -> Duration {
        if self.is_over() { Duration::ZERO } else { self.deadline().since(self.clock.now()) }
    }

    /// Waits until the deadline is another one than `shown`, and puts it there; `None` once it will not move any more.
    pub(crate) async fn deadline_changed(&self, shown: &AtomicU64) -> Option<Time> {
        loop {
            // Enabled before the question, so that no move in between is missed.
            let mut moved = pin!(self.moved.notified());
            moved.as_mut().enable();
            if self.is_over() {
                return None;
            }
            let deadline = self.deadline();
            if shown.swap(deadline.as_nanos(), Ordering::AcqRel) != deadline.as_nanos() {
                return Some(deadline);
            }
            moved.await;
        }
    }

    /// Whether the work was killed, or has ended: who outlives it with a mandate must not act on after the release.
    fn is_over(&self) -> bool {
        self.killed.load(Ordering::Acquire) || self.has_ended()
    }

    // ---- orders to the work --------------------------------------------------------------------------------------

    /// Moves the deadline, never back, and not any more once the work was killed.
    pub(crate) fn extend(&self, deadline: Time) {
        if self.killed.load(Ordering::Acquire) {
            return;
        }
        self.deadline.fetch_max(deadline.as_nanos(), Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    /// Tells the work to stop by itself; it may act until then.
    pub(crate) fn stop(&self, reason: LossReason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.stop.cancel();
    }

    /// Ends the right to act at once.
    pub(crate) fn kill(&self, reason: LossReason) {
        self.killed.store(true, Ordering::Release);
        self.stop(reason);
        self.kill.cancel();
        self.moved.notify_waiters();
    }

    /// Whether the work may act and was not told to stop.
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.is_current() && self.reason().is_none()
    }

    /// Why the work was told to stop, where it was.
    pub(crate) fn reason(&self) -> Option<LossReason> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) async fn stopped(&self) -> LossReason {
        self.stop.cancelled().await;
        self.reason().unwrap_or(LossReason::Expired)
    }

    pub(crate) async fn killed(&self) {
        self.kill.cancelled().await;
    }

    // ---- the end of the work -------------------------------------------------------------------------------------

    /// The work has ended: nobody may act under this tenure any more, and the driver releases its lease.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.end.cancel();
        self.moved.notify_waiters();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) async fn ended(&self) {
        self.end.cancelled().await;
    }
}
