//! The world: hosts, network, store and sink, played event by event.

mod hosts;
mod service;
mod work;

use std::collections::BTreeMap;

use tenure_core::{Answer, Input, LeaseKey, Nonce, Output, RequestId, Term};

use crate::candidate::Host;
use crate::clock::Clock;
use crate::faults::{DRIFT, Fault, Target, Way};
use crate::invariants::Verdict;
use crate::invariants::bounded_overlap::BoundedOverlap;
use crate::invariants::candidates_take_part;
use crate::invariants::leads_after_faults_stop::{self, LeadsAfterFaultsStop};
use crate::invariants::leases_last::LeasesLast;
use crate::invariants::sink_never_goes_back::SinkNeverGoesBack;
use crate::invariants::terms_grow::TermsGrow;
use crate::mutants::Mutant;
use crate::plan::{Mode, Plan};
use crate::queue::Queue;
use crate::report::{Counts, Violation};
use crate::rng::Rng;
use crate::sink::Sink;
use crate::store_model::{Op, State, Store};
use crate::trace::Trace;
use crate::worker::{Phase, Worker};
use crate::{MS, Nanos};

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something reaches the elector's loop of a process.
    Elector {
        /// On this host.
        host: usize,
        /// In this process; another one ignores it.
        process: u64,
        /// What.
        what: ForElector,
    },
    /// Something happens to work.
    Work {
        /// Which, in the order in which work was started.
        worker: usize,
        /// What.
        what: ForWork,
    },
    /// A request, or a later step of it, reaches the store.
    AtStore {
        /// From this host.
        host: usize,
        /// From this process.
        process: u64,
        /// Under this name.
        id: RequestId,
        /// What to do.
        op: Op,
    },
    /// A write reaches the sink.
    AtSink {
        /// From this work.
        worker: usize,
        /// Under this term.
        term: Term,
    },
    /// The plan's fault of this number strikes.
    Strikes(usize),
    /// A fault ends.
    Ends(Ending),
    /// Nothing goes wrong any more: everybody is healthy and wants to lead, whatever overtook what.
    Calm,
    /// By now somebody must lead.
    LeadsBy,
    /// The end.
    End,
}

/// What can reach an elector's loop.
#[derive(Clone, Debug)]
pub enum ForElector {
    /// The timer that was armed for this moment.
    Timer(Nanos),
    /// An answer; with the tenure, where it answers a renewal.
    Answer(RequestId, Answer, Option<(Nonce, Term)>),
    /// Anything else.
    Tell(Input),
}

/// What can happen to work.
#[derive(Clone, Copy, Debug)]
pub enum ForWork {
    /// It acts, if it believes that it may.
    Act,
    /// It has stopped by itself.
    Drained,
    /// Its watchdog looks at the clock.
    Watchdog,
    /// A kill takes effect.
    Dies,
    /// The invariant looks whether it is dead.
    Deadline,
}

/// Which fault ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// The host wakes up.
    Suspend(usize),
    /// The loop goes on.
    Stall(usize),
    /// Messages pass again.
    Partition(usize, Way),
    /// A process starts on the host.
    Crash(usize),
    /// The store is up again.
    StoreRestart,
    /// The store is up again, with this.
    StoreComesBack(State),
    /// The candidate is healthy again.
    Unhealthy(usize),
}

/// How a simulation went.
#[derive(Debug)]
pub struct Outcome {
    /// What happened, counted.
    pub counts: Counts,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// The trace, where it was wanted.
    pub trace: Vec<String>,
}

/// Plays `plan` once. `wakes` tells whether the store's hints are delivered.
pub fn play(plan: &Plan, mutant: &dyn Mutant, wakes: bool, trace: bool) -> Outcome {
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

struct World<'a> {
    plan: &'a Plan,
    mutant: &'a dyn Mutant,
    wakes: bool,
    now: Nanos,
    rng: Rng,
    queue: Queue<Event>,
    key: LeaseKey,
    hosts: Vec<Host>,
    processes: u64,
    workers: Vec<Worker>,
    alive: Vec<usize>,
    store: Box<dyn Store>,
    store_clock: Clock,
    wall_shift: i64,
    store_down: u32,
    /// The tenures that the store told of a request to resign, and how many had been granted by then.
    asked: BTreeMap<(Nonce, Term), u64>,
    store_forgot: bool,
    store_went_back: bool,
    /// How many tenures have been granted, whatever the store knows of them now.
    granted: u64,
    promises: LeasesLast,
    sink: Sink,
    terms: TermsGrow,
    sink_order: SinkNeverGoesBack,
    overlap: BoundedOverlap,
    leads: LeadsAfterFaultsStop,
    counts: Counts,
    trace: Trace,
    violation: Option<Violation>,
    outputs: Vec<Output>,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, mutant: &'a dyn Mutant, wakes: bool, trace: bool) -> Self {
        let mut trace = Trace::new(trace);
        if trace.wanted() {
            trace.heading(format_args!(
                "seed {}, {}{}",
                plan.seed,
                plan.mode,
                if wakes { "" } else { ", no wake-ups" }
            ));
            for (host, candidate) in plan.candidates.iter().enumerate() {
                let drift = candidate.drift_ppm;
                trace.heading(format_args!("  c{host} drift {drift} ppm, {:?}", candidate.timing));
            }
            trace.heading(format_args!("  store drift {} ppm, {:?}", plan.store_drift_ppm, plan.network));
        }
        let hosts = plan.candidates.iter().enumerate().map(|(host, candidate)| {
            let clock = mutant.clock(Clock::new(candidate.origin, candidate.drift_ppm));
            Host::new(name(host), clock)
        });
        World {
            plan,
            mutant,
            wakes,
            now: 0,
            rng: Rng::new(plan.seed, if wakes { 3 } else { 4 }),
            queue: Queue::new(),
            key: constant(LeaseKey::new("key")),
            hosts: hosts.collect(),
            processes: 0,
            workers: Vec::with_capacity(64),
            alive: Vec::with_capacity(4),
            store: mutant.store(),
            store_clock: Clock::new(0, plan.store_drift_ppm),
            wall_shift: 0,
            store_down: 0,
            asked: BTreeMap::new(),
            store_forgot: false,
            store_went_back: false,
            granted: 0,
            promises: LeasesLast::default(),
            sink: Sink::default(),
            terms: TermsGrow::default(),
            sink_order: SinkNeverGoesBack::default(),
            overlap: BoundedOverlap::default(),
            leads: LeadsAfterFaultsStop::default(),
            counts: Counts { runs: 1, ..Counts::default() },
            trace,
            violation: None,
            outputs: Vec::with_capacity(8),
        }
    }

    fn begin(&mut self) {
        for host in 0..self.hosts.len() {
            let at = self.rng.below(500 * MS);
            self.queue.push(at, Event::Ends(Ending::Crash(host)));
        }
        for (place, (at, _)) in self.plan.faults.iter().enumerate() {
            self.queue.push(*at, Event::Strikes(place));
        }
        self.queue.push(self.plan.calm_from + 20 * MS, Event::Calm);
        self.queue.push(self.plan.leads_by, Event::LeadsBy);
        self.queue.push(self.plan.end, Event::End);
        let drifts = self.plan.candidates.iter().filter(|candidate| candidate.drift_ppm != self.plan.store_drift_ppm);
        self.counts.faults[DRIFT] = drifts.count() as u64;
    }

    fn finish(mut self) -> Outcome {
        (self.counts.admitted, self.counts.refused) = self.sink.counts();
        self.counts.simulated = u128::from(self.now);
        if let Some(violation) = &self.violation {
            self.trace.heading(violation);
        }
        Outcome { counts: self.counts, violation: self.violation, trace: self.trace.into_lines() }
    }

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

    fn strike(&mut self, place: usize) {
        let plan = self.plan;
        let fault = &plan.faults[place].1;
        let leader = self.alive.last().map_or(0, |worker| self.workers[*worker].host);
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
            Fault::StoreSaves => self.store.save(),
            Fault::StoreComesBack { lasts, with } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::StoreComesBack(*with)));
                self.store_down += 1;
            }
            Fault::StoreForgets => {
                self.store.forget();
                self.store_forgot = true;
            }
            Fault::StoreClockSteps { by } => {
                self.store_clock.step(*by);
                self.store_went_back |= *by < 0;
            }
            Fault::WallClockSteps { by } => {
                self.wall_shift += by;
                self.store_went_back |= *by < 0;
            }
            Fault::Resign { .. } => {
                self.tell(host, 0, Input::Resign);
                let again = self.rng.below(self.plan.ttl());
                self.tell(host, again, Input::Campaign);
            }
            Fault::ResignRequest => {
                let at = self.store_time();
                self.store.request_resign(at, &self.key);
            }
            Fault::Unhealthy { lasts, .. } => {
                self.queue.push(ends(lasts), Event::Ends(Ending::Unhealthy(host)));
                self.tell(host, 0, Input::Health(false));
            }
            Fault::WorkEnds => {
                if let Some(worker) = self.alive.last() {
                    self.work_is_over(*worker);
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

    /// A store that has lost terms and whose clock went back cannot know how high they were.
    fn excuse_the_store(&mut self) {
        if self.store_forgot && self.store_went_back {
            self.terms.excuse_the_store();
        }
    }

    fn end(&mut self, ending: Ending) {
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
                self.store.come_back(at, with);
                self.store_forgot = true;
                self.excuse_the_store();
            }
            Ending::Unhealthy(host) => self.tell(host, 0, Input::Health(true)),
        }
    }

    /// Whether faults may still strike messages.
    fn faulty(&self) -> bool {
        self.now < self.plan.calm_from
    }

    fn inside(&self) -> bool {
        self.plan.mode == Mode::Inside
    }

    /// The work that was told to work, on hosts that run.
    fn working(&self) -> Vec<usize> {
        let mut acting = self.acting();
        acting.retain(|worker| self.workers[*worker].phase == Phase::Working);
        acting
    }

    fn judge_the_end(&mut self) {
        let working = self.working();
        let verdict = self.leads.end(&working);
        self.judge(leads_after_faults_stop::NAME, verdict);
        let leader = working.first().map(|worker| self.workers[*worker].process);
        let verdict = candidates_take_part::check(&self.hosts, leader, self.plan.leads_by);
        self.judge(candidates_take_part::NAME, verdict);
    }

    /// Notes a broken promise; the first one counts.
    fn judge(&mut self, invariant: &'static str, verdict: Verdict) {
        if let Err(what) = verdict
            && self.violation.is_none()
        {
            self.violation = Some(Violation { invariant, through: None, at: self.now, what });
        }
    }
}

/// A candidate's name in traces.
struct Name(usize);

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self.0 {
            0 => "c0",
            1 => "c1",
            2 => "c2",
            3 => "c3",
            4 => "c4",
            _ => "c?",
        })
    }
}

fn name(host: usize) -> tenure_core::HolderId {
    constant(tenure_core::HolderId::new(format!("c{host}")))
}

/// A name that this program itself wrote, and that cannot be refused.
fn constant<T>(name: Result<T, tenure_core::NameError>) -> T {
    name.unwrap_or_else(|error| unreachable!("{error}"))
}
