//! The term is read once, when a campaign begins, and the claim is made with what was read then: tenures that came between
//! have higher terms, or the same.
//!
//! It stands for a counter beside the lock, read before the lock is taken.

use std::collections::BTreeMap;

use tenure_core::{LeaseKey, Nonce, Term};
use tenure_records::{Ask, Content, Moment, Occupancy, Seen};

use crate::invariants::terms_grow;
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "term_read_first",
    bug: "the term is read before the claim, in a step of its own",
    model: Model::Silence,
    caught_by: &[terms_grow::NAME],
    shell: |random| shell_frame::twisted(random, ReadsOnce::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct ReadsOnce {
    /// What each campaign has read first.
    read: BTreeMap<(LeaseKey, Nonce), Option<Term>>,
}

impl ShellTwist for ReadsOnce {
    fn shows(&mut self, _at: Moment, verb: Option<&Verb>, key: &LeaseKey, mut seen: Seen) -> Seen {
        if let Some(Ask::Acquire(claim)) = verb.map(|verb| &verb.ask) {
            let present = shell_frame::record(&seen).and_then(|record| record.term);
            let first = *self.read.entry((key.clone(), claim.nonce)).or_insert(present);
            if let Some(Content::Lease(record)) = &mut seen.content {
                let is_own = matches!(&record.occupancy, Occupancy::Tenure(occupant) if occupant.nonce == claim.nonce);
                // A tenure has a term; one that was read before there was any record is none.
                if !is_own && first.is_some() {
                    record.term = first;
                }
            }
        }
        seen
    }
}
