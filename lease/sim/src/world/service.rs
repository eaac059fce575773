//! The store's side of the world: requests that reach it, answers and hints that leave it.

use tenure_core::{Answer, Claimed, Failure, Released, Renewed, Request, RequestId};

use super::state::World;
use crate::event::{Event, ForElector};
use crate::invariants::{leases_last, refused_claims_leave_nothing, terms_grow};
use crate::store::{Op, Step, StoreTime};
use crate::true_time::{MS, Nanos};

/// The store's wall clock at the start of a simulation, in microseconds since 1970.
const EPOCH_MICROS: u64 = 1_700_000_000_000_000;

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
                // A store that came back with an older state answers of earlier tenures again; what was granted was granted.
                self.granted = self.granted.max(self.store.last_grant());
                if let Answer::Claimed(Claimed::Granted { term, .. }) = answer
                    && !(self.store_forgot && self.store_went_back)
                {
                    let verdict = self.terms.granted(self.store.last_grant(), term);
                    self.judge(terms_grow::NAME, verdict);
                }
                if let Answer::Claimed(Claimed::Held { .. }) = answer {
                    let verdict = refused_claims_leave_nothing::check(1, self.store.kept(at.now));
                    self.judge(refused_claims_leave_nothing::NAME, verdict);
                }
                if self.inside() {
                    let verdict = self.promises.answered(at.now, &request, &answer);
                    self.judge(leases_last::NAME, verdict);
                }
                if let (Request::Renew(held), Answer::Renewed(Renewed::Extended { resign_requested: true })) =
                    (&request, &answer)
                {
                    let grants = self.granted;
                    self.asked.entry((held.nonce, held.term)).or_insert(grants);
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
        let about = match (request, &answer) {
            (Request::Renew(held), _) => Some((held.nonce, held.term)),
            (Request::Acquire(claim), Answer::Claimed(Claimed::Granted { term, .. })) => Some((claim.nonce, *term)),
            _ => None,
        };
        let faulty = self.faulty();
        let arrivals = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
        for after in arrivals.into_iter().flatten() {
            let what = ForElector::Answer(id, answer.clone(), about);
            self.queue.push(self.now + after, Event::Elector { host, process, what });
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
