//! The parts of mutants, put together without a bug: what is caught with them would be the parts' own fault.

use tenure_core::{Request, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, PlainStore, Twist};
use crate::store::{Op, Step, Store, StoreTime};

pub(super) struct Innocent;

impl Mutant for Innocent {
    fn name(&self) -> &'static str {
        "innocent"
    }

    fn bug(&self) -> &'static str {
        "none: the mutants' parts without a bug"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Nothing)
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(Right(PlainStore::new()))
    }
}

struct Nothing;

impl Twist for Nothing {}

struct Right(PlainStore);

impl Store for Right {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let store = &mut self.0;
        let Request::Acquire(claim) = &op.request else { return Step::Answer(store.other(at.now, &op.request)) };
        match store.current(at.now) {
            Some(record) if record.nonce != claim.nonce => Step::Answer(store.held_by(at.now)),
            Some(record) => {
                let (grant, term) = (record.grant, record.term);
                if let Some(record) = &mut store.record {
                    record.expires = at.now + claim.ttl;
                }
                Step::Answer(store.granted(grant, term))
            }
            None => {
                let term = store.mint(at.micros);
                let grant = store.write(at.now, claim, term);
                Step::Answer(store.granted(grant, term))
            }
        }
    }

    fn forget(&mut self) {
        self.0.record = None;
    }

    fn last_grant(&self) -> u64 {
        self.0.answered
    }
}
