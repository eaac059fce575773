//! The behaviour of slots, output by output. All tests go through [`Harness`], so that the face can move.
//!
//! With the default ttl of 15 s: validity 13 s, retry 2 s, request timeout 3 s (6 s for a list), jitter up to 250 ms.

mod endings;
mod hints;
mod one;
mod robustness;
mod searches;
mod tries;

use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::{
    Answer, Claimed, Event, Failure, HolderId, Input, LeaseKey, LeaseRecord, LossReason, Nonce, NotElected, Note,
    Order, RecordFormat, Released, Renewed, Request, RequestId, Standing, Term, Time, TimingOptions,
};

const PROCESS: u64 = 7;

/// Slots and their clock, in milliseconds. Requests are named by what they are about: the latest one is answered.
struct Harness {
    slots: Slots,
    sent: Vec<(RequestId, Request)>,
}

impl Harness {
    fn new(count: u32) -> Self {
        Self::with(count, TimingOptions::default())
    }

    fn with(count: u32, options: TimingOptions) -> Self {
        Harness { slots: Slots::new(Self::config(count, options)), sent: Vec::new() }
    }

    fn without_hints(count: u32) -> Self {
        let config = SlotsConfig { hints: false, ..Self::config(count, TimingOptions::default()) };
        Harness { slots: Slots::new(config), sent: Vec::new() }
    }

    fn config(count: u32, options: TimingOptions) -> SlotsConfig {
        let lease = LeaseKey::new("k").unwrap();
        SlotsConfig {
            keys: if count == 1 { SlotKeys::one(lease) } else { SlotKeys::numbered(lease, count).unwrap() },
            holder: holder("me"),
            process: PROCESS,
            timing: options.resolve().unwrap(),
            hold: Duration::ZERO,
            note: Note::default(),
            leave_lease: false,
            hints: true,
            seed: seed_that_begins_with_the_first_slot(count),
        }
    }

    /// Hands in one input, and gives back in words all that came out.
    fn at(&mut self, ms: u64, input: Input) -> Vec<Told> {
        self.slots.handle(Time::from_millis(ms), input);
        let outputs: Vec<SlotsOutput> = core::iter::from_fn(|| self.slots.poll()).collect();
        if let Some(due) = self.slots.poll_timeout() {
            assert!(due > Time::from_millis(ms), "due at {due:?}, which has passed at {ms} ms");
        }
        outputs.into_iter().map(|output| self.note(output)).collect()
    }

    fn note(&mut self, output: SlotsOutput) -> Told {
        match output {
            SlotsOutput::Send(id, request) => {
                assert!(self.sent.iter().all(|(other, _)| *other != id), "{id:?} was used before");
                self.sent.push((id, request.clone()));
                match request {
                    Request::Acquire(claim) => Told::Claim(self.slot(&claim.key)),
                    Request::Renew(held) => Told::Renew(self.slot(&held.key)),
                    Request::Release(held) => Told::Release(self.slot(&held.key)),
                    Request::Observe(key) => Told::Observe(self.slot(&key)),
                    Request::List { .. } => Told::List,
                }
            }
            SlotsOutput::Work(slot, Order::Start { .. }) => Told::Start(slot),
            SlotsOutput::Work(slot, Order::Extend { .. }) => Told::Extend(slot),
            SlotsOutput::Work(slot, Order::Stop { .. }) => Told::Stop(slot),
            SlotsOutput::Work(slot, Order::Kill { .. }) => Told::Kill(slot),
            SlotsOutput::Event(slot, event) => Told::Event(slot, event),
        }
    }

    fn slot(&self, key: &LeaseKey) -> usize {
        self.slots.keys().all().iter().position(|slot| slot == key).unwrap()
    }

    /// Answers the latest request.
    fn answer(&mut self, ms: u64, answer: Answer) -> Vec<Told> {
        let id = self.sent.last().unwrap().0;
        self.at(ms, Input::Answer(id, answer))
    }

    /// Answers the latest request, a list: these slots are held, for so long.
    fn listed(&mut self, ms: u64, held: &[(usize, u64)]) -> Vec<Told> {
        let records = held.iter().map(|(slot, remaining)| self.record(*slot, 8, *remaining)).collect();
        self.answer(ms, Answer::Listed(records))
    }

    fn record(&self, slot: usize, process: u64, remaining_ms: u64) -> LeaseRecord {
        LeaseRecord {
            nonce: Some(Nonce { process, campaign: 1 }),
            term: Some(term(20)),
            ttl: Some(Duration::from_secs(15)),
            remaining: Some(Duration::from_millis(remaining_ms)),
            ..LeaseRecord::new(self.slots.keys().all()[slot].clone(), holder("other"), RecordFormat::Tenure(1))
        }
    }

    fn granted(&mut self, ms: u64, of: u64) -> Vec<Told> {
        self.answer(ms, Answer::Claimed(Claimed::Granted { term: term(of), last_note: None }))
    }

    fn held(&mut self, ms: u64, remaining_ms: u64) -> Vec<Told> {
        let remaining = Some(Duration::from_millis(remaining_ms));
        self.answer(
            ms,
            Answer::Claimed(Claimed::Held { by: holder("other"), term: Some(term(20)), remaining, bound: None }),
        )
    }

    fn failed(&mut self, ms: u64) -> Vec<Told> {
        self.answer(ms, Answer::Failed(Failure { outcome_unknown: false, message: "cut".to_string() }))
    }

    fn due_ms(&self) -> Option<u64> {
        self.slots.poll_timeout().map(|due| due.as_nanos().div_ceil(1_000_000))
    }

    /// Waits for whatever is due next.
    fn next(&mut self) -> (u64, Vec<Told>) {
        let due = self.due_ms().unwrap();
        (due, self.at(due, Input::Timeout))
    }

    /// Slots of which this candidate has held slot 0 since 0 ms, under term 30.
    fn leader(count: u32) -> Self {
        let mut h = Self::new(count);
        h.at(0, Input::Campaign);
        h.listed(0, &[]);
        assert!(h.granted(0, 30).contains(&Told::Start(0)));
        h
    }
}

/// An output in a word.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    List,
    Claim(usize),
    Renew(usize),
    Release(usize),
    Observe(usize),
    Start(usize),
    Extend(usize),
    Stop(usize),
    Kill(usize),
    Event(Option<usize>, Event),
}

/// Seeds say where the search begins; most tests want it to begin with slot 0.
fn seed_that_begins_with_the_first_slot(count: u32) -> u64 {
    (0..).find(|seed| crate::jitter::Jitter::new(*seed).below(count as usize) == 0).unwrap()
}

fn holder(name: &str) -> HolderId {
    HolderId::new(name).unwrap()
}

fn term(n: u64) -> Term {
    Term::new(n).unwrap()
}

fn started() -> Told {
    Told::Event(None, Event::LeaderElectionStarted)
}

fn none_free() -> Told {
    Told::Event(None, Event::NoSlotFree)
}

fn not_elected(why: NotElected) -> Told {
    Told::Event(None, Event::NotElected(why))
}

fn store_failed(slot: Option<usize>, verb: &'static str) -> Told {
    Told::Event(slot, Event::StoreFailed { verb, message: "cut".to_string(), outcome_unknown: false })
}

fn held_by_other(slot: usize) -> Told {
    let leader = Some(holder("other"));
    Told::Event(Some(slot), Event::LeaderChanged { leader, term: Some(term(20)), is_self: false })
}

fn nobody_leads(slot: usize) -> Told {
    Told::Event(Some(slot), Event::LeaderChanged { leader: None, term: None, is_self: false })
}
