//! Taking over is three calls: see that the lease has expired, wipe the holder by force, claim after a random sleep. A
//! late contender wipes a fresh holder.
//!
//! Source: kube-lease-manager.

use tenure_core::Request;

use crate::mutant::Mutant;
use crate::parts::plain_store::{self, Table};
use crate::store::{Op, Step, StoreTime};
use crate::true_time::MS;

pub(super) const MUTANT: Mutant = Mutant {
    name: "force_release",
    bug: "a late contender wipes a fresh holder by force",
    store: || plain_store::with(step),
    ..Mutant::HONEST
};

const LOOK: u8 = 0;
const WIPE: u8 = 1;
const CLAIM: u8 = 2;

fn step(table: &mut Table, at: StoreTime, op: Op) -> Step {
    let Request::Acquire(claim) = &op.request else { return table.step(at, op) };
    match op.stage {
        LOOK if table.records.get(&claim.key).is_some_and(|record| record.expires <= at.now) => {
            Step::Later(table.between_calls(), Op { stage: WIPE, ..op })
        }
        WIPE => {
            table.records.remove(&claim.key);
            Step::Later(table.rng.range(100 * MS, 1_000 * MS), Op { stage: CLAIM, ..op })
        }
        _ => table.step(at, op),
    }
}
