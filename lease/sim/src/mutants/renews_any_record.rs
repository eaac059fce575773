//! A renewal extends whatever record the key has, without asking whose it is. A holder that has lost its lease renews its
//! successor's, concludes that it still leads, and goes on doing so.
//!
//! Sources: oban#1488, two leaders for 19 days; river#197, where the comparison was with itself.

use tenure_core::{Answer, Renewed, Request};

use crate::mutant::Mutant;
use crate::parts::plain_store::{self, Table};
use crate::store::{Op, Step, StoreTime};

pub(super) const MUTANT: Mutant = Mutant {
    name: "renews_any_record",
    bug: "a renewal is not scoped to its owner",
    store: || plain_store::with(step),
    ..Mutant::HONEST
};

fn step(table: &mut Table, at: StoreTime, op: Op) -> Step {
    if let Request::Renew(held) = &op.request
        && let Some(record) = table.records.get_mut(&held.key)
    {
        record.expires = at.now + held.ttl;
        return Step::Answer(Answer::Renewed(Renewed::Extended { resign_requested: false }));
    }
    table.step(at, op)
}
