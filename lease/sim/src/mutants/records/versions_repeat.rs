//! A released record is deleted, and the versions of the next one begin anew. A version that stood before the deletion stands
//! again after it: a write that is late lands on another tenure, and silence is counted through the deletion.
//!
//! Source: ZooKeeper, where a node that was deleted and made again starts at version 0; S3, where equal contents have equal ETags.

use std::collections::BTreeMap;

use tenure_core::LeaseKey;
use tenure_records::{Content, Occupancy, Seen, Swap, Version, Write};

use crate::invariants::{leases_last, no_more_than_slots, one_actor, terms_grow};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::server_frame::{self, ServerTwist};
use crate::server::Server;
use crate::server_model::ServerModel;
use crate::store::StoreTime;

pub(super) const MUTANT: Mutant = Mutant {
    name: "versions_repeat",
    bug: "versions begin anew after a record was released",
    model: Model::Silence,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME, terms_grow::NAME],
    server: |has_clock| server_frame::twisted(has_clock, BeginsAnew::default()),
    ..Mutant::HONEST
};

/// Shows numbers of its own in place of the honest versions. What is remembered of the terms stays.
#[derive(Default)]
struct BeginsAnew {
    numbers: BTreeMap<LeaseKey, u64>,
}

impl ServerTwist for BeginsAnew {
    fn shows(&self, key: &LeaseKey, seen: Seen) -> Seen {
        let number = self.numbers.get(key).filter(|_| seen.version.is_some());
        Seen { version: number.map(|number| Version::new(number.to_string())), ..seen }
    }

    fn write(&mut self, at: StoreTime, write: &Write, model: &mut ServerModel) -> Swap {
        let key = &write.place.key;
        let stands = model.read(at, key);
        let shown = self.shows(key, stands.clone());
        if shown.version != write.expected {
            return Swap::Conflict(Some(shown));
        }
        model.write(at, &Write { expected: stands.version, ..write.clone() });
        let released = matches!(&write.to, Some(Content::Lease(record)) if record.occupancy == Occupancy::Nobody);
        let number = self.numbers.entry(key.clone()).or_default();
        *number = if released { 0 } else { *number + 1 };
        Swap::Done(Version::new(number.to_string()))
    }
}
