//! The elector: one candidate for one key, as a pure state machine.
//!
//! It campaigns (campaign.rs), leads (tenure.rs) and gives back what it holds (release.rs). Time and randomness come
//! in as arguments, requests, orders and events go out through [`Elector::poll`]. One answer is waited for at a time;
//! a request that is given up (it took too long, or something more urgent came) is remembered for a while, so that its
//! late answer still counts from the moment of its own sending.

mod campaign;
mod face;
mod release;
mod releases;
mod requests;
mod state;
mod tenure;
#[cfg(test)]
mod tests;
mod timers;

use alloc::collections::VecDeque;
use alloc::string::String;

pub use face::{Answer, ElectorConfig, Failure, Input, Observed, Order, Output, Request, RequestId, Standing};

use crate::jitter::Jitter;
use crate::{Event, Held, HolderId, LossReason, Nonce, Note, Term, Time};
use releases::Releases;
use requests::{Asked, Requests};
pub(crate) use state::Attempts;
use state::{Phase, State};
use timers::{ACTING, SENDING, Timer, Timers};

/// One candidate for one key.
///
/// Call [`Elector::handle`] with everything that happens, and with [`Input::Timeout`] when [`Elector::poll_timeout`] is
/// due; after every call drain [`Elector::poll`] and carry out what it says, in order. Nothing that goes in can make it
/// panic. A `now` earlier than an earlier `now` counts as that earlier one.
///
/// It promises one actor per key only together with a driver that keeps its side: the work is dead by the last deadline
/// it was given even if this elector is never called again, and [`Input::WorkEnded`] is told only when nothing of the
/// work can act any more.
#[derive(Debug)]
pub struct Elector {
    config: ElectorConfig,
    now: Time,
    state: State,
    healthy: bool,
    /// A campaign was asked for while a tenure was still being wound up.
    campaign_wanted: Option<Attempts>,
    /// How many nonces this elector has used.
    campaigns: u64,
    /// Until when the key is left to others, after this candidate was asked to resign.
    standing_back_until: Time,
    /// The highest term ever seen for the key, by a sink or in the store.
    highest: Option<Term>,
    /// The highest that the store has shown.
    highest_stored: Option<Term>,
    /// The highest that this candidate has led under.
    led: Option<Term>,
    observed: Observed,
    timers: Timers,
    requests: Requests,
    releases: Releases,
    /// The tenure whose lease was left to run out.
    left: Option<(Nonce, Term)>,
    /// How many more times to look for a record that we own without knowing it.
    orphan_checks: u8,
    last_observe: Option<Time>,
    jitter: Jitter,
    outputs: VecDeque<Output>,
}

impl Elector {
    /// An idle, healthy elector. It does nothing until [`Input::Campaign`].
    pub fn new(config: ElectorConfig) -> Elector {
        Elector {
            now: Time::ZERO,
            state: State::Idle,
            healthy: true,
            campaign_wanted: None,
            campaigns: 0,
            standing_back_until: Time::ZERO,
            highest: None,
            highest_stored: None,
            led: None,
            observed: Observed::default(),
            timers: Timers::new(),
            requests: Requests::new(),
            releases: Releases::default(),
            left: None,
            orphan_checks: 0,
            last_observe: None,
            jitter: Jitter::new(config.seed),
            outputs: VecDeque::new(),
            config,
        }
    }

    /// Takes in one thing that happened, and whatever became due by `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        let now = now.max(self.now);
        self.now = now;
        // A watchdog kills at the same moment by itself; an answer that comes after it can save nothing.
        self.kill_if_due(now);
        match input {
            Input::Timeout => {}
            Input::Campaign => self.campaign(now, Attempts::UntilElected),
            Input::TryCampaign => self.campaign(now, Attempts::One),
            Input::Resign => self.resign(now),
            Input::WorkEnded => self.work_ended(now),
            Input::Health(healthy) => self.health(now, healthy),
            Input::Wake => self.wake(now),
            Input::Answer(id, answer) => self.answer(now, id, answer),
            Input::Fenced { seen, .. } => self.fenced(now, seen),
            Input::Note(note) => self.note(now, note),
        }
        if self.timers.is_due(Timer::Request, now) {
            self.fail(now, true, String::from("no answer in time"));
        }
        if self.timers.is_due(Timer::Stop, now) {
            self.drain(now, LossReason::RenewalFailed);
        }
        self.kill_if_due(now);
        self.send_next(now);
    }

    /// The next thing to do; `None` when all is done. Drain it after every [`Elector::handle`].
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Elector::handle`] with [`Input::Timeout`] at the latest; `None` when there is nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Time> {
        let acting = ACTING.into_iter().map(|timer| self.timers.get(timer));
        let sending = SENDING.into_iter().filter(|timer| self.may_send(*timer)).map(|timer| self.timers.get(timer));
        acting.chain(sending).min().filter(|due| *due != Time::MAX)
    }

    /// Where this elector stands.
    pub fn standing(&self) -> Standing {
        match &self.state {
            State::Idle if self.releases.is_empty() => Standing::Idle,
            State::Idle => Standing::Releasing,
            State::Campaigning(_) => Standing::Candidate,
            State::Leading(tenure) => Standing::Leader {
                term: tenure.term,
                deadline: tenure.deadline,
                stopping: !matches!(tenure.phase, Phase::Working),
            },
        }
    }

    /// Who leads, as far as this candidate knows.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Whether the work may act at `now`: there is a tenure, its deadline has not come, and the work was not killed. It
    /// stays true while the work drains.
    pub fn is_current(&self, now: Time) -> bool {
        match &self.state {
            State::Leading(tenure) => !matches!(tenure.phase, Phase::Killed) && now < tenure.deadline,
            _ => false,
        }
    }

    /// The tenure to release should this process die with all its work; `None` where there is none, or where the store
    /// said that it is over.
    pub fn held(&self) -> Option<Held> {
        match &self.state {
            State::Leading(tenure) if !tenure.lost => Some(self.name(tenure.nonce, tenure.term)),
            _ => None,
        }
    }

    /// Until when the key is left to others, where it is.
    pub(crate) fn standing_back_until(&self) -> Time {
        self.standing_back_until
    }

    // ---- answers -------------------------------------------------------------------------------------------------

    fn answer(&mut self, now: Time, id: RequestId, answer: Answer) {
        if let Answer::Failed(failure) = answer {
            // The failure of a request that was given up already says nothing new, and its answer may still come.
            if self.requests.in_flight().is_some_and(|sent| sent.id == id) {
                self.fail(now, failure.outcome_unknown, failure.message);
            }
            return;
        }
        let Some((sent, waited_for)) = self.requests.answered(id) else { return };
        if waited_for {
            self.timers.clear(Timer::Request);
        }
        match (sent.asked, answer) {
            (Asked::Acquire(nonce), Answer::Claimed(claimed)) => self.claimed(now, sent.at, waited_for, nonce, claimed),
            (Asked::Renew(nonce, term), Answer::Renewed(renewed)) => {
                self.renewed(now, sent.at, waited_for, (nonce, term), renewed);
            }
            (Asked::Release(nonce, term), Answer::Released(_)) => self.released(now, nonce, term),
            (Asked::Observe, Answer::Observed(record)) => self.observed_record(now, waited_for, record),
            (asked, _) if waited_for => {
                self.failed(now, sent.at, asked, true, String::from("the answer does not fit the request"), false);
            }
            _ => {}
        }
    }

    /// The request in flight failed. It stays remembered, because its outcome may come to light yet.
    fn fail(&mut self, now: Time, outcome_unknown: bool, message: String) {
        let Some(sent) = self.requests.in_flight() else { return };
        // Noticed long after it was due: this process stood still, which says nothing about the store.
        let overdue = now.since(self.timers.get(Timer::Request));
        let stalled = outcome_unknown && overdue > self.config.timing.request_timeout() / 2;
        self.abandon();
        self.failed(now, sent.at, sent.asked, outcome_unknown, message, stalled);
    }

    fn failed(&mut self, now: Time, at: Time, asked: Asked, outcome_unknown: bool, message: String, stalled: bool) {
        self.event(Event::StoreFailed { verb: asked.verb(), message, outcome_unknown });
        match asked {
            Asked::Acquire(nonce) => self.claim_failed(now, nonce, outcome_unknown),
            Asked::Renew(..) => self.renewal_failed(now, at, stalled),
            Asked::Release(nonce, term) => self.release_failed(now, at, nonce, term),
            Asked::Observe => self.observe_failed(now),
        }
    }

    // ---- requests ------------------------------------------------------------------------------------------------

    /// Sends the most urgent request that is due, if nothing is waited for.
    fn send_next(&mut self, now: Time) {
        let due = SENDING.into_iter().find(|timer| self.timers.is_due(*timer, now) && self.may_send(*timer));
        match due {
            Some(Timer::Renew) => self.send_renewal(now),
            Some(Timer::Release) => self.send_release(now),
            Some(Timer::Observe) => self.send_observe(now),
            Some(Timer::Claim) => self.send_claim(now),
            _ => {}
        }
    }

    /// Whether the request of this timer could be sent if it were due.
    fn may_send(&self, timer: Timer) -> bool {
        if self.requests.in_flight().is_some() {
            return false;
        }
        match timer {
            Timer::Renew => matches!(&self.state, State::Leading(tenure) if !tenure.lost),
            // Nothing is released while there is work.
            Timer::Release => !matches!(self.state, State::Leading(_)),
            Timer::Observe => !matches!(self.state, State::Leading(_)) && self.releases.is_empty(),
            Timer::Claim => matches!(self.state, State::Campaigning(_)) && self.healthy && self.releases.is_empty(),
            Timer::Kill | Timer::Request | Timer::Stop => false,
        }
    }

    fn send(&mut self, now: Time, asked: Asked, request: Request) {
        let id = self.requests.send(asked, now);
        self.timers.set(Timer::Request, now + self.config.timing.request_timeout());
        self.outputs.push_back(Output::Send(id, request));
    }

    /// Stops waiting for the request in flight.
    fn abandon(&mut self) {
        self.requests.abandon();
        self.timers.clear(Timer::Request);
    }

    // ---- small things --------------------------------------------------------------------------------------------

    fn name(&self, nonce: Nonce, term: Term) -> Held {
        let ElectorConfig { key, timing, note, .. } = &self.config;
        Held { key: key.clone(), nonce, term, ttl: timing.ttl(), note: note.clone() }
    }

    fn fresh_nonce(&mut self) -> Nonce {
        self.campaigns += 1;
        Nonce { process: self.config.process, campaign: self.campaigns }
    }

    /// The store has shown this term.
    fn saw(&mut self, term: Option<Term>) {
        self.highest_stored = self.highest_stored.max(term);
        self.highest = self.highest.max(term);
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn order(&mut self, order: Order) {
        self.outputs.push_back(Output::Work(order));
    }

    /// Takes the note for what is written next. The first one of a lease that was written without goes out at once: a
    /// successor must find something, however soon this tenure ends.
    fn note(&mut self, now: Time, note: Note) {
        let first = self.config.note.is_empty() && !note.is_empty();
        self.config.note = note;
        if let State::Leading(tenure) = &mut self.state
            && first
            && !tenure.lost
        {
            // Where a renewal is in flight, the next one follows its answer.
            tenure.note_due = true;
            self.timers.advance(Timer::Renew, now);
        }
    }

    /// Notes who leads, and tells where that changed.
    fn leader_is(&mut self, leader: Option<HolderId>, term: Option<Term>, is_self: bool) {
        if self.observed.leader != leader || self.observed.term != term {
            self.observed = Observed { leader: leader.clone(), term };
            self.event(Event::LeaderChanged { leader, term, is_self });
        }
    }
}
