//! The faults' side of the world: what a fault does when it strikes, and when it ends.

use tenure_core::{Input, RequestId};

use super::state::{Name, World};
use crate::event::{Ending, Event};
use crate::faults::{Fault, Target};
use crate::shell::Wanted;
use crate::store::State;
use crate::true_time::{MS, Nanos};

impl World<'_> {
    pub(super) fn strike(&mut self, place: usize) {
        let plan = self.plan;
        let fault = &plan.faults[place].1;
        let struck = self.struck(place);
        let leader = struck.map_or(0, |worker| self.workers[worker].host);
        let host = match fault.target() {
            Some(Target::Host(host)) => host,
            Some(Target::Leader) | None => leader,
        };
        self.counts.faults[fault.kind()] += 1;
        match fault.target() {
            Some(_) => self.trace.line(self.now, Name(host), fault),
            None => self.trace.line(self.now, "store", fault),
        }
        let ends = |lasts: &Nanos| self.now + lasts;
        match fault {
            Fault::Suspend { lasts, .. } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::Suspend(host)));
                self.suspend(host);
            }
            Fault::Stall { lasts, .. } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::Stall(host)));
                self.hosts[host].stalled += 1;
            }
            Fault::Crash { lasts, then, .. } => {
                if self.hosts[host].process.is_some() {
                    self.queue.push(ends(lasts), Event::Ends(Ending::Crash(host)));
                    self.crash(host, *then);
                }
            }
            Fault::Partition { way, lasts, .. } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::Partition(host, *way)));
                self.cut(host, *way, true);
            }
            Fault::StoreRestart { lasts } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::StoreRestart));
                self.store_down += 1;
            }
            Fault::StoreSaves => match &mut self.records {
                Some(records) => records.server.save(),
                None => self.store.save(),
            },
            Fault::StoreComesBack { lasts, with } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::StoreComesBack(*with)));
                self.store_down += 1;
            }
            Fault::StoreForgets => {
                match &mut self.records {
                    Some(records) => records.server.forget(),
                    None => self.store.forget(),
                }
                self.store_forgot = true;
            }
            Fault::StoreClockSteps { by } => {
                self.store_clock.step(*by);
                self.store_went_back |= *by < 0;
            }
            Fault::WallClockSteps { by } => {
                self.wall_shift += by;
                let host = place % self.hosts.len();
                self.wall_shifts[host] += by;
                self.store_went_back |= *by < 0;
            }
            Fault::Resign { .. } => {
                self.tell(host, 0, Input::Resign);
                let again = self.rng.below(self.plan.ttl());
                self.tell(host, again, Input::Campaign);
            }
            Fault::ResignRequest => {
                let at = self.store_time();
                let slot = struck.map_or(0, |worker| self.workers[worker].slot);
                let key = self.leases[slot].key.clone();
                if self.records.is_some() {
                    // An operator on one of the hosts, whose process has seen nothing.
                    self.ask_records(place % self.hosts.len(), 0, RequestId(0), Wanted::Resign(key));
                } else {
                    self.store.request_resign(at, &key);
                }
            }
            Fault::Unhealthy { lasts, .. } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::Unhealthy(host)));
                self.tell(host, 0, Input::Health(false));
            }
            Fault::WorkEnds => {
                if let Some(worker) = struck {
                    self.work_is_over(worker);
                }
            }
            Fault::FalseWakes { count } => {
                for host in 0..self.hosts.len() {
                    for _ in 0..*count {
                        let at = self.rng.below(100 * MS);
                        self.hint(host, at);
                    }
                }
            }
        }
        self.excuse_the_store();
    }

    /// The work that the plan's fault of this number strikes: the latest, and of several slots now this one, now that.
    fn struck(&self, place: usize) -> Option<usize> {
        match self.leases.len() {
            1 => self.alive.last().copied(),
            _ => self.alive.get(place % self.alive.len().max(1)).copied(),
        }
    }

    /// A store that has lost terms and whose clock went back cannot know how high they were.
    fn excuse_the_store(&mut self) {
        if self.terms_are_excused() {
            for lease in &mut self.leases {
                lease.terms.excuse_the_store();
            }
        }
    }

    pub(super) fn end(&mut self, ending: Ending) {
        match ending {
            Ending::Suspend(host) => self.resume(host),
            Ending::Stall(host) => self.unstall(host),
            Ending::Partition(host, way) => {
                self.trace.line(self.now, Name(host), "partition is over");
                self.cut(host, way, false);
            }
            Ending::Crash(host) => self.start(host),
            Ending::StoreRestart => {
                self.trace.line(self.now, "store", "is up again");
                self.store_down -= 1;
            }
            Ending::StoreComesBack(with) => {
                self.trace.line(self.now, "store", "is up again");
                self.store_down -= 1;
                let at = self.store_time();
                let notices = match &mut self.records {
                    Some(records) => {
                        records.server.come_back(at, with);
                        self.plan.model.notices_older_states()
                    }
                    None => {
                        self.store.come_back(at, with);
                        true
                    }
                };
                if !notices || with == State::TakenForAll {
                    for lease in &mut self.leases {
                        lease.overlap.store_went_back();
                    }
                }
                self.store_forgot = true;
                self.excuse_the_store();
            }
            Ending::Unhealthy(host) => self.tell(host, 0, Input::Health(true)),
        }
    }
}
