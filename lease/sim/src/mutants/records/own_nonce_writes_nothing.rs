//! A claim that meets its own nonce is granted, and writes nothing: the claimant counts its lease from now, and all others
//! from the record, which is older.
//!
//! Source: ours; a claim whose first answer was lost looks as if there were nothing left to do.

use std::collections::BTreeSet;

use tenure_core::{Claimed, LeaseKey, Nonce, Term};
use tenure_records::{Ask, Content, Moment, Next, Occupancy, Record, Seen, Told};

use crate::invariants::{leases_last, no_more_than_slots, one_actor};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "own_nonce_writes_nothing",
    bug: "a claim that meets its own nonce is granted without a write",
    model: Model::Silence,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME],
    shell: |random| shell_frame::twisted(random, ThinksItIsDone::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct ThinksItIsDone {
    /// The tenures that records were seen to hold.
    seen: BTreeSet<(LeaseKey, Nonce, Term)>,
}

impl ShellTwist for ThinksItIsDone {
    fn shows(&mut self, _at: Moment, _verb: Option<&Verb>, key: &LeaseKey, seen: Seen) -> Seen {
        self.seen.extend(shell_frame::record(&seen).and_then(tenure).map(|(nonce, term)| (key.clone(), nonce, term)));
        seen
    }

    fn wants(&mut self, _at: Moment, verb: &Verb, next: Next) -> Next {
        if let (Ask::Acquire(claim), Next::Write(write)) = (&verb.ask, &next)
            && let Some(Content::Lease(record)) = &write.to
            && let Some((nonce, term)) = tenure(record)
            && self.seen.contains(&(claim.key.clone(), nonce, term))
        {
            let last_note = record.previous_note.clone();
            return Next::Done(Ok(Told::Claimed(Claimed::Granted { term, last_note })));
        }
        next
    }
}

fn tenure(record: &Record) -> Option<(Nonce, Term)> {
    match &record.occupancy {
        Occupancy::Tenure(occupant) => record.term.map(|term| (occupant.nonce, term)),
        _ => None,
    }
}
