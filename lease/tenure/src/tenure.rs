//! One tenure, as the driver, the watchdog thread and the work share it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tenure_core::{LossReason, Nonce, Note, Term, Time};
use tokio_util::sync::CancellationToken;

/// What is known of one tenure. The deadline is the truth; everything else follows from it.
#[derive(Debug)]
pub(crate) struct Tenure {
    pub(crate) term: Term,
    pub(crate) nonce: Nonce,
    pub(crate) last_note: Option<Note>,
    deadline: AtomicU64,
    killed: AtomicBool,
    ended: AtomicBool,
    stop: CancellationToken,
    kill: CancellationToken,
    reason: Mutex<Option<LossReason>>,
}

impl Tenure {
    pub(crate) fn new(term: Term, nonce: Nonce, last_note: Option<Note>, deadline: Time) -> Self {
        Tenure {
            term,
            nonce,
            last_note,
            deadline: AtomicU64::new(deadline.as_nanos()),
            killed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            reason: Mutex::new(None),
        }
    }

    pub(crate) fn deadline(&self) -> Time {
        Time::from_nanos(self.deadline.load(Ordering::Acquire))
    }

    /// Moves the deadline, never back, and not any more once the work was killed.
    pub(crate) fn extend(&self, deadline: Time) {
        if self.killed.load(Ordering::Acquire) {
            return;
        }
        self.deadline.fetch_max(deadline.as_nanos(), Ordering::AcqRel);
    }

    pub(crate) fn is_current(&self) -> bool {
        // Who outlives the work with a mandate must not act on after the release.
        !self.killed.load(Ordering::Acquire) && !self.has_ended() && tenure_base_time::now() < self.deadline()
    }

    pub(crate) fn stop(&self, reason: LossReason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.stop.cancel();
    }

    /// Ends the right to act at once.
    pub(crate) fn kill(&self, reason: LossReason) {
        self.killed.store(true, Ordering::Release);
        self.stop(reason);
        self.kill.cancel();
    }

    pub(crate) fn mark_ended(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(crate) async fn stopped(&self) -> LossReason {
        self.stop.cancelled().await;
        self.reason().unwrap_or(LossReason::Expired)
    }

    pub(crate) async fn killed(&self) {
        self.kill.cancelled().await;
    }

    pub(crate) fn reason(&self) -> Option<LossReason> {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
