//! The world on a server of records: verbs are steps that processes take, and their reads and writes are the messages.

use std::rc::Rc;

use tenure_core::{Answer, Claimed, Failure, Input, Released, Renewed, Request, RequestId};
use tenure_records::{Content, Moment, Next, Occupancy, Swap, Told, Write};
use tenure_store::{StoreError, StoreErrorKind};

use super::clients::{Client, Verb};
use super::service::EPOCH_MICROS;
use super::state::{Name, World};
use crate::event::{Event, ForClient, ForMachine};
use crate::invariants::refused_claims_leave_nothing;
use crate::shell::{Call, Reply, Wanted};
use crate::store::StoreTime;
use crate::true_time::nanos;

impl World<'_> {
    /// A process begins that may ask the server.
    pub(super) fn begin_client(&mut self, host: usize, process: u64, is_lone: bool) {
        let Some(records) = &mut self.records else { return };
        let shell = (self.mutant.shell)(self.rng.next());
        records.clients.insert(process, Client::new(host, shell, is_lone));
    }

    /// A process has ended, and what it knew with it. What it has sent is under way.
    pub(super) fn end_client(&mut self, process: u64) {
        if let Some(records) = &mut self.records {
            records.clients.remove(&process);
        }
    }

    /// Begins a verb of a process; of one of its own where this one does not run.
    pub(super) fn ask_records(&mut self, host: usize, process: u64, id: RequestId, wanted: Wanted) {
        let runs = self.records.as_ref().is_some_and(|records| records.clients.contains_key(&process));
        let process = if runs {
            process
        } else {
            self.processes += 1;
            self.begin_client(host, self.processes, true);
            self.processes
        };
        let (at, until) = (self.moment(host), self.now + nanos(self.plan.candidates[host].timing.ttl()));
        let Some(records) = &mut self.records else { return };
        let verb = records.number();
        let Some(client) = records.clients.get_mut(&process) else { return };
        let ask = wanted.ask();
        client.verbs.insert(verb, Verb { id, wanted: Rc::new(wanted), until });
        match ask {
            Some(ask) => {
                let next = client.shell.begin(at, verb, ask);
                self.go_on(process, verb, next);
            }
            None => self.call_server(process, verb, Call::Scan),
        }
    }

    fn go_on(&mut self, process: u64, verb: u64, next: Next) {
        match next {
            Next::Read(place) => self.call_server(process, verb, Call::Read(place.key)),
            Next::Write(write) => self.call_server(process, verb, Call::Write(write)),
            Next::Done(told) => self.finish_verb(process, verb, told.map_or_else(|error| failed(&error), answer_of)),
        }
    }

    /// Hands a call to the network.
    fn call_server(&mut self, process: u64, verb: u64, call: Call) {
        let Some(records) = &mut self.records else { return };
        let number = records.number();
        let Some(client) = records.clients.get_mut(&process) else { return };
        let Some(Verb { wanted, until, .. }) = client.verbs.get(&verb) else { return };
        let (host, wanted) = (client.host, Rc::clone(wanted));
        let late = (self.now + self.plan.call_timeout).min(*until).max(self.now + 1);
        client.calls.insert(number, (verb, call.clone()));
        self.queue.push(late, Event::AtClient { process, what: ForClient::IsLate(number) });
        if self.trace.wanted() {
            self.trace.line(self.now, Name(host), format_args!("=> {number} {}", Short(&call)));
        }
        if self.hosts[host].cut_out > 0 {
            return;
        }
        let faulty = self.faulty();
        let arrivals = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
        for after in arrivals.into_iter().flatten() {
            let event =
                Event::AtServer { process, host, number, wanted: Rc::clone(&wanted), call: Box::new(call.clone()) };
            self.queue.push(self.now + after, event);
        }
    }

    /// A call reaches the server.
    pub(super) fn reach_server(&mut self, process: u64, host: usize, number: u64, wanted: &Wanted, call: &Call) {
        if self.store_down > 0 {
            // Refused connections are told at once, dead ones never.
            if self.rng.chance(500) {
                self.answer_call(process, host, number, call.failed(refused("the store is down")));
            }
            return;
        }
        let fails = self.faulty() && self.rng.chance(self.plan.store_fails);
        if fails && self.rng.chance(500) {
            let error = if self.rng.chance(500) { unknown("the store is busy") } else { refused("the store is busy") };
            return self.answer_call(process, host, number, call.failed(error));
        }
        let at = self.store_time();
        let Some(records) = &mut self.records else { return };
        let reply = match call {
            Call::Read(key) => Reply::Seen(Ok(records.server.read(at, key))),
            Call::Scan => Reply::Scanned(Ok(records.server.scan(at))),
            Call::Write(write) => {
                let swap = records.server.write(at, write);
                if self.trace.wanted() {
                    self.trace.line(self.now, "store", format_args!("{number} of c{host}: {}", Swapped(&swap)));
                }
                if matches!(swap, Swap::Done(_)) {
                    self.note_write(host, at, wanted, write);
                    self.tell_of_change(at, write);
                }
                Reply::Swapped(Ok(swap))
            }
        };
        // It was done, and the store does not live to say so properly.
        let reply = if fails { call.failed(unknown("the store broke off")) } else { reply };
        self.answer_call(process, host, number, reply);
    }

    /// What the invariants ask of a write that was done: it is the atomic step of the verb that it belongs to.
    fn note_write(&mut self, host: usize, at: StoreTime, wanted: &Wanted, write: &Write) {
        let (Wanted::Request(request), Some(Content::Lease(record))) = (wanted, &write.to) else { return };
        let answer = match (request, &record.occupancy) {
            (Request::Acquire(_), Occupancy::Tenure(_)) => {
                let Some(term) = record.term else { return };
                Answer::Claimed(Claimed::Granted { term, last_note: None })
            }
            (Request::Renew(_), Occupancy::Tenure(occupant)) => {
                Answer::Renewed(Renewed::Extended { resign_requested: occupant.resign_requested })
            }
            (Request::Release(held), Occupancy::Nobody) => {
                self.check_release(held);
                Answer::Released(Released::Freed)
            }
            _ => return,
        };
        let slot = self.slot(&write.place.key);
        self.note_step(host, slot, at, request, &answer);
    }

    /// Whoever follows hears of it, or does not.
    fn tell_of_change(&mut self, at: StoreTime, write: &Write) {
        let Some(records) = self.records.as_ref().filter(|_| self.wakes) else { return };
        let key = &write.place.key;
        let seen = records.server.read(at, key);
        let followers = records.clients.iter().filter(|(_, client)| !client.is_lone);
        let followers: Vec<(u64, usize)> = followers.map(|(process, client)| (*process, client.host)).collect();
        let faulty = self.faulty();
        for (process, host) in followers {
            if self.hosts[host].cut_in > 0 {
                continue;
            }
            let arrivals = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
            for after in arrivals.into_iter().flatten() {
                let what = ForClient::Change(Box::new((key.clone(), seen.clone())));
                self.queue.push(self.now + after, Event::AtClient { process, what });
            }
        }
    }

    fn answer_call(&mut self, process: u64, host: usize, number: u64, reply: Reply) {
        if self.hosts[host].cut_in > 0 {
            return;
        }
        let faulty = self.faulty();
        let arrivals = self.plan.network.arrivals(&mut self.rng, faulty, &mut self.counts);
        for after in arrivals.into_iter().flatten() {
            let what = ForClient::Reply(number, Box::new(reply.clone()));
            self.queue.push(self.now + after, Event::AtClient { process, what });
        }
    }

    /// Something reaches a process that asks the server.
    pub(super) fn reach_client(&mut self, process: u64, what: ForClient) {
        let Some(client) = self.records.as_ref().and_then(|records| records.clients.get(&process)) else { return };
        let (host, is_lone) = (client.host, client.is_lone);
        if self.hosts[host].suspended > 0 {
            return self.hosts[host].waiting.push(Event::AtClient { process, what });
        }
        if self.hosts[host].stalled > 0 && !is_lone {
            return self.hosts[host].waiting_loop.push(Event::AtClient { process, what });
        }
        let at = self.moment(host);
        match what {
            ForClient::Reply(number, reply) => {
                // Whoever waited for a call that is late has gone on without it.
                if let Some((verb, _)) = self.take_call(process, number) {
                    self.hand_in(process, verb, at, *reply);
                }
            }
            ForClient::IsLate(number) => {
                let Some((verb, call)) = self.take_call(process, number) else { return };
                if self.trace.wanted() {
                    self.trace.line(self.now, Name(host), format_args!("<= {number} is late"));
                }
                if self.gives_up(process, verb) {
                    let message = "the store did not answer".to_owned();
                    return self.finish_verb(process, verb, Answer::Failed(Failure { outcome_unknown: true, message }));
                }
                self.hand_in(process, verb, at, call.late());
            }
            ForClient::Change(change) => {
                let (key, seen) = *change;
                let Some(records) = &mut self.records else { return };
                let Some(client) = records.clients.get_mut(&process) else { return };
                if client.shell.heard(at, &key, seen) {
                    self.tell(host, 0, Input::Wake);
                }
            }
        }
    }

    fn take_call(&mut self, process: u64, number: u64) -> Option<(u64, Call)> {
        self.records.as_mut()?.clients.get_mut(&process)?.calls.remove(&number)
    }

    /// Whether whoever wanted the verb waits no longer: then it is dropped where it is, with its call under way.
    fn gives_up(&mut self, process: u64, verb: u64) -> bool {
        let now = self.now;
        let client = self.records.as_mut().and_then(|records| records.clients.get_mut(&process));
        let Some(client) = client else { return false };
        let over = client.verbs.get(&verb).is_some_and(|verb| verb.until <= now);
        if over {
            client.shell.dropped(verb);
        }
        over
    }

    fn hand_in(&mut self, process: u64, verb: u64, at: Moment, reply: Reply) {
        let client = self.records.as_mut().and_then(|records| records.clients.get_mut(&process));
        let Some(client) = client else { return };
        let next = match reply {
            Reply::Seen(seen) => client.shell.seen(at, verb, seen),
            Reply::Swapped(swap) => client.shell.swapped(at, verb, swap),
            Reply::Scanned(rows) => {
                let answer = match rows {
                    Ok(rows) => Answer::Listed(client.shell.listed(at, rows)),
                    Err(error) => failed(&StoreError::new(StoreErrorKind::Unavailable, error.to_string())),
                };
                return self.finish_verb(process, verb, answer);
            }
        };
        self.go_on(process, verb, next);
    }

    /// The verb is done; whoever wanted it is told at once.
    fn finish_verb(&mut self, process: u64, verb: u64, answer: Answer) {
        let Some(records) = &mut self.records else { return };
        let Some(client) = records.clients.get_mut(&process) else { return };
        let (host, is_lone) = (client.host, client.is_lone);
        let Some(Verb { id, wanted, .. }) = client.verbs.remove(&verb) else { return };
        if matches!(answer, Answer::Claimed(Claimed::Held { .. })) {
            let kept = records.server.kept();
            self.judge(
                refused_claims_leave_nothing::NAME,
                refused_claims_leave_nothing::check(self.leases.len(), kept),
            );
        }
        if is_lone {
            return self.end_client(process);
        }
        let Wanted::Request(request) = &*wanted else { return };
        let (slot, tenure) = (self.asked_for(request), self.told_tenure(request, &answer));
        let what = ForMachine::Answer { id, answer, slot, tenure };
        self.queue.push(self.now, Event::Machine { host, process, what });
    }

    /// Now, by the clocks of this host.
    fn moment(&self, host: usize) -> Moment {
        let wall = self.plan.candidates[host].wall_micros + self.wall_shifts[host];
        let wall_micros = (EPOCH_MICROS + self.now / 1_000).saturating_add_signed(wall);
        Moment { now: self.hosts[host].clock.read(self.now), wall_micros }
    }
}

fn answer_of(told: Told) -> Answer {
    match told {
        Told::Claimed(claimed) => Answer::Claimed(claimed),
        Told::Renewed(renewed) => Answer::Renewed(renewed),
        Told::Released(released) => Answer::Released(released),
        Told::Looked(record, _) => Answer::Observed(record),
        // Of operators, whom nobody asks for the answer.
        Told::ResignRequested(_) | Told::Removed(_) => Answer::Observed(None),
    }
}

fn failed(error: &StoreError) -> Answer {
    Answer::Failed(Failure { outcome_unknown: error.is_outcome_unknown(), message: error.to_string() })
}

fn refused(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message)
}

fn unknown(message: &str) -> StoreError {
    StoreError::new(StoreErrorKind::TimedOut, message)
}

/// A call on one short line.
struct Short<'a>(&'a Call);

impl std::fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let write = match self.0 {
            Call::Read(key) => return write!(f, "read {key}"),
            Call::Scan => return f.write_str("scan"),
            Call::Write(write) => write,
        };
        write!(f, "write {} at {:?}: ", write.place.key, write.expected)?;
        match &write.to {
            Some(Content::Lease(record)) => match &record.occupancy {
                Occupancy::Tenure(occupant) => {
                    write!(f, "{:?} {:?} for {:?}", occupant.nonce, record.term, occupant.ttl)
                }
                other => write!(f, "{other:?}"),
            },
            other => write!(f, "{other:?}"),
        }
    }
}

struct Swapped<'a>(&'a Swap);

impl std::fmt::Display for Swapped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Swap::Done(version) => write!(f, "done, {version:?}"),
            Swap::Conflict(found) => {
                write!(f, "conflict with {:?}", found.as_ref().and_then(|found| found.version.as_ref()))
            }
        }
    }
}
