//! A repeated claim is granted, but does not extend the lease that the first one got: the holder's deadline counts from the
//! retry, the lease from the first claim.
//!
//! It stands for `SET NX PX` followed by "is the value mine?", a common way to make a lock in Redis repeatable.

use tenure_core::{Answer, Claimed, Request};
use tenure_store::Occupant;

use crate::mutant::Mutant;
use crate::parts::store_frame::{self, StoreTwist};
use crate::store::{Op, Step, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) const MUTANT: Mutant = Mutant {
    name: "retry_does_not_extend",
    bug: "the deadline of a retried claim counts from the retry, its lease from the first",
    store: || store_frame::twisted(AnswersOnly),
    ..Mutant::HONEST
};

struct AnswersOnly;

impl StoreTwist for AnswersOnly {
    fn step(&mut self, at: StoreTime, op: Op, model: &mut StoreModel) -> Step {
        if let Request::Acquire(claim) = &op.request
            && let Some(slot) = model.table.slot(&claim.key)
            && let (Occupant::Tenure(tenure), Some(term)) = (&slot.tenure, slot.term)
            && tenure.nonce == claim.nonce
            && !tenure.is_over(at.now)
        {
            let last_note = slot.previous_note.clone();
            return Step::Answer(Answer::Claimed(Claimed::Granted { term, last_note }));
        }
        model.step(at, op)
    }
}
