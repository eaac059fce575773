//! The campaign for a slot: a list, claims one after the other, and the wait for the next list.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::Slots;
use crate::elector::Attempts;
use crate::slots::face::SlotsOutput;
use crate::slots::lanes::Lane;
use crate::slots::search::Phase;
use crate::{Elector, Event, Input, LeaseRecord, NotElected, Request, RequestId, Standing, Time, Timing};

/// Waits are spread over this fraction of the retry interval.
const JITTER_FRACTION: u32 = 8;

/// After so many failed claims of one search the store counts as away; the next search begins behind them.
const MOST_FAILED: u32 = 4;

/// How many slots are claimed at most where the store did not list them.
const MOST_UNLISTED: usize = 16;

impl Slots {
    pub(super) fn campaign(&mut self, now: Time, attempts: Attempts) {
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

    /// A hint that a slot may be free.
    pub(super) fn wake(&mut self, now: Time) {
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

    /// Goes on for as long as nothing has to be waited for.
    pub(super) fn go_on(&mut self, now: Time) {
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
    pub(super) fn may_look(&self) -> bool {
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
    pub(super) fn listed(&mut self, now: Time, records: &[LeaseRecord]) {
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
    pub(super) fn list_failed(&mut self, now: Time, outcome_unknown: bool, message: String) {
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
        // Where nobody tells of a release, what remains is no reason to wait.
        let first_to_end = self.search.first_to_end.filter(|_| self.has_hints && !failed).map(|at| at.since(now));
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

    pub(super) fn wait_until(&mut self, due: Time) {
        self.search.phase = Phase::Waiting;
        self.search.due = due;
        self.search.hinted = false;
        self.search.look_again = false;
    }

    pub(super) fn give_up(&mut self, why: NotElected) {
        self.end_search();
        self.event(None, Event::NotElected(why));
    }

    pub(super) fn end_search(&mut self) {
        self.search.phase = Phase::Idle;
        self.search.queue.clear();
        self.search.ended = None;
        self.search.list_open = false;
    }

    /// A slot is held for so long; where that is not known, it is looked at again after the retry interval.
    pub(super) fn runs_out(&mut self, now: Time, remaining: Option<Duration>) {
        self.search.runs_out(now + remaining.unwrap_or(self.timing.retry_interval()));
    }

    fn with_jitter(&mut self, pause: Duration) -> Duration {
        pause.saturating_add(self.jitter.up_to(self.timing.retry_interval() / JITTER_FRACTION))
    }
}
