//! The term is minted by a second call, before the claim: read the counter, add one, claim with that. Two claimants
//! that read the same number lead under the same term, one after the other.

use tenure_core::{Request, Term};

use crate::mutant::Mutant;
use crate::parts::PlainStore;
use crate::store::{Op, Step, Store, StoreTime};

pub(super) struct TermReadBeforeClaim;

impl Mutant for TermReadBeforeClaim {
    fn name(&self) -> &'static str {
        "term_read_before_claim"
    }

    fn bug(&self) -> &'static str {
        "the term is minted by a second call, before the claim"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(ReadsFirst(PlainStore::new()))
    }
}

struct ReadsFirst(PlainStore);

impl Store for ReadsFirst {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let store = &mut self.0;
        let Request::Acquire(claim) = &op.request else { return Step::Answer(store.other(at.now, &op.request)) };
        if op.stage == 0 {
            let next = (store.counter + 1).max(at.micros);
            let after = store.between_calls();
            return Step::Later(after, Op { stage: 1, carry: next, ..op });
        }
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
                let term = Term::new(op.carry);
                store.counter = store.counter.max(op.carry);
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
