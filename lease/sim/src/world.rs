//! The world: hosts, network, store and sink, played event by event.
//!
//! What is there is in `state.rs`. What happens to hosts is in `hosts.rs`, to work in `work.rs`, to the store in
//! `service.rs`, and where that is a server of records, asked by `clients.rs`, in `records.rs`; `strikes.rs` begins and ends
//! faults.

mod clients;
mod hosts;
mod lease;
mod records;
mod service;
mod state;
mod strikes;
mod work;

use tenure_core::Input;

use self::state::World;
use crate::event::Event;
use crate::invariants::{candidates_take_part, leads_after_faults_stop, waits_only_while_all_held};
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
            Event::Machine { host, process, what } => self.reach_machine(host, process, what),
            Event::Work { worker, what } => self.reach_work(worker, what),
            Event::AtStore { host, process, id, op } => self.reach_store(host, process, id, op),
            Event::AtServer { process, host, number, wanted, call } => {
                self.reach_server(process, host, number, &wanted, &call);
            }
            Event::AtClient { process, what } => self.reach_client(process, what),
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
                self.judge_waiting(&working);
                let verdict = self.leads.time_is_up(&working, self.places());
                if verdict.is_ok() {
                    let started = working.iter().map(|worker| self.workers[*worker].started).max().unwrap_or(0);
                    let waited = started.saturating_sub(self.plan.calm_from);
                    (self.counts.slowest_recovery, self.counts.slowest_seed) = (waited, self.plan.seed);
                }
                self.judge(leads_after_faults_stop::NAME, verdict);
            }
            Event::End => {}
        }
    }

    fn judge_the_end(&mut self) {
        let working = self.working();
        self.judge_waiting(&working);
        let verdict = self.leads.end(&working);
        self.judge(leads_after_faults_stop::NAME, verdict);
        let leaders: Vec<u64> = working.iter().map(|worker| self.workers[*worker].process).collect();
        let verdict = candidates_take_part::check(&self.hosts, &leaders, |host| self.plan.asks_since(host));
        self.judge(candidates_take_part::NAME, verdict);
    }

    fn judge_waiting(&mut self, working: &[usize]) {
        if self.leases.len() > 1 {
            let verdict = waits_only_while_all_held::check(self.leases.len(), self.hosts.len(), working.len());
            self.judge(waits_only_while_all_held::NAME, verdict);
        }
    }

    /// How many can lead at once.
    fn places(&self) -> usize {
        self.leases.len().min(self.hosts.len())
    }
}
