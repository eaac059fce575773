//! The elector's behaviour, output by output. All tests go through [`Harness`], so that the face can move.
//!
//! With the default ttl of 15 s: renew 5 s, validity 13 s, stop timeout 5 s, kill lead 500 ms, retry 2 s, request
//! timeout 3 s, jitter up to 250 ms.

mod campaigns;
mod endings;
mod handovers;
mod late_answers;
mod orphans;
mod renewals;
mod robustness;
mod tries;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::{Claimed, LeaseKey, NotElected, Note, Released, Renewed, Timing, TimingOptions};

const PROCESS: u64 = 7;

/// An elector and its clock, in milliseconds.
struct Harness {
    elector: Elector,
}

impl Harness {
    fn new() -> Self {
        Self::with(TimingOptions::default())
    }

    fn with(options: TimingOptions) -> Self {
        Harness { elector: Elector::new(Self::config(options)) }
    }

    fn config(options: TimingOptions) -> ElectorConfig {
        ElectorConfig {
            key: LeaseKey::new("key").unwrap(),
            holder: holder("me"),
            process: PROCESS,
            timing: options.resolve().unwrap(),
            hold: Duration::from_secs(40),
            note: Note::default(),
            leave_lease: false,
            hints: true,
            seed: 1,
        }
    }

    fn timing(&self) -> Timing {
        self.elector.config.timing
    }

    /// Hands in one input, and gives back all that came out.
    fn at(&mut self, ms: u64, input: Input) -> Vec<Output> {
        self.elector.handle(Time::from_millis(ms), input);
        let outputs: Vec<Output> = core::iter::from_fn(|| self.elector.poll()).collect();
        assert!(outputs.len() <= 6, "{outputs:?}");
        if let Some(due) = self.elector.poll_timeout() {
            assert!(due > Time::from_millis(ms), "due at {due:?}, which has passed at {ms} ms");
        }
        outputs
    }

    fn answer(&mut self, ms: u64, id: u64, answer: Answer) -> Vec<Output> {
        self.at(ms, Input::Answer(RequestId(id), answer))
    }

    fn granted(&mut self, ms: u64, id: u64, term: u64) -> Vec<Output> {
        self.answer(ms, id, Answer::Claimed(Claimed::Granted { term: super::tests::term(term), last_note: None }))
    }

    fn held_by(&mut self, ms: u64, id: u64, by: &str, term: u64, remaining_ms: u64) -> Vec<Output> {
        let remaining = Some(Duration::from_millis(remaining_ms));
        let claimed = Claimed::Held { by: holder(by), term: Some(super::tests::term(term)), remaining, bound: None };
        self.answer(ms, id, Answer::Claimed(claimed))
    }

    fn extended(&mut self, ms: u64, id: u64) -> Vec<Output> {
        self.answer(ms, id, Answer::Renewed(Renewed::Extended { resign_requested: false }))
    }

    /// A renewal's answer that tells of a request to resign.
    fn asked(&mut self, ms: u64, id: u64) -> Vec<Output> {
        self.answer(ms, id, Answer::Renewed(Renewed::Extended { resign_requested: true }))
    }

    fn lost(&mut self, ms: u64, id: u64, to: Option<&str>) -> Vec<Output> {
        self.answer(ms, id, Answer::Renewed(Renewed::Lost { to: to.map(holder) }))
    }

    fn freed(&mut self, ms: u64, id: u64) -> Vec<Output> {
        self.answer(ms, id, Answer::Released(Released::Freed))
    }

    fn failed(&mut self, ms: u64, id: u64) -> Vec<Output> {
        self.answer(ms, id, Answer::Failed(Failure { outcome_unknown: true, message: "cut".to_string() }))
    }

    /// A leader since 0 ms under nonce 1 and term 10; its first renewal will be request 2.
    fn leader() -> Self {
        Self::leader_with(TimingOptions::default())
    }

    fn leader_with(options: TimingOptions) -> Self {
        Self::with(options).leading()
    }

    /// A leader as [`Harness::leader`], which leaves its lease to run out.
    fn leader_that_leaves() -> Self {
        let config = ElectorConfig { leave_lease: true, ..Self::config(TimingOptions::default()) };
        Harness { elector: Elector::new(config) }.leading()
    }

    fn leading(self) -> Self {
        let mut h = self;
        h.at(0, Input::Campaign);
        h.granted(0, 1, 10);
        assert_eq!(h.standing_term(), Some(term(10)));
        h
    }

    fn standing_term(&self) -> Option<Term> {
        match self.elector.standing() {
            Standing::Leader { term, .. } => Some(term),
            _ => None,
        }
    }

    fn due_ms(&self) -> Option<u64> {
        self.elector.poll_timeout().map(|due| due.as_nanos() / 1_000_000)
    }

    fn is_current(&self, ms: u64) -> bool {
        self.elector.is_current(Time::from_millis(ms))
    }
}

fn holder(name: &str) -> HolderId {
    HolderId::new(name).unwrap()
}

fn term(n: u64) -> Term {
    Term::new(n).unwrap()
}

fn nonce(campaign: u64) -> Nonce {
    Nonce { process: PROCESS, campaign }
}

fn ms(ms: u64) -> Time {
    Time::from_millis(ms)
}

fn acquire(id: u64, campaign: u64, above: Option<u64>) -> Output {
    Output::Send(
        RequestId(id),
        Request::Acquire(crate::Claim {
            hold: Duration::from_secs(40),
            above: above.map(term),
            ..crate::Claim::new(LeaseKey::new("key").unwrap(), holder("me"), nonce(campaign), Duration::from_secs(15))
        }),
    )
}

fn held(campaign: u64, of: u64, note: &str) -> Held {
    Held {
        key: LeaseKey::new("key").unwrap(),
        nonce: nonce(campaign),
        term: term(of),
        ttl: Duration::from_secs(15),
        note: Note::new(note).unwrap(),
    }
}

fn renew(id: u64, campaign: u64, of: u64) -> Output {
    Output::Send(RequestId(id), Request::Renew(held(campaign, of, "")))
}

fn release(id: u64, campaign: u64, of: u64) -> Output {
    Output::Send(RequestId(id), Request::Release(held(campaign, of, "")))
}

fn observe(id: u64) -> Output {
    Output::Send(RequestId(id), Request::Observe(LeaseKey::new("key").unwrap()))
}

fn started() -> Output {
    Output::Event(Event::LeaderElectionStarted)
}

fn store_failed(verb: &'static str, message: &str) -> Output {
    Output::Event(Event::StoreFailed { verb, message: String::from(message), outcome_unknown: true })
}

fn leader_changed(leader: &str, of: u64) -> Output {
    Output::Event(Event::LeaderChanged { leader: Some(holder(leader)), term: Some(term(of)), is_self: false })
}

fn no_leader() -> Output {
    Output::Event(Event::LeaderChanged { leader: None, term: None, is_self: false })
}

fn start(campaign: u64, of: u64, deadline_ms: u64) -> Output {
    Output::Work(Order::Start { term: term(of), nonce: nonce(campaign), last_note: None, deadline: ms(deadline_ms) })
}

/// What a grant gives out.
fn leads(campaign: u64, of: u64, deadline_ms: u64) -> Vec<Output> {
    alloc::vec![
        Output::Event(Event::BecameLeader { term: term(of) }),
        Output::Event(Event::LeaderChanged { leader: Some(holder("me")), term: Some(term(of)), is_self: true }),
        start(campaign, of, deadline_ms),
    ]
}

fn extend(deadline_ms: u64) -> Vec<Output> {
    alloc::vec![Output::Work(Order::Extend { deadline: ms(deadline_ms) }), Output::Event(Event::Renewed)]
}

fn loss(reason: LossReason, led_for_ms: u64) -> Output {
    Output::Event(Event::LostLeadership { reason, led_for: Duration::from_millis(led_for_ms) })
}

fn stop(reason: LossReason, kill_at_ms: u64, led_for_ms: u64) -> Vec<Output> {
    alloc::vec![Output::Work(Order::Stop { reason: reason.clone(), kill_at: ms(kill_at_ms) }), loss(reason, led_for_ms),]
}

fn kill(reason: LossReason) -> Output {
    Output::Work(Order::Kill { reason })
}
