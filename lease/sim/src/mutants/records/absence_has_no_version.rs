//! A server that came back with an older state takes writes that were decided before: where no record stood, one that expects
//! none is as good as ever, although a tenure was granted there and lost.
//!
//! Source: any table that is made anew while a first claim is under way.

use tenure_core::LeaseKey;
use tenure_records::{Seen, Swap, Write};

use crate::invariants::{leases_last, no_more_than_slots, one_actor, terms_grow};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::server_frame::{self, ServerTwist};
use crate::server::Server;
use crate::server_model::ServerModel;
use crate::store::StoreTime;

pub(super) const MUTANT: Mutant = Mutant {
    name: "absence_has_no_version",
    bug: "a write that expects no record is taken after records were lost",
    model: Model::Age,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME, terms_grow::NAME],
    server: |has_clock| server_frame::twisted(has_clock, Plain),
    ..Mutant::HONEST
};

struct Plain;

impl ServerTwist for Plain {
    fn shows(&self, _key: &LeaseKey, seen: Seen) -> Seen {
        Seen { version: seen.version.filter(|_| seen.content.is_some()), ..seen }
    }

    fn write(&mut self, at: StoreTime, write: &Write, model: &mut ServerModel) -> Swap {
        let stands = model.read(at, &write.place.key);
        let expected = match &write.expected {
            None if stands.content.is_none() => stands.version,
            expected => expected.clone(),
        };
        match model.write(at, &Write { expected, ..write.clone() }) {
            Swap::Conflict(Some(found)) => Swap::Conflict(Some(self.shows(&write.place.key, found))),
            swap => swap,
        }
    }
}
