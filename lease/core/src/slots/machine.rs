//! The state machine: an elector for each slot, and the search for one that can be had.
//!
//! The search lists the slots, then claims those that look free, one after the other and each with one try, until one is
//! granted. Otherwise it waits for a hint, or for the first lease to run out. At most one elector campaigns or leads at a
//! time, so that one process never acts under two slots. A list guides only: the claims decide.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::face::{SlotsConfig, SlotsOutput};
use super::keys::SlotKeys;
use super::lanes::{Lane, Lanes};
use crate::elector::Attempts;
use crate::hints::HintBudget;
use crate::jitter::Jitter;
use crate::{Answer, Claimed, Elector, Event, Held, Input, LeaseKey, LeaseRecord, NotElected, Order, Output, Request};
use crate::{RequestId, Standing, Time, Timing};

/// Waits are spread over this fraction of the retry interval.
const JITTER_FRACTION: u32 = 8;

/// After so many failed claims of one search the store counts as away; the next search begins behind them.
const MOST_FAILED: u32 = 4;

/// How many slots are claimed at most where the store did not list them.
const MOST_UNLISTED: usize = 16;

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
    hints: HintBudget,
    jitter: Jitter,
    outputs: VecDeque<SlotsOutput>,
}

/// The search of a campaign. Only several slots need one.
#[derive(Debug)]
struct Search {
    phase: Phase,
    attempts: Attempts,
    /// Where it begins.
    first: usize,
    /// The slots that are still to be claimed.
    queue: VecDeque<usize>,
    /// How the try of the slot that is claimed has ended, until that was dealt with.
    ended: Option<NotElected>,
    /// How many claims have failed since it began, and whether one was answered with "held".
    failed: u32,
    held: bool,
    /// When the first of the leases that others hold runs out, as far as the store has said.
    first_to_end: Option<Time>,
    /// When to look next, or, while a list is under way, when that counts as failed.
    due: Time,
    /// How many lists were sent, and whether the latest may be answered yet.
    lists: u64,
    list_open: bool,
    /// The next list is due because of a hint.
    hinted: bool,
    /// A hint came that the list under way may not show.
    look_again: bool,
    /// That no slot is free was told, and nothing has changed since.
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is no campaign.
    Idle,
    /// The next look is waited for.
    Waiting,
    /// The list is under way.
    Listing,
    /// The elector of this slot tries.
    Claiming(usize),
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
            search: Search {
                phase: Phase::Idle,
                attempts: Attempts::One,
                first,
                queue: VecDeque::new(),
                ended: None,
                failed: 0,
                held: false,
                first_to_end: None,
                due: Time::MAX,
                lists: 0,
                list_open: false,
                hinted: false,
                look_again: false,
                told: false,
            },
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

    fn campaign(&mut self, now: Time, attempts: Attempts) {
        let stopping = match self.standing() {
            Standing::Leader { stopping, .. } => stopping,
            Standing::Releasing => true,
            Standing::Idle => return self.start(now, attempts),
            Standing::Candidate => {
                self.search.attempts = self.search.attempts.max(attempts);
                return;
            }
        };
        self.campaign_wanted = if stopping { self.campaign_wanted.max(Some(attempts)) } else { None };
    }

    fn start(&mut self, now: Time, attempts: Attempts) {
        self.campaign_wanted = None;
        if attempts == Attempts::One && !self.healthy {
            return self.event(None, Event::NotElected(NotElected::MayNotClaim));
        }
        self.search.attempts = attempts;
        self.search.told = false;
        self.wait_until(now + self.timing.claim_delay());
        self.event(None, Event::LeaderElectionStarted);
    }

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

    /// A hint that a slot may be free.
    fn wake(&mut self, now: Time) {
        match self.search.phase {
            Phase::Idle => {}
            Phase::Listing | Phase::Claiming(_) => self.search.look_again = true,
            Phase::Waiting if self.search.attempts == Attempts::One => {}
            Phase::Waiting => {
                let at = self.hints.earliest(now, &self.timing) + self.timing.claim_delay();
                self.search.hinted = true;
                self.search.due = self.search.due.min(at);
            }
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

    // ---- the search ----------------------------------------------------------------------------------------------

    /// Goes on for as long as nothing has to be waited for.
    fn go_on(&mut self, now: Time) {
        loop {
            match self.search.phase {
                Phase::Idle => match self.campaign_wanted {
                    Some(attempts) if self.leading.is_none() && !self.is_releasing() => self.start(now, attempts),
                    _ => return,
                },
                Phase::Waiting if self.search.due > now || !self.may_look() => return,
                Phase::Waiting if self.search.attempts == Attempts::One => {
                    let all = vec![false; self.electors.len()];
                    self.claim_free(now, &all);
                }
                Phase::Waiting => self.send_list(now),
                Phase::Listing => return,
                Phase::Claiming(slot) => match self.search.ended.take() {
                    Some(why) => self.claim_ended(now, slot, why),
                    None => return,
                },
            }
        }
    }

    /// Nothing is claimed while the gate is closed, or while a lease of this process is being given back.
    fn may_look(&self) -> bool {
        self.healthy && !self.is_releasing()
    }

    fn send_list(&mut self, now: Time) {
        if self.search.hinted {
            self.hints.spend(now, &self.timing);
        }
        self.search.phase = Phase::Listing;
        self.search.hinted = false;
        self.search.look_again = false;
        self.search.lists += 1;
        self.search.list_open = true;
        // A list of many keys takes longer than a request for one.
        self.search.due = now + self.timing.request_timeout() * 2;
        let id = self.lanes.id(Lane::List, RequestId(self.search.lists));
        let list = Request::List { prefix: self.keys.prefix().clone(), keys: self.keys.all().clone() };
        self.outputs.push_back(SlotsOutput::Send(id, list));
    }

    /// What is free by this list is claimed. One that comes late is as good: the claims decide.
    fn listed(&mut self, now: Time, records: &[LeaseRecord]) {
        self.search.list_open = false;
        if !matches!(self.search.phase, Phase::Listing | Phase::Waiting) {
            return;
        }
        if !self.may_look() {
            // A lease of ours is being given back: what the list shows is old by then.
            if self.search.phase == Phase::Listing {
                self.wait_until(now);
            }
            return;
        }
        let mut held: Vec<Option<&LeaseRecord>> = vec![None; self.electors.len()];
        self.search.first_to_end = None;
        for record in records {
            if let Some(slot) = self.slots.get(&record.key) {
                held[*slot] = Some(record);
                self.runs_out(now, record.remaining);
            }
        }
        for (slot, record) in held.iter().enumerate() {
            self.electors[slot].listed(now, *record);
            self.due[slot] = self.electors[slot].poll_timeout().unwrap_or(Time::MAX);
        }
        if self.is_releasing() {
            // Leases of ours that nobody wanted: look again without them.
            return self.wait_until(now);
        }
        let held: Vec<bool> = held.iter().map(Option::is_some).collect();
        self.claim_free(now, &held);
    }

    /// A list guides, the claims decide: where the store does not tell in time what is free (it may be slow to list many names, or
    /// have one record that cannot be read), a few slots are claimed all the same, others the next time. Where the store is away
    /// the first of these claims says so.
    fn list_failed(&mut self, now: Time, outcome_unknown: bool, message: String) {
        self.event(None, Event::StoreFailed { verb: "list", message, outcome_unknown });
        self.search.told = false;
        if !self.may_look() {
            let pause = self.with_jitter(self.timing.retry_interval());
            return self.wait_until(now + pause);
        }
        self.search.first_to_end = None;
        let unknown = vec![false; self.electors.len()];
        self.queue_free(&unknown);
        self.search.queue.truncate(MOST_UNLISTED);
        self.search.first = (self.search.first + self.search.queue.len()) % self.electors.len();
        self.search.failed = MOST_FAILED - 1;
        self.claim_next(now);
    }

    /// Claims the slots that are not held, one after the other. The elector of one that is left to others sees to that itself.
    fn claim_free(&mut self, now: Time, held: &[bool]) {
        self.queue_free(held);
        self.claim_next(now);
    }

    fn queue_free(&mut self, held: &[bool]) {
        let (before, after) = (0..self.search.first, self.search.first..self.electors.len());
        self.search.queue = after.chain(before).filter(|slot| !held[*slot]).collect();
        self.search.failed = 0;
        self.search.held = held.contains(&true);
    }

    fn claim_next(&mut self, now: Time) {
        let Some(slot) = self.search.queue.pop_front() else { return self.found_none(now) };
        self.search.phase = Phase::Claiming(slot);
        self.search.ended = None;
        self.tell(slot, now, Input::TryCampaign);
    }

    fn claim_ended(&mut self, now: Time, slot: usize, why: NotElected) {
        match why {
            NotElected::Held => self.search.held = true,
            NotElected::StoreFailed => self.search.failed += 1,
            NotElected::MayNotClaim => {}
        }
        if self.search.failed == MOST_FAILED {
            self.search.first = (slot + 1) % self.electors.len();
            self.search.queue.clear();
        }
        self.claim_next(now);
    }

    /// No slot was to be had: the end of a try, a pause for a campaign.
    fn found_none(&mut self, now: Time) {
        let failed = self.search.failed > 0;
        if self.search.attempts == Attempts::One {
            return self.give_up(match (failed, self.search.held) {
                (true, _) => NotElected::StoreFailed,
                (false, true) => NotElected::Held,
                (false, false) => NotElected::MayNotClaim,
            });
        }
        if !self.healthy {
            return self.wait_until(now);
        }
        if !failed && !self.search.told {
            self.event(None, Event::NoSlotFree);
        }
        self.search.told = !failed;
        let retry = self.timing.retry_interval();
        let first_to_end = self.search.first_to_end.filter(|_| !failed).map(|at| at.since(now));
        // However long the store says it will take, the timer remains.
        let pause = first_to_end.unwrap_or(retry).clamp(retry, Timing::MAX_TTL.max(retry));
        // Nobody tells when a slot that is left to others has been left for long enough.
        let left = self.electors.iter().map(Elector::standing_back_until).filter(|until| *until > now).min();
        let pause = left.map_or(pause, |until| pause.min(until.since(now).max(retry)));
        let look_again = self.search.look_again;
        let pause = self.with_jitter(pause).saturating_add(self.timing.claim_delay());
        self.wait_until(now + pause);
        if look_again {
            self.wake(now);
        }
    }

    fn wait_until(&mut self, due: Time) {
        self.search.phase = Phase::Waiting;
        self.search.due = due;
        self.search.hinted = false;
        self.search.look_again = false;
    }

    fn give_up(&mut self, why: NotElected) {
        self.end_search();
        self.event(None, Event::NotElected(why));
    }

    fn end_search(&mut self) {
        self.search.phase = Phase::Idle;
        self.search.queue.clear();
        self.search.ended = None;
        self.search.list_open = false;
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

    /// A slot is held for so long; where that is not known, it is looked at again after the retry interval.
    fn runs_out(&mut self, now: Time, remaining: Option<Duration>) {
        self.search.runs_out(now + remaining.unwrap_or(self.timing.retry_interval()));
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

    // ---- small things --------------------------------------------------------------------------------------------

    fn event(&mut self, slot: Option<usize>, event: Event) {
        self.outputs.push_back(SlotsOutput::Event(slot, event));
    }

    fn with_jitter(&mut self, pause: Duration) -> Duration {
        pause.saturating_add(self.jitter.up_to(self.timing.retry_interval() / JITTER_FRACTION))
    }
}

impl Search {
    /// A lease that somebody else holds runs out by then.
    fn runs_out(&mut self, at: Time) {
        self.first_to_end = Some(self.first_to_end.map_or(at, |first| first.min(at)));
    }
}
