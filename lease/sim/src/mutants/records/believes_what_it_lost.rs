//! What was observed is lost, by a restart or because there was no room, and its absence is taken for an old observation: a
//! record that is seen for the first time counts as silent for a ttl already.
//!
//! Source: ours; a table of last changes whose default is the beginning of time.

use std::collections::BTreeSet;

use tenure_core::LeaseKey;
use tenure_records::{Moment, Occupancy, Seen};

use crate::invariants::{leases_last, no_more_than_slots, one_actor};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "believes_what_it_lost",
    bug: "a record of which nothing is remembered counts as silent for long",
    model: Model::Silence,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME],
    shell: |random| shell_frame::twisted(random, Forgets::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct Forgets {
    known: BTreeSet<LeaseKey>,
}

impl ShellTwist for Forgets {
    fn shows(&mut self, _at: Moment, _verb: Option<&Verb>, key: &LeaseKey, seen: Seen) -> Seen {
        let is_new = self.known.insert(key.clone());
        match shell_frame::record(&seen).map(|record| &record.occupancy) {
            Some(Occupancy::Tenure(occupant)) if is_new => Seen { age: Some(occupant.ttl), ..seen },
            _ => seen,
        }
    }
}
