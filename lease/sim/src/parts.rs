//! What mutants are made of: a frame around an elector, and a store that is simple enough to get wrong.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_core::{
    Answer, Claim, Claimed, Held, HolderId, Input, LeaseRecord, Nonce, Note, Output, RecordFormat, Released, Renewed,
    Request, Standing, Term, Time,
};

use crate::face::Face;
use crate::rng::Rng;
use crate::true_time::{MS, Nanos, SECOND};

/// What a mutant changes about an elector.
pub(crate) trait Twist {
    /// Something happens to the elector: by default it is told.
    fn input(&mut self, now: Time, input: Input, frame: &mut Inner) {
        frame.handle(now, input);
    }

    /// The elector wants something done: by default it is.
    fn output(&mut self, now: Time, output: Output, frame: &mut Inner) {
        let _ = now;
        frame.out.push_back(output);
    }
}

/// An elector with something before it.
pub(crate) struct Frame<T> {
    twist: T,
    inner: Inner,
}

/// The elector in a frame, and what leaves the frame.
pub(crate) struct Inner {
    elector: Box<dyn Face>,
    /// What the world gets to see.
    pub(crate) out: VecDeque<Output>,
}

impl Inner {
    /// What the elector holds.
    pub(crate) fn held(&self) -> Option<Held> {
        self.elector.held()
    }

    /// Tells the elector.
    pub(crate) fn handle(&mut self, now: Time, input: Input) {
        self.elector.handle(now, input);
    }
}

impl<T: Twist + 'static> Frame<T> {
    pub(crate) fn around(elector: Box<dyn Face>, twist: T) -> Box<dyn Face> {
        Box::new(Frame { twist, inner: Inner { elector, out: VecDeque::new() } })
    }
}

impl<T: Twist> Face for Frame<T> {
    fn handle(&mut self, now: Time, input: Input) {
        self.twist.input(now, input, &mut self.inner);
        // What the twist tells the elector in reply to an output makes more outputs.
        while let Some(output) = self.inner.elector.poll() {
            self.twist.output(now, output, &mut self.inner);
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.inner.out.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.inner.elector.poll_timeout()
    }

    fn is_current(&self, now: Time) -> bool {
        self.inner.elector.is_current(now)
    }

    fn held(&self) -> Option<Held> {
        self.inner.elector.held()
    }

    fn standing(&self) -> Standing {
        self.inner.elector.standing()
    }
}

/// One record, and a counter beside it.
#[derive(Debug)]
pub(crate) struct PlainStore {
    pub(crate) record: Option<Record>,
    /// The highest term given out.
    pub(crate) counter: u64,
    /// How often the record changed hands.
    pub(crate) grants: u64,
    /// The tenure that the last answer belongs to.
    pub(crate) answered: u64,
    pub(crate) rng: Rng,
}

/// What [`PlainStore`] keeps.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) holder: HolderId,
    pub(crate) nonce: Nonce,
    pub(crate) term: Option<Term>,
    pub(crate) expires: Time,
    pub(crate) grant: u64,
}

impl PlainStore {
    pub(crate) fn new() -> Self {
        PlainStore { record: None, counter: 0, grants: 0, answered: 0, rng: Rng::new(1, 99) }
    }

    /// The record, unless it has expired.
    pub(crate) fn current(&self, now: Time) -> Option<&Record> {
        self.record.as_ref().filter(|record| now < record.expires)
    }

    /// Writes the claimant into the record, whatever was there.
    pub(crate) fn write(&mut self, now: Time, claim: &Claim, term: Option<Term>) -> u64 {
        self.grants += 1;
        let (holder, nonce) = (claim.holder.clone(), claim.nonce);
        self.record = Some(Record { holder, nonce, term, expires: now + claim.ttl, grant: self.grants });
        self.grants
    }

    /// The next term.
    pub(crate) fn mint(&mut self, micros: u64) -> Option<Term> {
        self.counter = (self.counter + 1).max(micros);
        Term::new(self.counter)
    }

    /// "Held", as far as it is.
    pub(crate) fn held_by(&self, now: Time) -> Answer {
        Answer::Claimed(match &self.record {
            Some(record) => Claimed::Held {
                by: record.holder.clone(),
                term: record.term,
                remaining: Some(record.expires.since(now)),
            },
            None => Claimed::Held {
                by: HolderId::new("nobody").unwrap_or_else(|_| unreachable!()),
                term: None,
                remaining: Some(Duration::ZERO),
            },
        })
    }

    pub(crate) fn granted(&mut self, grant: u64, term: Option<Term>) -> Answer {
        self.answered = grant;
        match term {
            Some(term) => Answer::Claimed(Claimed::Granted { term, last_note: None }),
            None => Answer::Failed(tenure_core::Failure { outcome_unknown: true, message: "no term".into() }),
        }
    }

    /// Everything but claims, done right as far as the nonce goes.
    pub(crate) fn other(&mut self, now: Time, request: &Request) -> Answer {
        let to = self.current(now).map(|record| record.holder.clone());
        match request {
            Request::Renew(held) => Answer::Renewed(match &mut self.record {
                Some(record) if record.nonce == held.nonce && now < record.expires => {
                    record.expires = now + held.ttl;
                    Renewed::Extended { resign_requested: false }
                }
                _ => Renewed::Lost { to },
            }),
            Request::Release(held) => {
                let ours = self.record.as_ref().is_some_and(|record| record.nonce == held.nonce);
                if ours {
                    self.record = None;
                }
                Answer::Released(if ours { Released::Freed } else { Released::NotHeld })
            }
            Request::Observe(key) => Answer::Observed(self.current(now).map(|record| LeaseRecord {
                key: key.clone(),
                holder: record.holder.clone(),
                nonce: Some(record.nonce),
                term: record.term,
                ttl: None,
                remaining: Some(record.expires.since(now)),
                note: Note::default(),
                format: RecordFormat::Tenure(1),
            })),
            Request::Acquire(_) => self.held_by(now),
        }
    }

    /// The time between two calls of one client: mostly a round trip, now and then a pause of the client.
    pub(crate) fn between_calls(&mut self) -> Nanos {
        if self.rng.chance(60) { self.rng.range(SECOND, 8 * SECOND) } else { self.rng.range(MS / 2, 20 * MS) }
    }
}
