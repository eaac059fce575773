//! A repeated claim is granted, but does not extend the lease that the first one got: the deadline counts from the retry,
//! the lease from the first.

use tenure_core::{Answer, Claimed, Request};
use tenure_store::Occupant;

use crate::mutant::Mutant;
use crate::store::{Op, Step, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) struct RetryDoesNotExtend;

impl Mutant for RetryDoesNotExtend {
    fn name(&self) -> &'static str {
        "retry_does_not_extend"
    }

    fn bug(&self) -> &'static str {
        "the deadline of a retried claim counts from the retry, its lease from the first"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(AnswersOnly(StoreModel::default()))
    }
}

struct AnswersOnly(StoreModel);

impl Store for AnswersOnly {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        if let Request::Acquire(claim) = &op.request
            && let Some(slot) = self.0.table.slot(&claim.key)
            && let (Occupant::Tenure(tenure), Some(term)) = (&slot.tenure, slot.term)
            && tenure.nonce == claim.nonce
            && at.now < tenure.expires
        {
            let last_note = slot.previous_note.clone();
            return Step::Answer(Answer::Claimed(Claimed::Granted { term, last_note }));
        }
        self.0.step(at, op)
    }

    fn forget(&mut self) {
        self.0.forget();
    }

    fn last_grant(&self) -> u64 {
        self.0.last_grant()
    }
}
