//! A record says when it was written, by the wall clock of whoever wrote it, and whoever reads it subtracts that from its own.
//! Where the two are an hour apart, a live lease is over at once.
//!
//! It stands for every lock with an `expiresAt` in its record that a client's clock is held against.

use std::time::Duration;

use tenure_core::LeaseKey;
use tenure_records::{Content, Moment, Next, Occupancy, Seen, Write};

use crate::invariants::{leases_last, no_more_than_slots, one_actor};
use crate::model::Model;
use crate::mutant::Mutant;
use crate::parts::shell_frame::{self, ShellTwist, Verb};

pub(super) const MUTANT: Mutant = Mutant {
    name: "time_stamp_tells_the_age",
    bug: "silence is counted from the record's own time stamp",
    model: Model::Silence,
    caught_by: &[leases_last::NAME, no_more_than_slots::NAME, one_actor::NAME],
    shell: |random| shell_frame::twisted(random, Stamps),
    ..Mutant::HONEST
};

struct Stamps;

impl ShellTwist for Stamps {
    fn shows(&mut self, at: Moment, _verb: Option<&Verb>, _key: &LeaseKey, seen: Seen) -> Seen {
        // Nobody reads the beat, which only differs from write to write; so does a time stamp.
        let written = shell_frame::record(&seen)
            .filter(|record| matches!(record.occupancy, Occupancy::Tenure(_)))
            .map(|record| record.beat);
        let age = written.map(|written| Duration::from_micros(at.wall_micros.saturating_sub(written)));
        Seen { age, ..seen }
    }

    fn wants(&mut self, at: Moment, _verb: &Verb, next: Next) -> Next {
        match next {
            Next::Write(Write { place, expected, to: Some(Content::Lease(mut record)) }) => {
                record.beat = at.wall_micros;
                Next::Write(Write { place, expected, to: Some(Content::Lease(record)) })
            }
            other => other,
        }
    }
}
