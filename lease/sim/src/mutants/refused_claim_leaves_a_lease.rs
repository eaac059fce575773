//! A claim first makes a lease, then writes the key with it if the key is free. A claim that is refused leaves its lease to
//! run out by itself, and every standby makes one more with each attempt.
//!
//! Source: projecteru2/core#699, on etcd: one dead lease a second for each standby.

use tenure_core::{Answer, Claim, Claimed, LeaseKey, NameError, Request};

use crate::mutant::Mutant;
use crate::parts::plain_store::{self, Table};
use crate::store::{Op, Step, StoreTime};

pub(super) const MUTANT: Mutant = Mutant {
    name: "refused_claim_leaves_a_lease",
    bug: "a claim makes a lease first, and leaves it behind when it is refused",
    store: || plain_store::with(step),
    ..Mutant::HONEST
};

const GRANT: u8 = 0;
const PUT: u8 = 1;

fn step(table: &mut Table, at: StoreTime, op: Op) -> Step {
    let Request::Acquire(claim) = &op.request else { return table.step(at, op) };
    if op.stage == GRANT {
        let lease = table.counter + 1;
        table.counter = lease;
        if let Ok(key) = lease_key(lease) {
            table.write(at.now, &Claim { key, ..claim.clone() }, None);
        }
        return Step::Later(table.between_calls(), Op { stage: PUT, carry: lease, ..op });
    }
    let step = table.step(at, op.clone());
    if let (Step::Answer(Answer::Claimed(Claimed::Granted { .. })), Ok(key)) = (&step, lease_key(op.carry)) {
        // From here on the key's own record stands for it.
        table.records.remove(&key);
    }
    step
}

fn lease_key(lease: u64) -> Result<LeaseKey, NameError> {
    LeaseKey::new(format!("lease {lease}"))
}
