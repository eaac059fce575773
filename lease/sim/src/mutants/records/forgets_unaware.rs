//! The server tells since when it knows of every write, and nobody listens: after a restart with an older state, or of a
//! table that was dropped, what looks free is granted at once, beside the holder whose record was lost.
//!
//! Source: this project, whose stores over records did not ask.

use tenure_core::LeaseKey;
use tenure_records::{Moment, Seen};

use crate::invariants::{leases_last, no_more_than_slots, one_actor};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "forgets_unaware",
    bug: "what a server says of its older state is passed over",
    model: Model::Age,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME],
    shell: |random| shell_frame::twisted(random, Deaf),
    ..Mutant::HONEST
};

struct Deaf;

impl ShellTwist for Deaf {
    fn shows(&mut self, _at: Moment, _verb: Option<&Verb>, _key: &LeaseKey, seen: Seen) -> Seen {
        Seen { complete_for: None, ..seen }
    }
}
