//! The hosts' side of the world: processes, their machines, and the faults that strike them.

use tenure_core::{
    Answer, Claimed, Elector, ElectorConfig, Event as Told, Held, Input, LeaseRecord, Note, Order, Renewed, Request,
    RequestId, SlotsConfig, SlotsOutput, Time,
};

use super::state::{Name, World};
use crate::candidate::{Candidacy, Process};
use crate::event::{Event, ForMachine};
use crate::faults::{Aftermath, Way};
use crate::invariants::requests_are_bounded::{self, RequestsAreBounded};
use crate::invariants::{
    events_in_order, grants_are_used_or_released, leaves_the_key, left_runs_out, loss_stops_work, work_is_wanted,
};
use crate::kind::Kind;
use crate::machine::one_slot;
use crate::shell::Wanted;
use crate::store::Op;
use crate::tenure::Tenure;
use crate::true_time::nanos;
use crate::true_time::{MS, Nanos};

/// How long after waking up a host's events are spread: the scheduler decides what runs first.
const WAKING: Nanos = 3 * MS;

impl World<'_> {
    /// Starts a process under the host's name, which campaigns.
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.processes += 1;
        let id = self.processes;
        let config = SlotsConfig {
            keys: self.keys.clone(),
            holder: self.hosts[host].holder.clone(),
            process: (self.mutant.process)(host, self.rng.next()),
            timing: self.plan.candidates[host].timing,
            hold: std::time::Duration::from_nanos(self.plan.hold),
            note: Note::default(),
            leave_lease: self.plan.candidates[host].leaves,
            hints: self.plan.hints,
            seed: self.rng.next(),
        };
        let machine = match self.plan.kind {
            Kind::Elector => one_slot((self.mutant.elector)(Box::new(Elector::new(only_elector(config))))),
            Kind::Slots => (self.mutant.slots)(config),
        };
        self.hosts[host].process = Some(Process {
            id,
            machine,
            armed: Nanos::MAX,
            healthy: true,
            wanted: false,
            claimed_at: 0,
            requests: RequestsAreBounded::new(self.leases.len()),
            keys: self.leases.iter().map(|_| Candidacy::default()).collect(),
        });
        self.begin_client(host, id, false);
        self.trace.line(self.now, Name(host), format_args!("process {id} starts"));
        self.tell(host, 0, Input::Campaign);
    }

    /// The process dies with all its work; whoever proves that may do something about its lease.
    pub(super) fn crash(&mut self, host: usize, then: Aftermath) {
        let Some(process) = self.hosts[host].process.take() else { return };
        self.end_client(process.id);
        for worker in self.alive.clone() {
            if self.workers[worker].process == process.id {
                self.mark_dead(worker);
            }
        }
        let Some(held) = process.machine.held() else { return };
        let request = match then {
            Aftermath::Nothing => return,
            Aftermath::Released => Request::Release(held),
            Aftermath::Kept => self.keep(held),
        };
        self.send(host, process.id, RequestId(0), request);
    }

    /// The request of whoever proved the death: it extends the lease to the end of its hold, or releases it where that is over.
    fn keep(&self, held: Held) -> Request {
        let tenure = self.tenure(&held);
        let began = self.workers.iter().rev().find(|worker| worker.tenure() == tenure);
        let led = began.map_or(self.plan.hold, |worker| self.now - worker.started);
        match self.plan.hold.saturating_sub(led) {
            0 => Request::Release(held),
            rest => Request::Renew(Held { ttl: std::time::Duration::from_nanos(rest), ..held }),
        }
    }

    pub(super) fn suspend(&mut self, host: usize) {
        let host = &mut self.hosts[host];
        host.suspended += 1;
        if host.suspended == 1 {
            host.clock.suspend(self.now);
        }
    }

    pub(super) fn resume(&mut self, host: usize) {
        let sleeper = &mut self.hosts[host];
        sleeper.suspended -= 1;
        if sleeper.suspended > 0 {
            return;
        }
        sleeper.clock.resume(self.now);
        sleeper.resumed_at = self.now;
        self.trace.line(self.now, Name(host), "wakes up");
        let waiting = std::mem::take(&mut self.hosts[host].waiting);
        self.plan_held_back(waiting);
        self.check_actors();
    }

    pub(super) fn unstall(&mut self, host: usize) {
        self.hosts[host].stalled -= 1;
        if self.hosts[host].stalled > 0 {
            return;
        }
        self.trace.line(self.now, Name(host), "loop goes on");
        let waiting = std::mem::take(&mut self.hosts[host].waiting_loop);
        self.plan_held_back(waiting);
    }

    /// Plans the events that were held back: those of the elector's loop in their order, those of work in any.
    fn plan_held_back(&mut self, waiting: Vec<Event>) {
        let mut loops = self.now;
        for event in waiting {
            let at = if matches!(event, Event::Machine { .. } | Event::AtClient { .. }) {
                loops = loops.max(self.now + self.rng.below(WAKING));
                loops
            } else {
                self.now + self.rng.below(WAKING)
            };
            self.queue.push(at, event);
        }
    }

    pub(super) fn cut(&mut self, host: usize, way: Way, cut: bool) {
        let host = &mut self.hosts[host];
        let change = |count: &mut u32| *count = if cut { *count + 1 } else { *count - 1 };
        if way != Way::Replies {
            change(&mut host.cut_out);
        }
        if way != Way::Requests {
            change(&mut host.cut_in);
        }
    }

    /// Hands `input` to the process that runs on `host` now, `after` that time.
    pub(super) fn tell(&mut self, host: usize, after: Nanos, input: Input) {
        if let Some(process) = &self.hosts[host].process {
            let event = Event::Machine { host, process: process.id, what: ForMachine::Tell(input) };
            self.queue.push(self.now + after, event);
        }
    }

    pub(super) fn reach_machine(&mut self, host: usize, process: u64, what: ForMachine) {
        let at = &mut self.hosts[host];
        if at.process.as_ref().is_none_or(|running| running.id != process) {
            return;
        }
        if at.suspended > 0 {
            return at.waiting.push(Event::Machine { host, process, what });
        }
        if at.stalled > 0 {
            return at.waiting_loop.push(Event::Machine { host, process, what });
        }
        match what {
            ForMachine::Timer(armed) => self.timer(host, armed),
            ForMachine::Answer { id, answer, slot, tenure } => {
                if self.trace.wanted() {
                    self.trace.line(self.now, Name(host), format_args!("<- {} {answer:?}", id.0));
                }
                let lost = tenure.filter(|_| matches!(answer, Answer::Renewed(Renewed::Lost { .. })));
                let asked = tenure
                    .filter(|_| matches!(answer, Answer::Renewed(Renewed::Extended { resign_requested: true })))
                    .and_then(|tenure| Some((tenure, *self.leases[tenure.slot].asked.get(&tenure)?)));
                self.note_answer(host, id, &answer, slot, tenure);
                self.call(host, Input::Answer(id, answer));
                let held = self.held(host);
                if let Some(process) = &mut self.hosts[host].process {
                    if let Some((tenure, grants)) = asked
                        && held == Some(tenure)
                    {
                        process.keys[tenure.slot].leaves.asked(grants);
                    } else if held.is_none() {
                        process.keys.iter_mut().for_each(|key| key.leaves.lost());
                    }
                }
                if let Some(lost) = lost
                    && let Some(process) = &self.hosts[host].process
                {
                    let current =
                        process.machine.is_current(self.hosts[host].clock.read(self.now)) && held == Some(lost);
                    let verdict = loss_stops_work::check(process.id, lost, current, &self.workers, &self.alive);
                    self.judge(loss_stops_work::NAME, verdict);
                }
            }
            ForMachine::Tell(input) => {
                if self.trace.wanted() {
                    self.trace.line(self.now, Name(host), format_args!("told {input:?}"));
                }
                let local = self.hosts[host].clock.read(self.now);
                let held = self.held(host);
                if let Some(process) = &mut self.hosts[host].process {
                    match (&input, held) {
                        (Input::Health(healthy), _) => process.healthy = *healthy,
                        (Input::Campaign, _) => process.wanted = true,
                        (Input::Resign, _) => process.wanted = false,
                        (Input::WorkEnded, Some(tenure)) => {
                            let ttl = self.plan.candidates[host].timing.ttl();
                            process.keys[tenure.slot].leaves.work_ended(local, ttl);
                        }
                        _ => {}
                    }
                }
                let stops = matches!(input, Input::Resign | Input::Health(false));
                self.call(host, input);
                if stops {
                    self.judge(work_is_wanted::NAME, work_is_wanted::told(process, &self.workers, &self.alive));
                }
            }
        }
    }

    fn timer(&mut self, host: usize, armed: Nanos) {
        let local = self.hosts[host].clock.read(self.now);
        let Some(process) = &mut self.hosts[host].process else { return };
        if process.armed != armed {
            return;
        }
        process.armed = Nanos::MAX;
        match process.machine.poll_timeout() {
            Some(due) if due <= local => self.call(host, Input::Timeout),
            // The elector wants to be called later than when the timer was armed.
            due => self.arm(host, due),
        }
    }

    /// The tenure that the process on this host holds.
    fn held(&self, host: usize) -> Option<Tenure> {
        self.hosts[host].process.as_ref()?.machine.held().map(|held| self.tenure(&held))
    }

    /// Calls the machine and carries out what it says.
    fn call(&mut self, host: usize, input: Input) {
        let local = self.hosts[host].clock.read(self.now);
        let Some(process) = &mut self.hosts[host].process else { return };
        let id = process.id;
        let mut outputs = std::mem::take(&mut self.outputs);
        process.machine.handle(local, input);
        while let Some(output) = process.machine.poll() {
            outputs.push(output);
        }
        let due = process.machine.poll_timeout();
        for output in outputs.drain(..) {
            self.perform(host, id, output);
        }
        self.outputs = outputs;
        self.arm(host, due);
        if let Some(process) = &self.hosts[host].process {
            let ttl = self.plan.candidates[host].timing.ttl();
            let verdict = process.keys.iter().try_for_each(|key| key.grants.check(local, ttl));
            self.judge(grants_are_used_or_released::NAME, verdict);
        }
    }

    /// What an answer tells a process, before its machine is told.
    fn note_answer(
        &mut self,
        host: usize,
        id: RequestId,
        answer: &Answer,
        slot: Option<usize>,
        tenure: Option<Tenure>,
    ) {
        let local = self.hosts[host].clock.read(self.now);
        let Some(process) = &mut self.hosts[host].process else { return };
        if let Answer::Listed(records) = answer {
            for record in records {
                let slot = self.leases.iter().position(|lease| lease.key == record.key);
                if let (Some(slot), Some(term)) = (slot, record.term) {
                    process.keys[slot].grants.saw(term);
                }
            }
        }
        let Some(grants) = slot.map(|slot| &mut process.keys[slot].grants) else { return };
        match (answer, tenure) {
            (Answer::Claimed(Claimed::Granted { .. }), Some(Tenure { nonce, term, .. })) => {
                grants.saw(term);
                grants.granted(local, id, nonce, term);
            }
            (Answer::Claimed(Claimed::Held { term: Some(term), .. }), _) => grants.saw(*term),
            (Answer::Observed(Some(LeaseRecord { term: Some(term), .. })), _) => grants.saw(*term),
            _ => {}
        }
    }

    fn arm(&mut self, host: usize, due: Option<Time>) {
        let Some(due) = due else { return };
        let at = self.hosts[host].clock.when(due, self.now);
        // A mutant may want to be called at once for ever; time must go on.
        let at = if at == self.now { at + MS / 10 } else { at };
        let Some(process) = &mut self.hosts[host].process else { return };
        if at < process.armed {
            process.armed = at;
            let event = Event::Machine { host, process: process.id, what: ForMachine::Timer(at) };
            self.queue.push(at, event);
        }
    }

    fn perform(&mut self, host: usize, process: u64, output: SlotsOutput) {
        match output {
            SlotsOutput::Send(id, request) => {
                if self.trace.wanted() {
                    self.trace.line(self.now, Name(host), format_args!("-> {} {}", id.0, Short(&request)));
                }
                self.note_request(host, id, &request);
                self.send(host, process, id, request);
            }
            SlotsOutput::Work(slot, order) => {
                if self.trace.wanted() {
                    self.trace.line(self.now, Name(host), format_args!("work{}: {order:?}", self.slot_name(slot)));
                }
                match order {
                    Order::Start { term, nonce, deadline, .. } => {
                        self.start_work(host, process, Tenure { slot, nonce, term }, deadline);
                    }
                    Order::Extend { deadline } => self.extend_work(process, slot, deadline),
                    Order::Stop { .. } => self.stop_work(host, process, slot),
                    Order::Kill { .. } => self.kill_work(process, slot),
                }
            }
            SlotsOutput::Event(slot, told) => {
                if self.trace.wanted() && !matches!(told, Told::StoreFailed { .. } | Told::Renewed) {
                    self.trace.line(self.now, Name(host), format_args!("event: {told:?}"));
                }
                self.told(host, process, slot.unwrap_or(0), &told);
            }
        }
    }

    /// The slot, where there are several, for traces.
    fn slot_name(&self, slot: usize) -> String {
        if self.leases.len() > 1 { format!(" under slot {slot}") } else { String::new() }
    }

    fn told(&mut self, host: usize, process: u64, slot: usize, told: &Told) {
        match told {
            Told::BecameLeader { term } => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.keys[slot].announced = Some(*term);
                }
            }
            Told::LostLeadership { .. } => {
                let mut latest = self.workers.iter().rev();
                let last = latest.find(|worker| (worker.process, worker.slot) == (process, slot));
                let verdict = events_in_order::lost(last);
                self.judge(events_in_order::NAME, verdict);
                // A program that wants to lead again campaigns again.
                let again = self.rng.below(500 * MS);
                self.tell(host, again, Input::Campaign);
            }
            _ => {}
        }
    }

    fn note_request(&mut self, host: usize, id: RequestId, request: &Request) {
        let (now, retry) = (self.now, nanos(self.plan.candidates[host].timing.retry_interval()));
        let local = self.hosts[host].clock.read(now);
        let slot = self.asked_for(request).unwrap_or(0);
        let Some(process) = &mut self.hosts[host].process else { return };
        match request {
            Request::Acquire(claim) => {
                process.claimed_at = now;
                process.keys[slot].grants.claims(id, claim.nonce);
                let verdict = process.keys[slot].leaves.claims(local, self.leases[slot].granted);
                self.judge(leaves_the_key::NAME, verdict);
            }
            Request::Release(held) => {
                process.keys[slot].grants.settled(held.term);
                if self.plan.candidates[host].leaves {
                    let verdict = left_runs_out::check(self.tenure(held), &self.workers);
                    self.judge(left_runs_out::NAME, verdict);
                }
            }
            Request::List { .. } => process.claimed_at = now,
            Request::Renew(_) | Request::Observe(_) => {}
        }
        let Some(process) = &mut self.hosts[host].process else { return };
        let verdict = process.requests.sent(now, retry);
        self.judge(requests_are_bounded::NAME, verdict);
    }

    /// Hands a request to the network.
    pub(super) fn send(&mut self, host: usize, process: u64, id: RequestId, request: Request) {
        if let Request::Release(held) = &request {
            self.check_release(held);
        }
        if self.records.is_some() {
            return self.ask_records(host, process, id, Wanted::Request(request));
        }
        if self.hosts[host].cut_out > 0 {
            return;
        }
        let faulty = self.faulty();
        let [first, second] = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
        if let Some(after) = second {
            let op = Op::new(request.clone());
            self.queue.push(self.now + after, Event::AtStore { host, process, id, op });
        }
        if let Some(after) = first {
            self.queue.push(self.now + after, Event::AtStore { host, process, id, op: Op::new(request) });
        }
    }

    /// Delivers a hint, unless none are delivered.
    pub(super) fn hint(&mut self, host: usize, after: Nanos) {
        if self.wakes {
            self.tell(host, after, Input::Wake);
        }
    }
}

/// The elector of the only key.
fn only_elector(config: SlotsConfig) -> ElectorConfig {
    let SlotsConfig { keys, holder, process, timing, hold, note, leave_lease, hints, seed } = config;
    ElectorConfig { key: keys.lease().clone(), holder, process, timing, hold, note, leave_lease, hints, seed }
}

/// A request on one short line.
struct Short<'a>(&'a Request);

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Request::Acquire(claim) => write!(f, "acquire {} {:?} above {:?}", claim.key, claim.nonce, claim.above),
            Request::Renew(held) => write!(f, "renew {} {:?} {}", held.key, held.nonce, held.term),
            Request::Release(held) => write!(f, "release {} {:?} {}", held.key, held.nonce, held.term),
            Request::Observe(key) => write!(f, "observe {key}"),
            Request::List { .. } => f.write_str("list"),
        }
    }
}
