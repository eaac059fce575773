//! A renewal replaces the record whatever its version is: a holder that has lost its lease writes itself over its successor.
//!
//! Source: a PATCH of a Kubernetes Lease without its resourceVersion, which always wins.

use std::collections::BTreeMap;

use tenure_core::Nonce;
use tenure_records::{Content, Occupancy, Record, Swap, Version, Write};

use crate::invariants::{bounded_overlap, leases_last, no_more_than_slots, one_actor, terms_grow};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::server_frame::{self, ServerTwist};
use crate::server::Server;
use crate::server_model::ServerModel;
use crate::store::StoreTime;

pub(super) const MUTANT: Mutant = Mutant {
    name: "renews_without_the_version",
    bug: "a renewal compares no version",
    model: Model::Silence,
    caught_by: &[bounded_overlap::NAME, leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME, terms_grow::NAME],
    server: |has_clock| server_frame::twisted(has_clock, AlwaysWins::default()),
    ..Mutant::HONEST
};

/// Knows a renewal by the version that it expects: the same tenure wrote that.
#[derive(Default)]
struct AlwaysWins {
    writers: BTreeMap<String, Nonce>,
}

impl ServerTwist for AlwaysWins {
    fn write(&mut self, at: StoreTime, write: &Write, model: &mut ServerModel) -> Swap {
        let nonce = match &write.to {
            Some(Content::Lease(Record { occupancy: Occupancy::Tenure(occupant), .. })) => Some(occupant.nonce),
            _ => None,
        };
        let before = write.expected.as_ref().and_then(|expected| self.writers.get(expected.as_str()));
        let expected = match (before, nonce) {
            (Some(before), Some(nonce)) if *before == nonce => model.read(at, &write.place.key).version,
            _ => write.expected.clone(),
        };
        let swap = model.write(at, &Write { expected, ..write.clone() });
        if let (Swap::Done(version), Some(nonce)) = (&swap, nonce) {
            self.writers.insert(Version::as_str(version).to_owned(), nonce);
        }
        swap
    }
}
