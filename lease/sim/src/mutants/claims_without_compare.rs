//! Claims and renewals are a read, then a write that compares nothing. As in kube-leader-election: a merge patch without
//! a resource version.

use tenure_core::{Answer, Renewed, Request};

use crate::mutant::Mutant;
use crate::parts::PlainStore;
use crate::store::{Op, Step, Store, StoreTime};

pub(super) struct ClaimsWithoutCompare;

impl Mutant for ClaimsWithoutCompare {
    fn name(&self) -> &'static str {
        "claims_without_compare"
    }

    fn bug(&self) -> &'static str {
        "claims and renewals are a read, then a write that compares nothing"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(WritesBlindly(PlainStore::new()))
    }
}

struct WritesBlindly(PlainStore);

impl Store for WritesBlindly {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let store = &mut self.0;
        let reads = op.stage == 0;
        match &op.request {
            Request::Acquire(claim) => {
                if reads && store.current(at.now).is_some_and(|record| record.nonce != claim.nonce) {
                    return Step::Answer(store.held_by(at.now));
                }
                if reads {
                    let after = store.between_calls();
                    return Step::Later(after, Op { stage: 1, ..op });
                }
                let known = store.record.as_ref().filter(|record| record.nonce == claim.nonce).and_then(|r| r.term);
                let term = known.or_else(|| store.mint(at.micros));
                let grant = store.write(at.now, claim, term);
                Step::Answer(store.granted(grant, term))
            }
            Request::Renew(held) => {
                let ours = store.current(at.now).is_some_and(|record| record.nonce == held.nonce);
                if reads && ours {
                    let after = store.between_calls();
                    return Step::Later(after, Op { stage: 1, ..op });
                }
                if reads {
                    return Step::Answer(store.other(at.now, &op.request));
                }
                if let Some(record) = &mut store.record {
                    (record.nonce, record.term) = (held.nonce, Some(held.term));
                    record.expires = at.now + held.ttl;
                }
                Step::Answer(Answer::Renewed(Renewed::Extended { resign_requested: false }))
            }
            _ => Step::Answer(store.other(at.now, &op.request)),
        }
    }

    fn forget(&mut self) {
        self.0.record = None;
    }

    fn last_grant(&self) -> u64 {
        self.0.answered
    }
}
