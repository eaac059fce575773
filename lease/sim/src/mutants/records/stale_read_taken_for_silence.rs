//! A read of long ago is held against the record of today: whoever looked away meanwhile counts the whole time as silence,
//! though every renewal since has made a new version.
//!
//! It stands for reads from a cache or a replica that is behind, and for every observer that keeps a time for each key and
//! not for each version.

use std::collections::BTreeMap;

use tenure_core::{LeaseKey, Nonce, Time};
use tenure_records::{Moment, Occupancy, Seen};

use crate::invariants::{leases_last, no_more_than_slots, one_actor};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "stale_read_taken_for_silence",
    bug: "silence is counted from the first read of a tenure, whatever versions came since",
    model: Model::Silence,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME],
    shell: |random| shell_frame::twisted(random, LookedAway::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct LookedAway {
    since: BTreeMap<LeaseKey, (Nonce, Time)>,
}

impl ShellTwist for LookedAway {
    fn shows(&mut self, at: Moment, _verb: Option<&Verb>, key: &LeaseKey, seen: Seen) -> Seen {
        let Some(Occupancy::Tenure(occupant)) = shell_frame::record(&seen).map(|record| &record.occupancy) else {
            return seen;
        };
        let since = self.since.entry(key.clone()).or_insert((occupant.nonce, at.now));
        if since.0 != occupant.nonce {
            *since = (occupant.nonce, at.now);
        }
        Seen { age: Some(at.now.since(since.1)), ..seen }
    }
}
