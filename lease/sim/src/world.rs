//! The world: hosts, network, store and sink, played event by event.
//!
//! What is there is in `state.rs`. What happens to hosts is in `hosts.rs`, to work in `work.rs`, to the store in
//! `service.rs`; `strikes.rs` begins and ends faults.

mod hosts;
mod service;
mod state;
mod strikes;
mod work;

use tenure_core::Input;

use self::state::World;
use crate::event::Event;
use crate::invariants::{candidates_take_part, leads_after_faults_stop};
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::report::Outcome;
use crate::true_time::MS;

/// Plays `plan` once. `wakes` tells whether the store's hints are delivered.
pub fn play(plan: &Plan, mutant: &Mutant, wakes: bool, trace: bool) -> Outcome {
    let mut world = World::new(plan, mutant, wakes, trace);
    world.begin();
    while let Some((at, event)) = world.queue.pop() {
        world.now = at;
        world.counts.events += 1;
        if matches!(event, Event::End) {
            world.judge_the_end();
            break;
        }
        world.happen(event);
        if world.violation.is_some() {
            break;
        }
    }
    world.finish()
}

impl World<'_> {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Elector { host, process, what } => self.reach_elector(host, process, what),
            Event::Work { worker, what } => self.reach_work(worker, what),
            Event::AtStore { host, process, id, op } => self.reach_store(host, process, id, op),
            Event::AtSink { worker, term } => self.reach_sink(worker, term),
            Event::Strikes(place) => self.strike(place),
            Event::Ends(ending) => self.end(ending),
            Event::Calm => {
                for host in 0..self.hosts.len() {
                    self.tell(host, 0, Input::Health(true));
                    self.tell(host, MS, Input::Campaign);
                }
            }
            Event::LeadsBy => {
                let working = self.working();
                let verdict = self.leads.time_is_up(&working);
                if let [leader] = working[..] {
                    let waited = self.workers[leader].started.saturating_sub(self.plan.calm_from);
                    (self.counts.slowest_recovery, self.counts.slowest_seed) = (waited, self.plan.seed);
                }
                self.judge(leads_after_faults_stop::NAME, verdict);
            }
            Event::End => {}
        }
    }

    fn judge_the_end(&mut self) {
        let working = self.working();
        let verdict = self.leads.end(&working);
        self.judge(leads_after_faults_stop::NAME, verdict);
        let leader = working.first().map(|worker| self.workers[*worker].process);
        let verdict = candidates_take_part::check(&self.hosts, leader, self.plan.leads_by);
        self.judge(candidates_take_part::NAME, verdict);
    }
}
