//! A driver's front end: hands leadership to whoever campaigns, carries orders to the work, publishes events and status.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Event, HolderId, LeaseKey, LossReason, Observed, Order, SlotKeys, Standing, Time};
use tokio::sync::{broadcast, watch};

use crate::clock::Clock;
use crate::control::Control;
use crate::events::{CAPACITY, SlotEvent};
use crate::hold::Hold;
use crate::publisher::{Position, Publisher};
use crate::status::Status;
use crate::telemetry::Telemetry;
use crate::tenure::Tenure;
use crate::waiter::{Outcome, Waiter};
use crate::watchdog::{Watch, Watched};

/// What stands between a driver and the users of its election.
#[derive(Debug)]
pub(crate) struct Frontend {
    control: Arc<Control>,
    keys: SlotKeys,
    holder: HolderId,
    clock: Clock,
    /// How the deadlines of its tenures are enforced; `None` where they are moved by hand.
    watch: Option<Watch>,
    events: broadcast::Sender<SlotEvent>,
    /// Of all slots together.
    whole: Publisher,
    /// Of each slot, where there are several.
    slots: Vec<Publisher>,
    waiter: Option<Waiter>,
    tenure: Option<(Arc<Tenure>, Option<Watched>)>,
}

impl Frontend {
    /// A front end for a candidate of these keys. Where `silent`, nothing is logged above debug, and nothing is counted.
    pub(crate) fn new(keys: SlotKeys, holder: HolderId, silent: bool, clock: Clock, watch: Option<Watch>) -> Frontend {
        let alone = keys.all().len() == 1;
        let whole = Telemetry::new(keys.lease(), &holder, silent);
        let slots = keys.all().iter().filter(|_| !alone).map(|key| {
            let telemetry = Telemetry::new(key, &holder, silent);
            telemetry.begin();
            Publisher::new(key, &holder, &clock, telemetry)
        });
        let slots = slots.collect();
        if alone {
            whole.begin();
        }
        let whole = Publisher::new(keys.lease(), &holder, &clock, whole);
        let (events, _) = broadcast::channel(CAPACITY);
        let control = Arc::default();
        Frontend { control, keys, holder, clock, watch, events, whole, slots, waiter: None, tenure: None }
    }

    pub(crate) fn keys(&self) -> &SlotKeys {
        &self.keys
    }

    pub(crate) fn holder(&self) -> &HolderId {
        &self.holder
    }

    pub(crate) fn now(&self) -> Time {
        self.clock.now()
    }

    /// Moves a clock that stands still otherwise.
    pub(crate) fn advance(&self, span: Duration) {
        self.clock.advance(span);
    }

    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    pub(crate) fn events(&self) -> &broadcast::Sender<SlotEvent> {
        &self.events
    }

    pub(crate) fn observe(&self) -> watch::Receiver<Status> {
        self.whole.observe()
    }

    /// The status of each slot; of a plain election, whose one slot is all that there is, its own.
    pub(crate) fn observe_slots(&self) -> Vec<watch::Receiver<Status>> {
        match self.slots.is_empty() {
            true => vec![self.whole.observe()],
            false => self.slots.iter().map(Publisher::observe).collect(),
        }
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

    pub(crate) fn waiter(&self) -> Option<&Waiter> {
        self.waiter.as_ref()
    }

    pub(crate) fn answer(&mut self, outcome: Outcome) {
        if let Some(waiter) = self.waiter.take() {
            // A waiter that has gone hands leadership back, which drops it: the work has ended before it began.
            let _ = waiter.reply.send(outcome);
        }
    }

    // ---- the work ------------------------------------------------------------------------------------------------

    /// The tenure whose work has not been reported ended.
    pub(crate) fn tenure(&self) -> Option<&Arc<Tenure>> {
        self.tenure.as_ref().map(|(tenure, _)| tenure)
    }

    /// Whether the tenure's work has ended; says so once, and forgets the tenure.
    pub(crate) fn take_ended(&mut self) -> bool {
        self.tenure.take_if(|(tenure, _)| tenure.has_ended()).is_some()
    }

    /// Carries out an order to the work under the lease of this slot. Whoever waits gets the leadership.
    pub(crate) fn order(&mut self, slot: usize, order: Order) {
        match order {
            Order::Start { term, nonce, last_note, deadline } => {
                let key = self.keys.all()[slot].clone();
                let number = (!self.slots.is_empty()).then_some(slot);
                let clock = self.clock.clone();
                let tenure = Arc::new(Tenure::new(key, number, term, nonce, last_note, deadline, clock));
                let watched = self.watch.map(|watch| watch.enforce(&tenure));
                self.tenure = Some((Arc::clone(&tenure), watched));
                // The status comes first, so that whoever gets the leadership finds itself there.
                let standing = Standing::Leader { term, deadline, stopping: false };
                let observed = Observed { leader: Some(self.holder.clone()), term: Some(term) };
                let leads = Position { standing, current: true, observed };
                self.publish(&leads);
                self.publish_slot(slot, &leads);
                self.answer(Outcome::Granted(Hold::new(tenure)));
            }
            Order::Extend { deadline } => self.with_tenure(|tenure| tenure.extend(deadline)),
            Order::Stop { reason, .. } => self.with_tenure(|tenure| tenure.stop(reason)),
            Order::Kill { reason } => self.with_tenure(|tenure| tenure.kill(reason)),
        }
    }

    fn with_tenure(&self, order: impl FnOnce(&Tenure)) {
        if let Some((tenure, _)) = &self.tenure {
            order(tenure);
        }
    }

    // ---- what is told --------------------------------------------------------------------------------------------

    /// Publishes an event, with its logs and metrics: of this slot, or of all of them together.
    pub(crate) fn tell(&self, slot: Option<usize>, event: Event) {
        match slot.and_then(|slot| self.slots.get(slot)) {
            Some(publisher) => {
                publisher.tell(&event);
                self.whole.note(&event);
            }
            None => self.whole.tell(&event),
        }
        let slot = slot.filter(|_| !self.slots.is_empty());
        // Nobody listening is no error.
        let _ = self.events.send(SlotEvent { slot, event });
    }

    /// The store has freed this lease; `reason` is the code of why its tenure had ended.
    pub(crate) fn released(&self, key: &LeaseKey, reason: &'static str) {
        let slot = self.keys.all().iter().position(|other| other == key);
        slot.and_then(|slot| self.slots.get(slot)).unwrap_or(&self.whole).released(reason);
    }

    /// The store has answered, whatever it said.
    pub(crate) fn store_answered(&self) {
        self.all().for_each(Publisher::store_answered);
    }

    /// Whether a claim of the stopped election may have been granted without its knowing.
    pub(crate) fn set_unsettled(&self, unsettled: bool) {
        self.whole.set_unsettled(unsettled);
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.all().for_each(|publisher| publisher.set_healthy(healthy));
    }

    /// Publishes where the candidate stands with all slots taken together, where that has changed.
    pub(crate) fn publish(&self, position: &Position) {
        self.whole.publish(position);
    }

    /// The same for one of several slots.
    pub(crate) fn publish_slot(&self, slot: usize, position: &Position) {
        if let Some(publisher) = self.slots.get(slot) {
            publisher.publish(position);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Publisher> {
        std::iter::once(&self.whole).chain(&self.slots)
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
