//! What a test's hand moves: a driver without a machine and a store.

use std::time::Duration;

use tenure_core::{Event, HolderId, LossReason, Nonce, NotElected, Note, Observed, Order, Standing, Term, Time};

use crate::frontend::Frontend;
use crate::publisher::Position;
use crate::waiter::{Obstacle, Outcome};

/// One candidate whose leadership comes and goes as it is told.
#[derive(Debug)]
pub(super) struct Manual {
    /// `None` once the election was stopped.
    pub(super) frontend: Option<Frontend>,
    /// The tenure, until its work has ended.
    leading: Option<Leading>,
    observed: Observed,
    healthy: bool,
    /// The highest term that was granted, or shown by a sink.
    highest: u64,
    note: Note,
    stopping: bool,
    /// A campaign was told of, and has not ended.
    campaigning: bool,
}

#[derive(Debug)]
struct Leading {
    slot: usize,
    term: Term,
    since: Time,
    /// That it is lost was told.
    lost: bool,
}

impl Manual {
    pub(super) fn new(frontend: Frontend) -> Manual {
        Manual {
            frontend: Some(frontend),
            leading: None,
            observed: Observed::default(),
            healthy: true,
            highest: 0,
            note: Note::default(),
            stopping: false,
            campaigning: false,
        }
    }

    /// The note that was set last.
    pub(super) fn note(&self) -> &Note {
        &self.note
    }

    pub(super) fn is_campaigning(&self) -> bool {
        self.campaigning
    }

    // ---- what the code wishes for --------------------------------------------------------------------------------

    pub(super) fn take_wishes(&mut self) {
        let Some(frontend) = &mut self.frontend else { return };
        // In the order in which a driver takes them.
        let ended = frontend.tenure().is_some_and(|tenure| tenure.has_ended());
        let wishes = frontend.control().take();
        if let Some(note) = wishes.note {
            self.note = note;
        }
        if let Some(healthy) = wishes.health {
            frontend.set_healthy(healthy);
            self.healthy = healthy;
        }
        let is_alone = frontend.keys().all().len() == 1;
        let has_ended = ended && frontend.take_ended();
        if wishes.resign || wishes.stop || wishes.give_up {
            frontend.dismiss();
        }
        if let Some(waiter) = wishes.campaign
            && !self.stopping
            && !wishes.stop
        {
            frontend.admit(waiter);
        }
        if !self.healthy {
            self.lose(LossReason::Unhealthy);
        }
        for (slot, seen) in wishes.shown_terms {
            self.highest = self.highest.max(seen.get());
            let is_meant = |leading: &Leading| slot.map_or(is_alone, |slot| slot == leading.slot);
            if self.leading.as_ref().is_some_and(|leading| leading.term < seen && is_meant(leading)) {
                self.lose(LossReason::Fenced { seen });
            }
        }
        if has_ended {
            self.work_ended();
        }
        if wishes.resign || wishes.stop {
            self.lose(LossReason::Resigned);
        }
        self.stopping |= wishes.stop;
        self.settle();
    }

    fn work_ended(&mut self) {
        let Some(leading) = self.leading.take() else { return };
        if !leading.lost {
            let led_for = self.now().since(leading.since);
            self.tell(Event::LostLeadership { reason: LossReason::WorkEnded, led_for });
        }
        if self.observed.term == Some(leading.term) {
            self.observe(Observed::default(), false);
        }
    }

    /// Publishes where all that leads to, and ends where the end was asked for and nothing is held.
    fn settle(&mut self) {
        let waits = self.frontend.as_ref().and_then(Frontend::waiter).map(|waiter| waiter.once);
        if waits.is_some() && self.leading.is_none() && !self.campaigning {
            self.campaigning = true;
            self.tell(Event::LeaderElectionStarted);
        }
        self.campaigning &= waits.is_some();
        if waits == Some(true) {
            if let Some(leading) = self.leading.as_ref().filter(|leading| !leading.lost) {
                let term = leading.term;
                self.not_elected(NotElected::Held, |frontend| Some((frontend.holder().clone(), Some(term), None)));
            } else if !self.healthy {
                self.not_elected(NotElected::MayNotClaim, |_| None);
            }
        }
        self.publish();
        if self.stopping && self.leading.is_none() {
            self.frontend = None;
        }
    }

    fn not_elected(
        &mut self,
        why: NotElected,
        holder: impl FnOnce(&Frontend) -> Option<(HolderId, Option<Term>, Option<Duration>)>,
    ) {
        self.campaigning = false;
        if let Some(frontend) = &mut self.frontend {
            let obstacle = Obstacle { holder: holder(frontend), failure: None };
            frontend.answer(Outcome::NotElected(why, obstacle));
        }
    }

    // ---- what the hand does --------------------------------------------------------------------------------------

    /// Grants leadership of this slot to whoever waits, for so long.
    pub(super) fn grant(&mut self, slot: usize, validity: Duration) -> Option<Term> {
        self.highest += 1;
        let (term, since) = (Term::new(self.highest)?, self.now());
        let last_note = (!self.note.is_empty()).then(|| self.note.clone());
        self.campaigning = false;
        self.leading = Some(Leading { slot, term, since, lost: false });
        self.answered();
        self.tell(Event::BecameLeader { term });
        let leader = self.frontend.as_ref().map(|frontend| frontend.holder().clone());
        self.observe(Observed { leader, term: Some(term) }, true);
        let nonce = Nonce { process: 0, campaign: term.get() };
        self.order(Order::Start { term, nonce, last_note, deadline: since + validity });
        if let Some(frontend) = &self.frontend {
            // Whoever fulfils wishes looks for the end of this tenure from now on.
            frontend.control().wish(|_| ());
        }
        Some(term)
    }

    /// Somebody else holds the key: the answer to one try, news to a campaign.
    pub(super) fn refuse(&mut self, by: &HolderId) {
        self.answered();
        self.observe(Observed { leader: Some(by.clone()), term: None }, false);
        let once = self.frontend.as_ref().and_then(Frontend::waiter).is_some_and(|waiter| waiter.once);
        if once {
            self.not_elected(NotElected::Held, |_| Some((by.clone(), None, None)));
        }
        self.publish();
    }

    pub(super) fn lose(&mut self, reason: LossReason) {
        let now = self.now();
        let Some(leading) = self.leading.as_mut().filter(|leading| !leading.lost) else { return };
        leading.lost = true;
        let led_for = now.since(leading.since);
        let at_once = matches!(reason, LossReason::Lost { .. } | LossReason::Expired | LossReason::Fenced { .. });
        self.order(match at_once {
            true => Order::Kill { reason: reason.clone() },
            false => Order::Stop { reason: reason.clone(), kill_at: Time::MAX },
        });
        self.tell(Event::LostLeadership { reason, led_for });
        self.publish();
    }

    pub(super) fn kill(&mut self) {
        self.lose(LossReason::Expired);
        let reason = self.frontend.as_ref().and_then(Frontend::tenure).and_then(|tenure| tenure.reason());
        self.order(Order::Kill { reason: reason.unwrap_or(LossReason::Expired) });
        self.publish();
    }

    pub(super) fn renew(&mut self, validity: Duration) {
        if self.leading.as_ref().is_some_and(|leading| !leading.lost) {
            let deadline = self.now() + validity;
            self.answered();
            self.order(Order::Extend { deadline });
            self.tell(Event::Renewed);
            self.publish();
        }
    }

    /// Stands still until the deadline has passed.
    pub(super) fn pause(&self) {
        if let Some(tenure) = self.frontend.as_ref().and_then(Frontend::tenure) {
            self.advance(tenure.deadline().since(self.now()));
        }
    }

    pub(super) fn advance(&self, span: Duration) {
        if let Some(frontend) = &self.frontend {
            frontend.advance(span);
        }
    }

    pub(super) fn observe(&mut self, observed: Observed, is_self: bool) {
        if self.observed != observed {
            self.observed = observed.clone();
            self.tell(Event::LeaderChanged { leader: observed.leader, term: observed.term, is_self });
            self.publish();
        }
    }

    pub(super) fn tell(&self, event: Event) {
        if let Some(frontend) = &self.frontend {
            frontend.tell(self.leading.as_ref().map(|leading| leading.slot), event);
        }
    }

    // ---- small things --------------------------------------------------------------------------------------------

    fn now(&self) -> Time {
        self.frontend.as_ref().map_or(Time::ZERO, Frontend::now)
    }

    fn answered(&self) {
        if let Some(frontend) = &self.frontend {
            frontend.store_answered();
        }
    }

    fn order(&mut self, order: Order) {
        if let (Some(frontend), Some(leading)) = (&mut self.frontend, &self.leading) {
            frontend.order(leading.slot, order);
        }
    }

    fn publish(&self) {
        let Some(frontend) = &self.frontend else { return };
        let tenure = frontend.tenure().filter(|_| self.leading.is_some());
        let standing = match (&self.leading, tenure, frontend.waiter()) {
            (Some(leading), Some(tenure), _) => {
                Standing::Leader { term: leading.term, deadline: tenure.deadline(), stopping: leading.lost }
            }
            (None, _, Some(_)) if self.healthy => Standing::Candidate,
            _ => Standing::Idle,
        };
        let current = tenure.is_some_and(|tenure| tenure.is_current());
        let position = Position { standing, current, observed: self.observed.clone() };
        frontend.publish(&position);
        if let Some(leading) = &self.leading {
            frontend.publish_slot(leading.slot, &position);
        }
    }
}
