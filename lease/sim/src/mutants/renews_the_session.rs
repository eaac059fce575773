//! A renewal keeps the client's session alive and says nothing of the key's record, which may have gone with an earlier
//! session: the holder is told that all is well for as long as it asks.
//!
//! Source: ClickHouse#116690, where Keeper hands out a new session in place of the old one, and neither the loss of the
//! ephemeral nodes nor that of the session reaches the client.

use tenure_core::{Answer, Renewed, Request};

use crate::mutant::Mutant;
use crate::parts::plain_store::{self, Table};
use crate::store::{Op, Step, StoreTime};

pub(super) const MUTANT: Mutant = Mutant {
    name: "renews_the_session",
    bug: "a renewal is answered for the client's session, whatever became of the record",
    store: || plain_store::with(step),
    ..Mutant::HONEST
};

fn step(table: &mut Table, at: StoreTime, op: Op) -> Step {
    match (&op.request, table.step(at, op.clone())) {
        (Request::Renew(_), Step::Answer(Answer::Renewed(Renewed::Lost { .. }))) => {
            Step::Answer(Answer::Renewed(Renewed::Extended { resign_requested: false }))
        }
        (_, step) => step,
    }
}
