//! The work's side of the world: workers, their watchdogs, the sink, and what the invariants ask of them.

use tenure_core::{Fenced, Held, Input, Term, Time};

use super::state::{Name, World};
use crate::event::{Event, ForMachine, ForWork};
use crate::invariants::bounded_overlap::Actor;
use crate::invariants::{
    bounded_overlap, dead_by_deadline, events_in_order, no_more_than_slots, one_actor, one_slot_each,
    release_after_work, sink_never_goes_back, terms_grow, work_is_wanted,
};
use crate::tenure::Tenure;
use crate::true_time::nanos;
use crate::true_time::{MS, Nanos};
use crate::worker::{Phase, Worker};

impl World<'_> {
    pub(super) fn start_work(&mut self, host: usize, process: u64, tenure: Tenure, deadline: Time) {
        let Tenure { slot, nonce, term } = tenure;
        let inside = self.inside();
        if let Some(running) = &mut self.hosts[host].process {
            let (healthy, wanted) = (running.healthy, running.wanted);
            let key = &mut running.keys[slot];
            let (announced, own) = (key.announced, key.highest_started);
            key.highest_started = Some(term);
            key.grants.settled(term);
            let verdict = self.leases[slot].terms.started(own, term, inside);
            self.judge(terms_grow::NAME, verdict);
            self.judge(events_in_order::NAME, events_in_order::started(announced, term));
            self.judge(work_is_wanted::NAME, work_is_wanted::check(host, healthy, wanted));
        }
        self.counts.elections += 1;
        let worker = self.workers.len();
        let (started, phase) = (self.now, Phase::Working);
        self.workers.push(Worker { host, process, slot, term, nonce, deadline, started, phase });
        self.alive.push(worker);
        self.judge(one_slot_each::NAME, one_slot_each::started(&self.workers, &self.alive));
        let first = self.now + self.rng.below(self.plan.act_every);
        self.queue.push(first, Event::Work { worker, what: ForWork::Act });
        self.look_later(worker, ForWork::Watchdog);
        self.look_later(worker, ForWork::Deadline);
        self.check_actors();
    }

    pub(super) fn extend_work(&mut self, process: u64, slot: usize, deadline: Time) {
        if let Some(worker) = self.latest_of(process, slot) {
            let worker = &mut self.workers[worker];
            worker.deadline = worker.deadline.max(deadline);
            self.check_actors();
        }
    }

    pub(super) fn stop_work(&mut self, host: usize, process: u64, slot: usize) {
        let Some(worker) = self.latest_of(process, slot) else { return };
        if self.workers[worker].phase != Phase::Working {
            return;
        }
        self.workers[worker].phase = Phase::Draining;
        if !self.rng.chance(self.plan.stubborn) {
            let most = nanos(self.plan.candidates[host].timing.stop_timeout());
            let after = self.rng.below(most + most / 4 + 1);
            self.queue.push(self.now + after, Event::Work { worker, what: ForWork::Drained });
        }
    }

    pub(super) fn kill_work(&mut self, process: u64, slot: usize) {
        if let Some(worker) = self.latest_of(process, slot) {
            self.kill(worker);
        }
    }

    pub(super) fn reach_work(&mut self, worker: usize, what: ForWork) {
        if !self.workers[worker].is_alive() {
            return;
        }
        let host = self.workers[worker].host;
        if self.hosts[host].suspended > 0 {
            return self.hosts[host].waiting.push(Event::Work { worker, what });
        }
        match what {
            ForWork::Act => self.act(worker),
            ForWork::Drained | ForWork::Dies => self.work_is_over(worker),
            ForWork::Watchdog => self.watch(worker),
            ForWork::Deadline => self.check_dead(worker),
        }
    }

    /// Acts if it may, by its own clock, and again a little later.
    fn act(&mut self, worker: usize) {
        let Worker { host, term, .. } = self.workers[worker];
        if self.workers[worker].believes_itself_current(self.local(host)) {
            let faulty = self.faulty();
            let arrivals = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
            for after in arrivals.into_iter().flatten() {
                self.queue.push(self.now + after, Event::AtSink { worker, term });
            }
        }
        self.queue.push(self.now + self.plan.act_every, Event::Work { worker, what: ForWork::Act });
    }

    pub(super) fn reach_sink(&mut self, worker: usize, term: Term) {
        let slot = self.workers[worker].slot;
        match self.leases[slot].sink.write(term) {
            Ok(()) => {
                let inside = self.inside();
                let verdict = self.leases[slot].sink_order.admitted(worker, term, inside);
                self.judge(sink_never_goes_back::NAME, verdict);
            }
            Err(Fenced::Stale { seen, .. }) => {
                let Worker { host, process, phase, .. } = self.workers[worker];
                if phase != Phase::Dead {
                    let after = self.rng.range(MS / 5, 5 * MS);
                    let what = ForMachine::Tell(Input::Fenced { slot: Some(slot), seen });
                    self.queue.push(self.now + after, Event::Machine { host, process, what });
                }
            }
            Err(Fenced::Missing) => {}
        }
    }

    /// The watchdog: no elector is asked.
    fn watch(&mut self, worker: usize) {
        let Worker { host, deadline, .. } = self.workers[worker];
        if self.local(host) < deadline - self.plan.candidates[host].timing.kill_lead() {
            return self.look_later(worker, ForWork::Watchdog);
        }
        if self.plan.watchdog && self.mutant.has_watchdog {
            self.trace.line(self.now, Name(host), "watchdog kills the work");
            self.kill(worker);
        }
    }

    fn kill(&mut self, worker: usize) {
        if !matches!(self.workers[worker].phase, Phase::Working | Phase::Draining) {
            return;
        }
        self.workers[worker].phase = Phase::Dying;
        let after = 1 + self.rng.below(self.kill_takes(self.workers[worker].host));
        self.queue.push(self.now + after, Event::Work { worker, what: ForWork::Dies });
    }

    /// The most time that a kill takes: it must fit into the kill lead, whatever the clocks do.
    fn kill_takes(&self, host: usize) -> Nanos {
        nanos(self.plan.candidates[host].timing.kill_lead()) / 2 + 1
    }

    /// Nothing of it is left, and its elector is told.
    pub(super) fn work_is_over(&mut self, worker: usize) {
        self.mark_dead(worker);
        let Worker { host, process, .. } = self.workers[worker];
        self.trace.line(self.now, Name(host), "work has ended");
        let after = self.rng.below(2 * MS);
        let what = ForMachine::Tell(Input::WorkEnded);
        self.queue.push(self.now + after, Event::Machine { host, process, what });
    }

    pub(super) fn mark_dead(&mut self, worker: usize) {
        self.workers[worker].phase = Phase::Dead;
        self.alive.retain(|alive| *alive != worker);
    }

    /// Plans the next look at a worker's deadline.
    fn look_later(&mut self, worker: usize, what: ForWork) {
        let Worker { host, deadline, .. } = self.workers[worker];
        let lead = match what {
            ForWork::Watchdog => self.plan.candidates[host].timing.kill_lead(),
            _ => std::time::Duration::ZERO,
        };
        let at = self.hosts[host].clock.when(deadline - lead, self.now);
        self.queue.push(at.max(self.now + 1), Event::Work { worker, what });
    }

    fn latest_of(&self, process: u64, slot: usize) -> Option<usize> {
        let is_of = |worker: &Worker| (worker.process, worker.slot) == (process, slot);
        self.alive.iter().rev().copied().find(|worker| is_of(&self.workers[*worker]))
    }

    fn local(&self, host: usize) -> Time {
        self.hosts[host].clock.read(self.now)
    }

    // ---- what the invariants ask ---------------------------------------------------------------------------------

    /// The work that acts now, the oldest first.
    pub(super) fn acting(&self) -> Vec<usize> {
        let acts = |worker: &usize| {
            let worker = &self.workers[*worker];
            self.hosts[worker.host].suspended == 0 && worker.believes_itself_current(self.local(worker.host))
        };
        self.alive.iter().copied().filter(acts).collect()
    }

    /// The work that was told to work, on hosts that run.
    pub(super) fn working(&self) -> Vec<usize> {
        let mut acting = self.acting();
        acting.retain(|worker| self.workers[*worker].phase == Phase::Working);
        acting
    }

    pub(super) fn check_actors(&mut self) {
        if self.alive.len() < 2 {
            return;
        }
        let acting = self.acting();
        if self.inside() {
            self.judge(no_more_than_slots::NAME, no_more_than_slots::check(self.leases.len(), &acting));
        }
        for slot in 0..self.leases.len() {
            let of_slot = acting.iter().copied().filter(|worker| self.workers[*worker].slot == slot);
            self.check_actors_of(slot, of_slot.collect());
        }
    }

    /// What is asked of those that act under one key.
    fn check_actors_of(&mut self, slot: usize, acting: Vec<usize>) {
        if self.inside() {
            let verdict = one_actor::check(&self.workers, &acting);
            return self.judge(one_actor::NAME, verdict);
        }
        let actor = |worker: usize| {
            let host = self.workers[worker].host;
            Actor { worker, local: self.local(host), ttl: self.plan.candidates[host].timing.ttl() }
        };
        let actors: Vec<Actor> = acting.into_iter().map(actor).collect();
        let result = self.leases[slot].overlap.check(&self.workers, &actors);
        if let Ok(longest) = result {
            self.counts.longest_overlap = self.counts.longest_overlap.max(nanos(longest));
        }
        self.judge(bounded_overlap::NAME, result.map(|_| ()));
    }

    pub(super) fn check_release(&mut self, held: &Held) {
        let verdict = release_after_work::check(self.tenure(held), &self.workers, &self.alive);
        self.judge(release_after_work::NAME, verdict);
    }

    fn check_dead(&mut self, worker: usize) {
        let Worker { host, deadline, .. } = self.workers[worker];
        if self.local(host) < deadline {
            return self.look_later(worker, ForWork::Deadline);
        }
        let resumed_at = self.hosts[host].resumed_at;
        let excused_until = resumed_at + dead_by_deadline::grace(self.kill_takes(host));
        if resumed_at > 0 && self.now < excused_until {
            return self.queue.push(excused_until, Event::Work { worker, what: ForWork::Deadline });
        }
        self.judge(dead_by_deadline::NAME, dead_by_deadline::check(&self.workers[worker]));
    }
}
