//! A driver's front end: hands leadership to whoever campaigns, carries orders to the work, publishes events and status.

use std::sync::Arc;

use tenure_core::{Event, HolderId, LeaseKey, LossReason, Nonce, Note, Observed, Order, Standing, Term, Time};
use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::control::Control;
use crate::hold::Hold;
use crate::status::Status;
use crate::telemetry::Telemetry;
use crate::tenure::Tenure;
use crate::waiter::{Outcome, Waiter};
use crate::watchdog::{Watch, Watched};

/// What stands between a driver and the users of its election.
#[derive(Debug)]
pub(crate) struct Frontend {
    pub(crate) control: Arc<Control>,
    status: watch::Sender<Status>,
    events: broadcast::Sender<Event>,
    telemetry: Telemetry,
    clock: Clock,
    /// How the deadlines of its tenures are enforced; `None` where they are moved by hand.
    watch: Option<Watch>,
    waiter: Option<Waiter>,
    tenure: Option<(Arc<Tenure>, Option<Watched>)>,
}

impl Frontend {
    pub(crate) fn new(
        control: Arc<Control>,
        status: watch::Sender<Status>,
        events: broadcast::Sender<Event>,
        telemetry: Telemetry,
        watch: Option<Watch>,
    ) -> Frontend {
        let clock = status.borrow().clock.clone();
        Frontend { control, status, events, telemetry, clock, watch, waiter: None, tenure: None }
    }

    pub(crate) fn key(&self) -> LeaseKey {
        self.status.borrow().key.clone()
    }

    pub(crate) fn holder(&self) -> HolderId {
        self.status.borrow().holder.clone()
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    // ---- who waits -----------------------------------------------------------------------------------------------

    /// Takes in a waiter, in place of one that may still be there.
    pub(crate) fn admit(&mut self, waiter: Waiter) {
        self.waiter = Some(waiter);
    }

    /// Lets the waiter go, without leadership.
    pub(crate) fn dismiss(&mut self) {
        self.waiter = None;
    }

    pub(crate) fn has_waiter(&self) -> bool {
        self.waiter.is_some()
    }

    /// Whether the waiter wants one claim only.
    pub(crate) fn waits_once(&self) -> bool {
        self.waiter.as_ref().is_some_and(|waiter| waiter.once)
    }

    pub(crate) fn answer(&mut self, outcome: Outcome) {
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.reply.send(outcome);
        }
    }

    // ---- the work ------------------------------------------------------------------------------------------------

    /// Whether there is a tenure whose work has not been reported ended.
    pub(crate) fn has_tenure(&self) -> bool {
        self.tenure.is_some()
    }

    pub(crate) fn tenure(&self) -> Option<&Arc<Tenure>> {
        self.tenure.as_ref().map(|(tenure, _)| tenure)
    }

    /// Whether the tenure's work has ended; says so once, and forgets the tenure.
    pub(crate) fn take_ended(&mut self) -> bool {
        self.tenure.take_if(|(tenure, _)| tenure.has_ended()).is_some()
    }

    pub(crate) fn order(&mut self, order: Order) {
        match order {
            Order::Start { term, nonce, last_note, deadline } => self.start(term, nonce, last_note, deadline),
            Order::Extend { deadline } => self.with_tenure(|tenure| tenure.extend(deadline)),
            Order::Stop { reason, .. } => self.with_tenure(|tenure| tenure.stop(reason)),
            Order::Kill { reason } => self.with_tenure(|tenure| tenure.kill(reason)),
        }
    }

    fn start(&mut self, term: Term, nonce: Nonce, last_note: Option<Note>, deadline: Time) {
        let tenure = Arc::new(Tenure::new(term, nonce, last_note, deadline, self.clock.clone()));
        let watched = self.watch.as_ref().map(|watch| watch.enforce(self.status.borrow().key.as_str(), &tenure));
        self.tenure = Some((Arc::clone(&tenure), watched));
        // The status comes first, so that whoever gets the leadership finds itself there.
        let standing = Standing::Leader { term, deadline, stopping: false };
        self.status.send_modify(|status| {
            status.standing = standing;
            status.current = true;
        });
        let hold = Hold::new(tenure);
        self.answer(Outcome::Granted(hold));
    }

    fn with_tenure(&self, order: impl FnOnce(&Tenure)) {
        if let Some((tenure, _)) = &self.tenure {
            order(tenure);
        }
    }

    // ---- what is told --------------------------------------------------------------------------------------------

    /// Publishes an event, with its logs and metrics.
    pub(crate) fn tell(&mut self, event: Event) {
        let now = self.clock.now();
        match &event {
            Event::BecameLeader { .. } => self.status.send_modify(|status| {
                status.tenures += 1;
                status.led_since = Some(now);
            }),
            Event::LostLeadership { led_for, .. } => self.status.send_modify(|status| {
                status.led_since = None;
                status.led_before += *led_for;
            }),
            Event::LeaderChanged { leader, term, .. } => self.status.send_modify(|status| {
                status.transitions += 1;
                status.leader.clone_from(leader);
                status.term = *term;
            }),
            Event::StoreFailed { message, .. } => self.status.send_modify(|status| {
                status.store_failing_since.get_or_insert(now);
                status.store_failure = Some(message.clone());
            }),
            _ => {}
        }
        self.telemetry.tell(&event);
        // Nobody listening is no error.
        let _ = self.events.send(event);
    }

    /// The store has answered, whatever it said.
    pub(crate) fn store_answered(&self) {
        self.status.send_if_modified(|status| {
            let failed = status.store_failing_since.take().is_some();
            status.store_failure = None;
            failed
        });
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.status.send_modify(|status| status.healthy = healthy);
    }

    /// Publishes where the election stands, where that has changed.
    pub(crate) fn publish(&self, standing: Standing, current: bool, observed: &Observed) {
        self.status.send_if_modified(|status| {
            let same = status.standing == standing
                && status.current == current
                && status.leader == observed.leader
                && status.term == observed.term;
            if !same {
                status.standing = standing;
                status.current = current;
                status.leader.clone_from(&observed.leader);
                status.term = observed.term;
            }
            !same
        });
    }
}

impl Drop for Frontend {
    /// A driver that ends during a tenure (its runtime was shut down, or it panicked) renews no more: the work gets what
    /// is left of its time, and the watchdog ends it. Nobody waits in vain.
    fn drop(&mut self) {
        self.control.close();
        self.with_tenure(|tenure| tenure.stop(LossReason::RenewalFailed));
    }
}
