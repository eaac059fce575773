//! The state machine: an elector for each slot, and the search for one that can be had.
//!
//! The search lists the slots, then claims those that look free, one after the other and each with one try, until one is
//! granted. Otherwise it waits for a hint, or for the first lease to run out. At most one elector campaigns or leads at a
//! time, so that one process never acts under two slots. A list guides only: the claims decide.

mod campaign;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::face::{SlotsConfig, SlotsOutput};
use super::keys::SlotKeys;
use super::lanes::{Lane, Lanes};
use super::search::{Phase, Search};
use crate::elector::Attempts;
use crate::hints::HintBudget;
use crate::jitter::Jitter;
use crate::{Answer, Claimed, Elector, Event, Held, Input, LeaseKey, NotElected, Order, Output};
use crate::{RequestId, Standing, Time, Timing};

/// One candidate for any one of several keys: at most N hold one of N slots, and nobody holds two.
///
/// Driven as an [`Elector`] is, with the same inputs, and with the same promise of the driver: the work is dead by the last
/// deadline it was given, and [`Input::WorkEnded`] is told only when nothing of the work can act any more. With one key it
/// is that elector: the same requests, and no lists.
///
/// With several keys [`Input::Campaign`] lists the slots before it claims, and waits where none can be had;
/// [`Input::TryCampaign`] claims each slot once, without a list, and tells with [`Event::NotElected`] that none was to be
/// had. A slot that this candidate was asked to give up is left to others for [`Timing::stand_back`], or until somebody else
/// has taken it; the other slots are as good meanwhile. [`Input::Fenced`] counts for the slot that is held, without one for
/// all.
#[derive(Debug)]
pub struct Slots {
    keys: SlotKeys,
    timing: Timing,
    now: Time,
    electors: Vec<Elector>,
    /// When each elector is due; most of them never are.
    due: Vec<Time>,
    slots: BTreeMap<LeaseKey, usize>,
    lanes: Lanes,
    /// The slot that has work.
    leading: Option<usize>,
    /// A campaign was asked for while a tenure, or what is left of one, was still being wound up.
    campaign_wanted: Option<Attempts>,
    healthy: bool,
    search: Search,
    /// Somebody tells when a slot may have come free.
    has_hints: bool,
    hints: HintBudget,
    jitter: Jitter,
    outputs: VecDeque<SlotsOutput>,
}

impl Slots {
    /// Idle, healthy slots. They do nothing until [`Input::Campaign`] or [`Input::TryCampaign`].
    pub fn new(config: SlotsConfig) -> Slots {
        let keys = config.keys.clone();
        let count = keys.all().len();
        let mut jitter = Jitter::new(config.seed);
        let first = jitter.below(count);
        Slots {
            timing: config.timing,
            now: Time::ZERO,
            electors: (0..count).map(|slot| Elector::new(config.elector(slot))).collect(),
            due: vec![Time::MAX; count],
            slots: keys.all().iter().cloned().zip(0..).collect(),
            lanes: Lanes::new(count),
            leading: None,
            campaign_wanted: None,
            healthy: true,
            search: Search::new(first),
            has_hints: config.hints,
            hints: HintBudget::default(),
            jitter,
            outputs: VecDeque::new(),
            keys,
        }
    }

    /// Takes in one thing that happened, and whatever became due by `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        let now = now.max(self.now);
        self.now = now;
        if self.is_alone() {
            return self.tell(0, now, input);
        }
        match input {
            Input::Timeout => {}
            Input::Campaign => self.campaign(now, Attempts::UntilElected),
            Input::TryCampaign => self.campaign(now, Attempts::One),
            Input::Resign => self.resign(now),
            Input::WorkEnded => self.tell_leading(now, Input::WorkEnded),
            Input::Health(healthy) => self.health(now, healthy),
            Input::Wake => self.wake(now),
            Input::Answer(id, answer) => self.answer(now, id, answer),
            Input::Fenced { slot: Some(slot), .. } => self.tell(slot, now, input),
            Input::Fenced { slot: None, .. } => self.fenced_somewhere(now, &input),
            Input::Note(_) => self.tell_all(now, &input),
        }
        for slot in 0..self.electors.len() {
            // At the end of time nothing is due any more.
            if self.due[slot] <= now && self.due[slot] != Time::MAX {
                self.tell(slot, now, Input::Timeout);
            }
        }
        if self.search.phase == Phase::Listing && self.search.due <= now {
            self.list_failed(now, true, String::from("no answer in time"));
        }
        self.go_on(now);
    }

    /// The next thing to do; `None` when all is done. Drain it after every [`Slots::handle`].
    pub fn poll(&mut self) -> Option<SlotsOutput> {
        self.outputs.pop_front()
    }

    /// When to call [`Slots::handle`] with [`Input::Timeout`] at the latest; `None` when there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Time> {
        let search = match self.search.phase {
            Phase::Idle | Phase::Claiming(_) => None,
            Phase::Waiting => self.may_look().then_some(self.search.due),
            Phase::Listing => Some(self.search.due),
        };
        self.due.iter().copied().filter(|due| *due != Time::MAX).chain(search).min()
    }

    /// Where this candidate stands, with all slots taken together.
    pub fn standing(&self) -> Standing {
        match (self.leading, self.search.phase) {
            (Some(slot), _) => self.electors[slot].standing(),
            (None, Phase::Idle) if self.is_alone() => self.electors[0].standing(),
            (None, Phase::Idle) if self.is_releasing() => Standing::Releasing,
            (None, Phase::Idle) => Standing::Idle,
            (None, _) => Standing::Candidate,
        }
    }

    /// Whether the work may act at `now`; see [`Elector::is_current`].
    pub fn is_current(&self, now: Time) -> bool {
        self.leading.is_some_and(|slot| self.electors[slot].is_current(now))
    }

    /// The tenure to release should this process die with all its work; see [`Elector::held`].
    pub fn held(&self) -> Option<Held> {
        self.electors[self.leading?].held()
    }

    /// The slot that has work, or whose work has not been told to have ended.
    pub fn leading(&self) -> Option<usize> {
        self.leading
    }

    /// The keys of the slots.
    pub fn keys(&self) -> &SlotKeys {
        &self.keys
    }

    /// The elector of each slot, for status pages: where it stands, and who was last seen to hold the slot.
    pub fn electors(&self) -> &[Elector] {
        &self.electors
    }

    // ---- what happens --------------------------------------------------------------------------------------------

    fn resign(&mut self, now: Time) {
        self.campaign_wanted = None;
        match self.search.phase {
            Phase::Claiming(slot) => self.tell(slot, now, Input::Resign),
            _ => self.tell_leading(now, Input::Resign),
        }
        self.end_search();
    }

    fn health(&mut self, now: Time, healthy: bool) {
        self.healthy = healthy;
        self.tell_all(now, &Input::Health(healthy));
        match (healthy, self.search.phase, self.search.attempts) {
            (false, Phase::Waiting, Attempts::One) => self.give_up(NotElected::MayNotClaim),
            // What it shows would be old when the gate opens again.
            (false, Phase::Listing, _) => self.wait_until(now),
            _ => {}
        }
    }

    fn answer(&mut self, now: Time, id: RequestId, answer: Answer) {
        match self.lanes.owner(id) {
            (Lane::Slot(slot), own) => {
                if let Answer::Claimed(Claimed::Held { remaining, .. }) = &answer
                    && self.search.phase == Phase::Claiming(slot)
                {
                    self.runs_out(now, *remaining);
                }
                self.tell(slot, now, Input::Answer(own, answer));
            }
            (Lane::List, own) if self.search.list_open && own.0 == self.search.lists => match answer {
                Answer::Listed(records) => self.listed(now, &records),
                // The failure of a list that was given up already says nothing new.
                _ if self.search.phase != Phase::Listing => {}
                Answer::Failed(failure) => self.list_failed(now, failure.outcome_unknown, failure.message),
                _ => self.list_failed(now, true, String::from("the answer does not fit the request")),
            },
            (Lane::List, _) => {}
        }
    }

    // ---- the electors --------------------------------------------------------------------------------------------

    /// A sink has shown a term, of whichever slot: claims ask for a higher one, and the slot that is led goes on.
    fn fenced_somewhere(&mut self, now: Time, input: &Input) {
        for slot in 0..self.electors.len() {
            if self.leading != Some(slot) {
                self.tell(slot, now, input.clone());
            }
        }
    }

    /// One slot is a plain election.
    fn is_alone(&self) -> bool {
        self.electors.len() == 1
    }

    fn is_releasing(&self) -> bool {
        self.electors.iter().any(|elector| elector.standing() == Standing::Releasing)
    }

    fn tell_leading(&mut self, now: Time, input: Input) {
        if let Some(slot) = self.leading {
            self.tell(slot, now, input);
        }
    }

    fn tell_all(&mut self, now: Time, input: &Input) {
        for slot in 0..self.electors.len() {
            self.tell(slot, now, input.clone());
        }
    }

    /// Hands an input to the elector of a slot, and takes over what it wants done.
    fn tell(&mut self, slot: usize, now: Time, input: Input) {
        let Some(elector) = self.electors.get_mut(slot) else { return };
        let released = elector.standing() == Standing::Releasing;
        elector.handle(now, input);
        while let Some(output) = self.electors[slot].poll() {
            self.take_over(slot, output);
        }
        self.due[slot] = self.electors[slot].poll_timeout().unwrap_or(Time::MAX);
        let standing = self.electors[slot].standing();
        if self.leading == Some(slot) && !matches!(standing, Standing::Leader { .. }) {
            self.leading = None;
        }
        if released && standing == Standing::Idle && self.search.phase == Phase::Waiting {
            // It is free, and nobody tells.
            self.search.due = self.search.due.min(now + self.timing.claim_delay());
        }
    }

    fn take_over(&mut self, slot: usize, output: Output) {
        match output {
            Output::Send(id, request) => {
                let id = self.lanes.id(Lane::Slot(slot), id);
                self.outputs.push_back(SlotsOutput::Send(id, request));
            }
            Output::Work(order) => {
                if matches!(order, Order::Start { .. }) {
                    self.leading = Some(slot);
                    self.end_search();
                }
                self.outputs.push_back(SlotsOutput::Work(slot, order));
            }
            // The tries of the slots are one campaign together.
            Output::Event(Event::LeaderElectionStarted) if !self.is_alone() => {}
            Output::Event(Event::NotElected(why)) if !self.is_alone() => self.search.ended = Some(why),
            Output::Event(event) => self.event(Some(slot), event),
        }
    }

    fn event(&mut self, slot: Option<usize>, event: Event) {
        self.outputs.push_back(SlotsOutput::Event(slot, event));
    }
}
