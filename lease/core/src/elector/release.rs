//! What an elector gives back: the lease of a tenure whose work has ended, and leases that it holds without wanting them.
//!
//! A claim whose reply was lost may have been granted. While the campaign goes on its retries find that out; after a
//! resignation, or when the key is held under our own name, the elector looks at the record and releases it if it was
//! made by this process and is not wanted any more. What it does not find runs out with its ttl.

use super::requests::Asked;
use super::state::{Attempts, State};
use super::timers::Timer;
use super::{Elector, Observed, Request};
use crate::{LeaseRecord, Nonce, Term, Time};

/// How often the elector looks for an orphan after a resignation.
const ORPHAN_CHECKS: u8 = 3;

impl Elector {
    /// Gives back a lease that is held but not wanted; at once, or after the work has ended. One that was left to run out
    /// is no such lease, nor are those before it, of which only late answers tell.
    pub(super) fn owe_release(&mut self, now: Time, nonce: Nonce, term: Term) {
        if self.left.is_some_and(|left| left == (nonce, term) || term < left.1) {
            return;
        }
        let timing = &self.config.timing;
        self.releases.owe(nonce, term, now + timing.ttl() + timing.margin());
        self.timers.advance(Timer::Release, now);
    }

    pub(super) fn send_release(&mut self, now: Time) {
        let Some(owed) = self.releases.next() else { return };
        self.timers.clear(Timer::Release);
        let held = self.name(owed.nonce, owed.term);
        self.send(now, Asked::Release(owed.nonce, owed.term), Request::Release(held));
    }

    /// Freed, or not ours any more: either way nothing is owed for it.
    pub(super) fn released(&mut self, now: Time, nonce: Nonce, term: Term) {
        if self.releases.settle(nonce, term) {
            self.timers.set(Timer::Release, now);
            self.wound_up(now);
        }
    }

    pub(super) fn release_failed(&mut self, now: Time, at: Time, nonce: Nonce, term: Term) {
        self.releases.forget_ended(nonce, term, now);
        self.timers.set(Timer::Release, now.max(at + self.config.timing.retry_interval()));
        self.wound_up(now);
    }

    /// Once nothing is owed, whatever waited for that goes on.
    pub(super) fn wound_up(&mut self, now: Time) {
        if !self.releases.is_empty() {
            return;
        }
        self.timers.clear(Timer::Release);
        match self.state {
            State::Idle => {
                if let Some(attempts) = self.campaign_wanted {
                    self.start_campaign(now, attempts);
                }
            }
            State::Campaigning(_) => self.timers.advance(Timer::Claim, self.earliest_claim(now)),
            State::Leading(_) => {}
        }
    }

    // ---- orphans -------------------------------------------------------------------------------------------------

    /// A claim that nobody wants any more may have been granted: look, once its request can be expected to be over.
    pub(super) fn suspect_orphan(&mut self, now: Time) {
        self.orphan_checks = ORPHAN_CHECKS;
        self.timers.set(Timer::Observe, now + self.config.timing.request_timeout());
    }

    /// The key is held under our own name: look whether by an orphan of this process, at most once per retry interval.
    pub(super) fn look_for_orphan(&mut self, now: Time) {
        let earliest = self.last_observe.map_or(now, |last| now.max(last + self.config.timing.retry_interval()));
        self.orphan_checks = self.orphan_checks.max(1);
        self.timers.advance(Timer::Observe, earliest);
    }

    /// The key was left to others: look who has taken it, a few times.
    pub(super) fn look_for_successor(&mut self, now: Time) {
        self.orphan_checks = ORPHAN_CHECKS;
        self.timers.set(Timer::Observe, now + self.config.timing.retry_interval());
    }

    pub(super) fn stop_observing(&mut self) {
        self.orphan_checks = 0;
        self.timers.clear(Timer::Observe);
        if self.requests.in_flight().is_some_and(|sent| sent.asked == Asked::Observe) {
            self.abandon();
        }
    }

    pub(super) fn send_observe(&mut self, now: Time) {
        self.orphan_checks = self.orphan_checks.saturating_sub(1);
        self.last_observe = Some(now);
        self.timers.clear(Timer::Observe);
        self.send(now, Asked::Observe, Request::Observe(self.config.key.clone()));
    }

    pub(super) fn observe_failed(&mut self, now: Time) {
        self.observe_again(now);
    }

    pub(super) fn observed_record(&mut self, now: Time, waited_for: bool, record: Option<LeaseRecord>) {
        let Some(record) = record else {
            if waited_for {
                self.leader_is(None, None, false);
                self.observe_again(now);
            }
            return;
        };
        self.saw(record.term);
        if self.superseded_by(now, &record.holder, record.term) || matches!(self.state, State::Leading(_)) {
            return;
        }
        if waited_for {
            self.leader_is(Some(record.holder), record.term, false);
        }
        if waited_for && self.is_successor(record.nonce, record.term) {
            self.somebody_took_it(now, record.remaining);
        }
        let (Some(nonce), Some(term)) = (record.nonce, record.term) else { return };
        if nonce.process != self.config.process {
            return if waited_for {
                self.observe_again(now)
            };
        }
        match &self.state {
            // A claim of this very campaign was granted: repeating it tells the deadline.
            State::Campaigning(campaign) if campaign.nonce == nonce && self.healthy => {
                self.timers.advance(Timer::Claim, now);
            }
            state => {
                if matches!(state, State::Campaigning(campaign) if campaign.nonce == nonce) {
                    self.begin_anew(now, Attempts::UntilElected);
                }
                self.stop_observing();
                self.owe_release(now, nonce, term);
            }
        }
    }

    /// Whether a record that the store has just shown is that of another process, which has led later than this candidate. A
    /// lower term than the store has shown, or one that this candidate has led under, is no successor's: the store has come
    /// back with an older state.
    fn is_successor(&self, nonce: Option<Nonce>, term: Option<Term>) -> bool {
        let newest = term.is_none() || term == self.highest_stored && term > self.led;
        newest && nonce.is_none_or(|nonce| nonce.process != self.config.process)
    }

    /// A list has shown this record for the key, or none, while this candidate neither campaigned nor led. It is no event: a
    /// list of many keys shows many changes at once. A lease of this very process, which nobody wants, is released.
    pub(crate) fn listed(&mut self, now: Time, record: Option<&LeaseRecord>) {
        self.observed = record.map_or_else(Observed::default, |record| Observed {
            leader: Some(record.holder.clone()),
            term: record.term,
        });
        let Some(record) = record else { return };
        self.saw(record.term);
        if self.is_successor(record.nonce, record.term) {
            self.standing_back_until = Time::ZERO;
        }
        if let (Some(nonce), Some(term)) = (record.nonce, record.term)
            && nonce.process == self.config.process
        {
            self.owe_release(now, nonce, term);
        }
    }

    fn observe_again(&mut self, now: Time) {
        if self.orphan_checks > 0 {
            self.timers.set(Timer::Observe, now + self.config.timing.retry_interval());
        }
    }
}
