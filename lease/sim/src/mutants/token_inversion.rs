//! The term is minted by a second operation, after the claim. A claimant that pauses between the two gets a higher term
//! than whoever claimed after it.
//!
//! Source: Excalibur on Redis, `SET NX PX`, then `INCR`.

use tenure_core::Request;

use crate::mutant::Mutant;
use crate::parts::plain_store::{self, Table};
use crate::store::{Op, Step, StoreTime};

pub(super) const MUTANT: Mutant = Mutant {
    name: "token_inversion",
    bug: "the term is minted by a second operation, after the claim",
    store: || plain_store::with(step),
    ..Mutant::HONEST
};

const MINT: u8 = 1;

fn step(table: &mut Table, at: StoreTime, op: Op) -> Step {
    let Request::Acquire(claim) = &op.request else { return table.step(at, op) };
    if op.stage == MINT {
        let term = table.mint(at.micros);
        if let Some(record) = table.records.get_mut(&claim.key).filter(|record| record.grant == op.carry) {
            record.term = term;
        }
        return Step::Answer(table.granted(op.carry, term));
    }
    if let Some(answer) = table.not_free(at.now, claim) {
        return Step::Answer(answer);
    }
    let grant = table.write(at.now, claim, None);
    Step::Later(table.between_calls(), Op { stage: MINT, carry: grant, ..op })
}
