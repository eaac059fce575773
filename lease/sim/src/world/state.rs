//! What there is in one simulation, and what every part of the world asks of it.

use tenure_core::{Held, LeaseKey, Request, SlotKeys, SlotsOutput};

use super::clients::Records;
use super::lease::Lease;
use crate::candidate::Host;
use crate::clock::Clock;
use crate::event::{Ending, Event};
use crate::faults::DRIFT;
use crate::invariants::leads_after_faults_stop::LeadsAfterFaultsStop;
use crate::invariants::verdict::Verdict;
use crate::mode::Mode;
use crate::model::Model;
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::queue::Queue;
use crate::report::{Counts, Outcome, Violation};
use crate::rng::Rng;
use crate::store::Store;
use crate::tenure::Tenure;
use crate::trace::Trace;
use crate::true_time::{MS, Nanos};
use crate::worker::Worker;

/// All that there is in one simulation.
pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    pub(super) mutant: &'a Mutant,
    pub(super) wakes: bool,
    pub(super) now: Nanos,
    pub(super) rng: Rng,
    pub(super) queue: Queue<Event>,
    pub(super) keys: SlotKeys,
    /// What there is for each key.
    pub(super) leases: Vec<Lease>,
    pub(super) hosts: Vec<Host>,
    pub(super) processes: u64,
    pub(super) workers: Vec<Worker>,
    pub(super) alive: Vec<usize>,
    pub(super) store: Box<dyn Store>,
    /// What stands in the store's place where candidates take the steps.
    pub(super) records: Option<Records>,
    pub(super) store_clock: Clock,
    /// By how many microseconds the store's wall clock has stepped.
    pub(super) wall_shift: i64,
    /// By how many those of the hosts have.
    pub(super) wall_shifts: Vec<i64>,
    pub(super) store_down: u32,
    pub(super) store_forgot: bool,
    pub(super) store_went_back: bool,
    pub(super) leads: LeadsAfterFaultsStop,
    pub(super) counts: Counts,
    pub(super) trace: Trace,
    pub(super) violation: Option<Violation>,
    pub(super) outputs: Vec<SlotsOutput>,
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, mutant: &'a Mutant, wakes: bool, trace: bool) -> Self {
        let mut trace = Trace::new(trace);
        if trace.wanted() {
            trace.heading(format_args!(
                "seed {}, {}, {}{}{}",
                plan.seed,
                plan.model,
                plan.mode,
                if plan.slots > 1 { format!(", {} slots", plan.slots) } else { String::new() },
                if wakes { "" } else { ", no wake-ups" }
            ));
            for (host, candidate) in plan.candidates.iter().enumerate() {
                let drift = candidate.drift_ppm;
                trace.heading(format_args!("  c{host} drift {drift} ppm, {:?}", candidate.timing));
            }
            trace.heading(format_args!("  store drift {} ppm, {:?}", plan.store_drift_ppm, plan.network));
        }
        let hosts = plan.candidates.iter().enumerate().map(|(host, candidate)| {
            let clock = (mutant.clock)(Clock::new(candidate.origin, candidate.drift_ppm));
            Host::new(name(host), clock)
        });
        let lease = constant(LeaseKey::new("key"));
        let keys = match plan.slots {
            1 => SlotKeys::one(lease),
            slots => constant(SlotKeys::numbered(lease, slots)),
        };
        World {
            plan,
            mutant,
            wakes: wakes && plan.hints,
            now: 0,
            rng: Rng::new(plan.seed, if wakes { 3 } else { 4 }),
            queue: Queue::new(),
            leases: keys.all().iter().cloned().map(Lease::new).collect(),
            keys,
            hosts: hosts.collect(),
            processes: 0,
            workers: Vec::with_capacity(64),
            alive: Vec::with_capacity(4),
            store: (mutant.store)(),
            store_clock: Clock::new(0, plan.store_drift_ppm),
            records: plan.model.has_records().then(|| Records::new(mutant, plan.model == Model::Age)),
            wall_shift: 0,
            wall_shifts: vec![0; plan.candidates.len()],
            store_down: 0,
            store_forgot: false,
            store_went_back: false,
            leads: LeadsAfterFaultsStop::default(),
            counts: Counts { runs: 1, ..Counts::default() },
            trace,
            violation: None,
            outputs: Vec::with_capacity(8),
        }
    }

    pub(super) fn begin(&mut self) {
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

    pub(super) fn finish(mut self) -> Outcome {
        for lease in &self.leases {
            let (admitted, refused) = lease.sink.counts();
            self.counts.admitted += admitted;
            self.counts.refused += refused;
        }
        self.counts.simulated = u128::from(self.now);
        if let Some(violation) = &self.violation {
            self.trace.heading(violation);
        }
        Outcome { counts: self.counts, violation: self.violation, trace: self.trace.into_lines() }
    }

    /// The place of this key.
    pub(super) fn slot(&self, key: &LeaseKey) -> usize {
        // Nobody asks for other keys than these.
        self.leases.iter().position(|lease| lease.key == *key).unwrap_or(0)
    }

    /// The place of the key that this asks for, where it is one.
    pub(super) fn asked_for(&self, request: &Request) -> Option<usize> {
        match request {
            Request::Acquire(claim) => Some(self.slot(&claim.key)),
            Request::Renew(held) | Request::Release(held) => Some(self.slot(&held.key)),
            Request::Observe(key) => Some(self.slot(key)),
            Request::List { .. } => None,
        }
    }

    /// The tenure that this names.
    pub(super) fn tenure(&self, held: &Held) -> Tenure {
        Tenure { slot: self.slot(&held.key), nonce: held.nonce, term: held.term }
    }

    /// Whether faults may still strike messages.
    pub(super) fn faulty(&self) -> bool {
        self.now < self.plan.calm_from
    }

    /// Whether the store cannot know how high terms were: it has lost some, and the clock that seeds them went back. On
    /// records that is the clock of whoever claims, or what he makes of the server's, which is good enough as long as clocks
    /// run alike.
    pub(super) fn terms_are_excused(&self) -> bool {
        let by_claimants = match self.plan.model {
            Model::Scripted => false,
            Model::Age => !self.inside(),
            Model::Silence => true,
        };
        self.store_forgot && (self.store_went_back || by_claimants)
    }

    pub(super) fn inside(&self) -> bool {
        self.plan.mode == Mode::Inside
    }

    /// Notes a broken promise; the first one counts.
    pub(super) fn judge(&mut self, invariant: &'static str, verdict: Verdict) {
        if let Err(what) = verdict
            && self.violation.is_none()
        {
            self.violation = Some(Violation { invariant, through: None, at: self.now, what });
        }
    }
}

/// A candidate's name in traces.
pub(super) struct Name(pub(super) usize);

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
