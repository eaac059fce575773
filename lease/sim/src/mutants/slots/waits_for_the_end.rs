//! A candidate waits until the lease that it was told of can be over, although nobody tells of a release before: on a store
//! without hints each hand-over costs a ttl.
//!
//! Source: this project, on Kubernetes without the right to watch and on PostgreSQL behind a pooler.

use tenure_core::{Slots, SlotsConfig};

use crate::invariants::candidates_take_part;
use crate::mutant::Mutant;

pub(super) const MUTANT: Mutant = Mutant {
    name: "waits_for_the_end",
    bug: "a candidate on a store without hints asks again when the lease can be over",
    caught_by: &[candidates_take_part::NAME],
    slots: |config| Box::new(Slots::new(SlotsConfig { hints: true, ..config })),
    ..Mutant::HONEST
};
