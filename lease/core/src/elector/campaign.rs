//! The elector's campaign: claims, their retries and wake-ups, until a grant or a resignation.

use core::time::Duration;

use super::requests::Asked;
use super::state::{Attempts, Campaign, Phase, State, Tenure};
use super::timers::Timer;
use super::{Elector, Order, Request};
use crate::{Claim, Claimed, Event, HolderId, LossReason, Nonce, NotElected, Note, Term, Time, Timing};

/// Retries are spread over this fraction of the retry interval.
const JITTER_FRACTION: u32 = 8;

impl Elector {
    /// Somebody asks for a campaign: at once from idle, remembered while a tenure is wound up, ignored otherwise.
    pub(super) fn campaign(&mut self, now: Time, attempts: Attempts) {
        match &mut self.state {
            State::Idle if self.releases.is_empty() => self.start_campaign(now, attempts),
            State::Idle => self.campaign_wanted = self.campaign_wanted.max(Some(attempts)),
            State::Campaigning(campaign) => campaign.attempts = campaign.attempts.max(attempts),
            State::Leading(tenure) => {
                self.campaign_wanted = (!matches!(tenure.phase, Phase::Working)).then_some(attempts);
            }
        }
    }

    pub(super) fn start_campaign(&mut self, now: Time, attempts: Attempts) {
        self.campaign_wanted = None;
        if attempts == Attempts::One && (!self.healthy || self.stands_back(now)) {
            return self.event(Event::NotElected(NotElected::MayNotClaim));
        }
        // A claim that meets an orphan of ours finds out by itself; no need to go on looking.
        self.stop_observing();
        self.begin_anew(now, attempts);
        if self.stands_back(now) {
            // Without claims nobody tells who leads now.
            self.look_for_successor(now);
        }
        self.event(Event::LeaderElectionStarted);
    }

    /// Somebody gives up: the campaign ends, the tenure drains, what was remembered is forgotten.
    pub(super) fn resign(&mut self, now: Time) {
        self.campaign_wanted = None;
        match &self.state {
            State::Idle => {}
            State::Campaigning(_) => self.end_campaign(now),
            State::Leading(_) => self.drain(now, LossReason::Resigned),
        }
    }

    /// Ends the campaign. A claim of it that may have been granted is looked for.
    fn end_campaign(&mut self, now: Time) {
        let State::Campaigning(campaign) = &self.state else { return };
        let claiming = self.requests.in_flight().is_some_and(|sent| sent.asked == Asked::Acquire(campaign.nonce));
        let in_doubt = campaign.in_doubt || claiming;
        if claiming {
            self.abandon();
        }
        self.state = State::Idle;
        self.timers.clear(Timer::Claim);
        if in_doubt {
            self.suspect_orphan(now);
        }
    }

    /// Whether the campaign was one try; then it has ended.
    fn end_try(&mut self, now: Time, why: NotElected) -> bool {
        let is_try = matches!(&self.state, State::Campaigning(campaign) if campaign.attempts == Attempts::One);
        if is_try {
            self.end_campaign(now);
            self.event(Event::NotElected(why));
        }
        is_try
    }

    /// The health gate: a candidate waits behind it, a leader hands over.
    pub(super) fn health(&mut self, now: Time, healthy: bool) {
        if self.healthy == healthy {
            return;
        }
        self.healthy = healthy;
        match &self.state {
            State::Leading(_) if !healthy => self.drain(now, LossReason::Unhealthy),
            State::Campaigning(campaign) if !healthy => {
                let in_doubt = campaign.in_doubt;
                if !self.end_try(now, NotElected::MayNotClaim) && in_doubt {
                    self.suspect_orphan(now);
                }
            }
            _ => {}
        }
    }

    /// A hint that the key may be free: claim now, or right after the claim in flight.
    pub(super) fn wake(&mut self, now: Time) {
        let claiming = self.requests.in_flight().is_some_and(|sent| matches!(sent.asked, Asked::Acquire(_)));
        if matches!(self.state, State::Campaigning(_)) && self.stands_back(now) {
            // It may be our own release that is told of, or that somebody has taken the key.
            return self.look_for_orphan(now);
        }
        let State::Campaigning(campaign) = &mut self.state else { return };
        if claiming {
            campaign.wake_again = true;
            return;
        }
        let timing = &self.config.timing;
        campaign.woken = true;
        self.timers.advance(Timer::Claim, campaign.hints.earliest(now, timing) + timing.claim_delay());
    }

    pub(super) fn send_claim(&mut self, now: Time) {
        let State::Campaigning(campaign) = &mut self.state else { return };
        if campaign.woken {
            campaign.woken = false;
            campaign.hints.spend(now, &self.config.timing);
        }
        let nonce = campaign.nonce;
        let config = &self.config;
        let claim = Claim {
            hold: config.hold,
            above: self.highest,
            note: config.note.clone(),
            ..Claim::new(config.key.clone(), config.holder.clone(), nonce, config.timing.ttl())
        };
        self.timers.clear(Timer::Claim);
        self.send(now, Asked::Acquire(nonce), Request::Acquire(claim));
    }

    pub(super) fn claim_failed(&mut self, now: Time, nonce: Nonce, outcome_unknown: bool) {
        let pause = self.with_jitter(self.config.timing.retry_interval());
        let State::Campaigning(campaign) = &mut self.state else { return };
        if campaign.nonce != nonce {
            return;
        }
        campaign.in_doubt |= outcome_unknown;
        campaign.wake_again = false;
        let in_doubt = campaign.in_doubt;
        self.timers.set(Timer::Claim, now + pause);
        if !self.end_try(now, NotElected::StoreFailed) && in_doubt && !self.healthy {
            self.suspect_orphan(now);
        }
    }

    pub(super) fn claimed(&mut self, now: Time, at: Time, waited_for: bool, nonce: Nonce, claimed: Claimed) {
        match claimed {
            Claimed::Granted { term, last_note } => self.granted(now, at, nonce, term, last_note),
            Claimed::Held { by, term, remaining, .. } => self.held_by(now, waited_for, nonce, by, term, remaining),
            Claimed::Stale { last_term } => self.refused_as_stale(now, waited_for, nonce, last_term),
        }
    }

    /// A claim was granted, perhaps long ago, perhaps one that is not wanted any more.
    fn granted(&mut self, now: Time, at: Time, nonce: Nonce, term: Term, last_note: Option<Note>) {
        match &self.state {
            State::Campaigning(campaign) if campaign.nonce == nonce => {}
            State::Leading(tenure) if (tenure.nonce, tenure.term) == (nonce, term) => return self.extend(at),
            State::Leading(tenure) if term > tenure.term => {
                // An old claim of ours was granted after this tenure: so this tenure is over.
                self.saw(Some(term));
                self.owe_release(now, nonce, term);
                return self.lose(now, LossReason::Lost { to: Some(self.config.holder.clone()) }, true);
            }
            State::Leading(_) => return,
            State::Idle | State::Campaigning(_) => {
                self.saw(Some(term));
                return self.owe_release(now, nonce, term);
            }
        }
        let timing = &self.config.timing;
        let deadline = at + timing.validity();
        let too_late = now >= deadline - timing.kill_lead();
        if too_late && self.requests.in_flight().is_some_and(|sent| sent.asked == Asked::Acquire(nonce)) {
            // The same claim was repeated since: its answer counts from a later moment.
            return;
        }
        // A term below one that was seen would be refused by every sink that has seen it too.
        let outdated = self.highest.is_some_and(|highest| term < highest);
        self.saw(Some(term));
        if too_late || outdated || !self.healthy {
            self.abandon();
            if !self.end_try(now, NotElected::StoreFailed) {
                self.begin_anew(now, Attempts::UntilElected);
            }
            return self.owe_release(now, nonce, term);
        }
        self.lead(now, at, deadline, (nonce, term), last_note);
    }

    /// Goes on campaigning under a fresh nonce.
    pub(super) fn begin_anew(&mut self, now: Time, attempts: Attempts) {
        let nonce = self.fresh_nonce();
        self.state = State::Campaigning(Campaign::new(nonce, attempts));
        self.timers.set(Timer::Claim, self.earliest_claim(now));
    }

    /// When a claim may be sent that nothing else puts off.
    pub(super) fn earliest_claim(&self, now: Time) -> Time {
        self.standing_back_until.max(now + self.config.timing.claim_delay())
    }

    /// Whether the key is still left to others, because this candidate was asked to give it up.
    fn stands_back(&self, now: Time) -> bool {
        now < self.standing_back_until
    }

    /// Somebody has the key. If it was left to them they have had their chance: from now on this is a candidate as any
    /// other.
    pub(super) fn somebody_took_it(&mut self, now: Time, remaining: Option<Duration>) {
        if matches!(self.state, State::Campaigning(_)) && self.stands_back(now) {
            self.standing_back_until = Time::ZERO;
            self.stop_observing();
            self.claim_after(now, remaining);
        }
    }

    /// Claims again when a lease that somebody else holds can be free.
    fn claim_after(&mut self, now: Time, remaining: Option<Duration>) {
        let retry = self.config.timing.retry_interval();
        // Where nobody tells of a release, what remains is no reason to wait.
        let remaining = remaining.filter(|_| self.config.hints);
        // However long the store says it will take, the timer remains.
        let pause = self.with_jitter(remaining.unwrap_or(retry).clamp(retry, Timing::MAX_TTL.max(retry)));
        self.timers.set(Timer::Claim, now + pause + self.config.timing.claim_delay());
    }

    fn lead(&mut self, now: Time, at: Time, deadline: Time, (nonce, term): (Nonce, Term), last_note: Option<Note>) {
        self.abandon();
        self.stop_observing();
        // The key is ours: whatever else was owed for it is gone.
        self.releases.clear();
        self.timers.clear_all();
        self.timers.set(Timer::Renew, at + self.config.timing.renew_interval());
        self.timers.set(Timer::Kill, deadline - self.config.timing.kill_lead());
        self.state = State::Leading(Tenure {
            nonce,
            term,
            since: now,
            deadline,
            last_sent: at,
            failed: None,
            asked_to_resign: false,
            note_due: false,
            lost: false,
            phase: Phase::Working,
        });
        self.led = self.led.max(Some(term));
        self.event(Event::BecameLeader { term });
        self.leader_is(Some(self.config.holder.clone()), Some(term), true);
        self.order(Order::Start { term, nonce, last_note, deadline });
    }

    fn held_by(
        &mut self,
        now: Time,
        waited_for: bool,
        nonce: Nonce,
        by: HolderId,
        term: Option<Term>,
        remaining: Option<Duration>,
    ) {
        self.saw(term);
        if self.superseded_by(now, &by, term) || !waited_for {
            return;
        }
        let State::Campaigning(campaign) = &mut self.state else { return };
        if campaign.nonce != nonce {
            return;
        }
        // Had an earlier claim been granted, this one would have met its own nonce.
        campaign.in_doubt = false;
        let wake_again = core::mem::take(&mut campaign.wake_again);
        self.claim_after(now, remaining);
        if wake_again {
            self.wake(now);
        }
        if by == self.config.holder {
            // A predecessor under our name, or an orphan of this very process.
            self.look_for_orphan(now);
        }
        self.leader_is(Some(by), term, false);
        self.end_try(now, NotElected::Held);
    }

    /// Only bound claims are answered so, and none is made here: as good as held, by nobody who is known.
    fn refused_as_stale(&mut self, now: Time, waited_for: bool, nonce: Nonce, last_term: Option<Term>) {
        self.saw(last_term);
        let State::Campaigning(campaign) = &mut self.state else { return };
        if !waited_for || campaign.nonce != nonce {
            return;
        }
        campaign.in_doubt = false;
        campaign.wake_again = false;
        self.claim_after(now, None);
        self.end_try(now, NotElected::Held);
    }

    fn with_jitter(&mut self, pause: Duration) -> Duration {
        pause.saturating_add(self.jitter.up_to(self.config.timing.retry_interval() / JITTER_FRACTION))
    }
}
