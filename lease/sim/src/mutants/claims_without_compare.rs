//! Claims and renewals are a read, then a write that compares nothing.
//!
//! Source: kube-leader-election, a merge patch without a resource version.

use tenure_core::{Answer, Renewed, Request};

use crate::mutant::Mutant;
use crate::parts::plain_store::{self, Table};
use crate::store::{Op, Step, StoreTime};

pub(super) const MUTANT: Mutant = Mutant {
    name: "claims_without_compare",
    bug: "claims and renewals are a read, then a write that compares nothing",
    store: || plain_store::with(step),
    ..Mutant::HONEST
};

const READ: u8 = 0;
const WRITE: u8 = 1;

fn step(table: &mut Table, at: StoreTime, op: Op) -> Step {
    match (&op.request, op.stage) {
        (Request::Acquire(claim), READ) => {
            if table.current(at.now, &claim.key).is_some_and(|record| record.nonce != claim.nonce) {
                return Step::Answer(table.held(at.now, &claim.key));
            }
        }
        (Request::Renew(held), READ) => {
            if table.current(at.now, &held.key).is_none_or(|record| record.nonce != held.nonce) {
                return table.step(at, op);
            }
        }
        (Request::Acquire(claim), _) => {
            let same = table.records.get(&claim.key).filter(|record| record.nonce == claim.nonce);
            let term = same.and_then(|record| record.term).or_else(|| table.mint(at.micros));
            let grant = table.write(at.now, claim, term);
            return Step::Answer(table.granted(grant, term));
        }
        (Request::Renew(held), _) => {
            if let Some(record) = table.records.get_mut(&held.key) {
                (record.nonce, record.term) = (held.nonce, Some(held.term));
                record.expires = at.now + held.ttl;
            }
            return Step::Answer(Answer::Renewed(Renewed::Extended { resign_requested: false }));
        }
        _ => return table.step(at, op),
    }
    Step::Later(table.between_calls(), Op { stage: WRITE, ..op })
}
