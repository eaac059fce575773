//! The store's side of the world: requests that reach it, answers and hints that leave it.

use tenure_core::{Answer, Claimed, Failure, Released, Renewed, Request, RequestId, Time};

use super::state::World;
use crate::event::{Event, ForMachine};
use crate::invariants::{leases_last, refused_claims_leave_nothing, terms_grow};
use crate::store::{Op, Step, StoreTime};
use crate::tenure::Tenure;
use crate::true_time::{MS, Nanos};

/// Wall clocks at the start of a simulation, in microseconds since 1970.
pub(super) const EPOCH_MICROS: u64 = 1_700_000_000_000_000;

impl World<'_> {
    pub(super) fn reach_store(&mut self, host: usize, process: u64, id: RequestId, op: Op) {
        if self.store_down > 0 {
            // Refused connections are told at once, dead ones never.
            if self.rng.chance(500) {
                self.reply(host, process, id, &op.request, failure(false, "the store is down"));
            }
            return;
        }
        let fails = self.faulty() && op.stage == 0 && self.rng.chance(self.plan.store_fails);
        if fails && self.rng.chance(500) {
            let unknown = self.rng.chance(500);
            return self.reply(host, process, id, &op.request, failure(unknown, "the store is busy"));
        }
        if let Request::Release(held) = &op.request {
            self.check_release(held);
        }
        let at = self.store_time();
        let request = op.request.clone();
        match self.store.step(at, op) {
            Step::Later(after, op) => self.queue.push(self.now + after, Event::AtStore { host, process, id, op }),
            Step::Answer(answer) => {
                if let Some(slot) = self.asked_for(&request) {
                    self.note_step(host, slot, at, &request, &answer);
                }
                if matches!(answer, Answer::Released(Released::Freed)) {
                    self.hint_all();
                }
                if self.trace.wanted() {
                    let line = format!("does {} of c{host}: {answer:?}", id.0);
                    self.trace.line(self.now, "store", line);
                }
                // The step was taken, and the store does not live to say so properly.
                let answer = if fails { failure(true, "the store broke off") } else { answer };
                self.reply(host, process, id, &request, answer);
            }
        }
    }

    /// What the invariants ask of a step that the store has taken for one key, as this host wanted.
    pub(super) fn note_step(&mut self, host: usize, slot: usize, at: StoreTime, request: &Request, answer: &Answer) {
        match (request, answer) {
            (Request::Acquire(_), Answer::Claimed(Claimed::Granted { term, .. })) => {
                let grant = match &self.records {
                    Some(records) => records.server.last_grant(),
                    None => self.store.last_grant(),
                };
                let excused = self.terms_are_excused();
                let lease = &mut self.leases[slot];
                // A store that came back with an older state answers of earlier tenures again; what was granted was granted.
                lease.granted = lease.granted.max(grant);
                if !excused {
                    let verdict = lease.terms.granted(grant, *term);
                    self.judge(terms_grow::NAME, verdict);
                }
            }
            (Request::Acquire(_), Answer::Claimed(Claimed::Held { .. })) => {
                let verdict = refused_claims_leave_nothing::check(self.leases.len(), self.store.kept(at.now));
                self.judge(refused_claims_leave_nothing::NAME, verdict);
            }
            (Request::Renew(held), Answer::Renewed(Renewed::Extended { resign_requested: true })) => {
                let tenure = self.tenure(held);
                let lease = &mut self.leases[slot];
                lease.asked.entry(tenure).or_insert(lease.granted);
            }
            _ => {}
        }
        if self.inside() {
            let (now, fast_ppm) = self.promise_clock(host, at);
            let verdict = self.leases[slot].promises.answered(now, fast_ppm, request, answer);
            self.judge(leases_last::NAME, verdict);
        }
    }

    /// The clock that the store's promises are held against, and by how much a clock is fast that may end them: the store's
    /// own where the store takes the steps. Whoever takes them on records counts by a clock of its own, or by that of the
    /// server and then by its own.
    fn promise_clock(&self, host: usize, at: StoreTime) -> (Time, u64) {
        if self.records.is_none() {
            return (at.now, 0);
        }
        let fast = self.plan.candidates[host].drift_ppm.max(self.plan.store_drift_ppm);
        (Time::from_nanos(self.now), u64::try_from(fast).unwrap_or(0))
    }

    /// Now, by the store's clocks.
    pub(super) fn store_time(&self) -> StoreTime {
        let now = self.store_clock.read(self.now);
        let micros = (EPOCH_MICROS + now.as_nanos() / 1_000).saturating_add_signed(self.wall_shift);
        StoreTime { now, micros }
    }

    fn reply(&mut self, host: usize, process: u64, id: RequestId, request: &Request, answer: Answer) {
        if self.hosts[host].cut_in > 0 {
            return;
        }
        let (slot, tenure) = (self.asked_for(request), self.told_tenure(request, &answer));
        let faulty = self.faulty();
        let arrivals = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
        for after in arrivals.into_iter().flatten() {
            let what = ForMachine::Answer { id, answer: answer.clone(), slot, tenure };
            self.queue.push(self.now + after, Event::Machine { host, process, what });
        }
    }

    /// The tenure that an answer tells of, where it grants a claim or answers a renewal.
    pub(super) fn told_tenure(&self, request: &Request, answer: &Answer) -> Option<Tenure> {
        match (request, answer) {
            (Request::Renew(held), _) => Some(self.tenure(held)),
            (Request::Acquire(claim), Answer::Claimed(Claimed::Granted { term, .. })) => {
                Some(Tenure { slot: self.slot(&claim.key), nonce: claim.nonce, term: *term })
            }
            _ => None,
        }
    }

    fn hint_all(&mut self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].cut_in > 0 {
                continue;
            }
            let faulty = self.faulty();
            let arrivals = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
            for after in arrivals.into_iter().flatten() {
                self.hint(host, after.max(Nanos::from(MS / 10)));
            }
        }
    }
}

fn failure(outcome_unknown: bool, message: &str) -> Answer {
    Answer::Failed(Failure { outcome_unknown, message: message.to_owned() })
}
