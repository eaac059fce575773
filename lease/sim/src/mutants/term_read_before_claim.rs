//! The term is minted by a first call, before the claim: read the counter, add one, claim with that. Two claimants that read
//! the same number lead under the same term, one after the other.
//!
//! It stands for the obvious way to number tenures in a store that has no scripts.

use tenure_core::{Request, Term};

use crate::mutant::Mutant;
use crate::parts::plain_store::{self, Table};
use crate::store::{Op, Step, StoreTime};

pub(super) const MUTANT: Mutant = Mutant {
    name: "term_read_before_claim",
    bug: "the term is minted by a first call, before the claim",
    store: || plain_store::with(step),
    ..Mutant::HONEST
};

fn step(table: &mut Table, at: StoreTime, op: Op) -> Step {
    let Request::Acquire(claim) = &op.request else { return table.step(at, op) };
    if op.stage == 0 {
        let next = (table.counter + 1).max(at.micros);
        return Step::Later(table.between_calls(), Op { stage: 1, carry: next, ..op });
    }
    Step::Answer(table.acquire_under(at, claim, |table| {
        table.counter = table.counter.max(op.carry);
        Term::new(op.carry)
    }))
}
