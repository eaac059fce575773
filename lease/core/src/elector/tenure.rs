//! The elector's tenure: renewals, the deadline, and the four ways to the end of the work.
//!
//! The work is told to stop and drains (resigned, unhealthy, asked to, or renewals failed for too long), or is killed
//! (certainly lost, fenced, out of time), or ends by itself. A stop is never taken back. Renewals go on until the work
//! is reported ended, so that the key stays ours as long as anything of it could act.

use super::requests::Asked;
use super::state::{Phase, State};
use super::timers::Timer;
use super::{Elector, Order, Request};
use crate::{Event, HolderId, LossReason, Nonce, Renewed, Term, Time};

impl Elector {
    pub(super) fn send_renewal(&mut self, now: Time) {
        let State::Leading(tenure) = &mut self.state else { return };
        tenure.last_sent = now;
        tenure.note_due = false;
        let (nonce, term) = (tenure.nonce, tenure.term);
        let held = self.name(nonce, term);
        self.timers.clear(Timer::Renew);
        self.send(now, Asked::Renew(nonce, term), Request::Renew(held));
    }

    pub(super) fn renewed(
        &mut self,
        now: Time,
        at: Time,
        waited_for: bool,
        (nonce, term): (Nonce, Term),
        renewed: Renewed,
    ) {
        let note_due = match &self.state {
            State::Leading(tenure) if (tenure.nonce, tenure.term) == (nonce, term) && !tenure.lost => tenure.note_due,
            _ => return,
        };
        match renewed {
            Renewed::Lost { to } => {
                self.leader_is(to.clone(), None, false);
                self.lose(now, LossReason::Lost { to }, true);
            }
            Renewed::Extended { resign_requested } => {
                self.extend(at);
                if waited_for {
                    let next = if note_due { now } else { at + self.config.timing.renew_interval() };
                    self.timers.set(Timer::Renew, next);
                }
                if resign_requested {
                    if let State::Leading(tenure) = &mut self.state {
                        tenure.asked_to_resign = true;
                    }
                    self.drain(now, LossReason::ResignRequested);
                }
            }
        }
    }

    /// The failure counts against the tenure, unless this process itself stood still meanwhile.
    pub(super) fn renewal_failed(&mut self, now: Time, at: Time, stalled: bool) {
        let timing = &self.config.timing;
        let State::Leading(tenure) = &mut self.state else { return };
        self.timers.set(Timer::Renew, if stalled { now } else { now.max(at + timing.retry_interval()) });
        if stalled {
            return;
        }
        tenure.failed = tenure.failed.max(Some(at));
        if matches!(tenure.phase, Phase::Working) {
            self.timers.set(Timer::Stop, tenure.deadline - timing.stop_timeout());
        }
    }

    /// A request that was sent at `at` extended the lease.
    pub(super) fn extend(&mut self, at: Time) {
        let timing = &self.config.timing;
        let State::Leading(tenure) = &mut self.state else { return };
        if tenure.lost {
            return;
        }
        let deadline = at + timing.validity();
        let moved = deadline > tenure.deadline;
        tenure.deadline = tenure.deadline.max(deadline);
        if tenure.failed.is_some_and(|failed| failed <= at) {
            tenure.failed = None;
            self.timers.clear(Timer::Stop);
        }
        let kill_at = tenure.deadline - timing.kill_lead();
        match &tenure.phase {
            Phase::Working => {
                self.timers.set(Timer::Kill, kill_at);
                if tenure.failed.is_some() {
                    self.timers.set(Timer::Stop, tenure.deadline - timing.stop_timeout());
                }
            }
            Phase::Draining { kill_by, .. } => self.timers.set(Timer::Kill, kill_at.min(*kill_by)),
            Phase::Killed => return,
        }
        if moved {
            let deadline = tenure.deadline;
            self.order(Order::Extend { deadline });
            self.event(Event::Renewed);
        }
    }

    /// Tells the work to stop by itself, once.
    pub(super) fn drain(&mut self, now: Time, reason: LossReason) {
        let timing = &self.config.timing;
        let State::Leading(tenure) = &mut self.state else { return };
        if !matches!(tenure.phase, Phase::Working) {
            return;
        }
        let kill_by = now + timing.stop_timeout();
        let kill_at = kill_by.min(tenure.deadline - timing.kill_lead());
        let led_for = now.since(tenure.since);
        tenure.phase = Phase::Draining { reason: reason.clone(), kill_by };
        self.timers.clear(Timer::Stop);
        self.timers.set(Timer::Kill, kill_at);
        self.order(Order::Stop { reason: reason.clone(), kill_at });
        self.event(Event::LostLeadership { reason, led_for });
    }

    /// Kills the work where its time has run out.
    pub(super) fn kill_if_due(&mut self, now: Time) {
        if !self.timers.is_due(Timer::Kill, now) {
            return;
        }
        let State::Leading(tenure) = &self.state else { return };
        let reason = match &tenure.phase {
            Phase::Draining { reason, .. } => reason.clone(),
            _ if tenure.failed.is_some() => LossReason::RenewalFailed,
            _ => LossReason::Expired,
        };
        self.lose(now, reason, false);
    }

    /// Kills the work. `certain`: the store's record is not this tenure's any more.
    pub(super) fn lose(&mut self, now: Time, reason: LossReason, certain: bool) {
        let State::Leading(tenure) = &mut self.state else { return };
        tenure.lost |= certain;
        let lost = tenure.lost;
        let led_for = now.since(tenure.since);
        let before = core::mem::replace(&mut tenure.phase, Phase::Killed);
        self.timers.clear(Timer::Kill);
        self.timers.clear(Timer::Stop);
        if lost {
            self.timers.clear(Timer::Renew);
            self.abandon();
        }
        match before {
            Phase::Working => {
                self.order(Order::Kill { reason: reason.clone() });
                self.event(Event::LostLeadership { reason, led_for });
            }
            Phase::Draining { .. } => self.order(Order::Kill { reason }),
            Phase::Killed => {}
        }
    }

    /// A sink refused our term, or told a candidate what it has seen.
    pub(super) fn fenced(&mut self, now: Time, seen: Term) {
        self.highest = self.highest.max(Some(seen));
        if matches!(&self.state, State::Leading(tenure) if seen > tenure.term) {
            // The record may still be ours: it is released once the work has ended.
            self.lose(now, LossReason::Fenced { seen }, false);
        }
    }

    /// Whether a term that was seen in the store proves that our tenure is over; if so, ends it.
    pub(super) fn superseded_by(&mut self, now: Time, by: &HolderId, term: Option<Term>) -> bool {
        let State::Leading(tenure) = &self.state else { return false };
        if term.is_none_or(|term| term <= tenure.term) || tenure.lost {
            return false;
        }
        self.leader_is(Some(by.clone()), term, false);
        self.lose(now, LossReason::Lost { to: Some(by.clone()) }, true);
        true
    }

    /// The work has ended: only now may the key be given back.
    pub(super) fn work_ended(&mut self, now: Time) {
        if !matches!(self.state, State::Leading(_)) {
            return;
        }
        let State::Leading(tenure) = core::mem::replace(&mut self.state, State::Idle) else { return };
        // The release need not wait for a renewal: whichever the store sees first, the key is free after the second.
        self.abandon();
        self.timers.clear_all();
        if matches!(tenure.phase, Phase::Working) {
            let led_for = now.since(tenure.since);
            self.event(Event::LostLeadership { reason: LossReason::WorkEnded, led_for });
        }
        if self.observed.term == Some(tenure.term) {
            self.leader_is(None, None, false);
        }
        if tenure.asked_to_resign && !tenure.lost {
            // Whoever asked wants somebody else to lead: the next campaign begins when others had their chance.
            self.standing_back_until = now + self.config.timing.stand_back();
        }
        if self.config.leave_lease {
            self.left = Some((tenure.nonce, tenure.term));
        } else if !tenure.lost {
            let timing = &self.config.timing;
            let ended_by = tenure.last_sent + timing.ttl() + timing.margin();
            self.releases.owe(tenure.nonce, tenure.term, ended_by);
        }
        self.timers.set(Timer::Release, now);
        self.wound_up(now);
    }
}
