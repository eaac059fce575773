//! A list that still shows what was released or has run out: such slots are never claimed.
//!
//! Source: Kubernetes Leases and other records that outlive their lease; whoever counts the objects counts too many.

use std::collections::BTreeMap;

use tenure_core::{Answer, Input, LeaseKey, LeaseRecord, Time};

use crate::machine::SlotsFace;
use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted_slots};

pub(super) const MUTANT: Mutant = Mutant {
    name: "counts_released_as_held",
    bug: "a slot that was ever seen held counts as held for ever",
    slots: |config| twisted_slots(config, Remembers::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct Remembers {
    seen: BTreeMap<LeaseKey, LeaseRecord>,
}

impl Twist<dyn SlotsFace> for Remembers {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed<dyn SlotsFace>) {
        match input {
            Input::Answer(id, Answer::Listed(records)) => {
                self.seen.extend(records.into_iter().map(|record| (record.key.clone(), record)));
                frame.handle(now, Input::Answer(id, Answer::Listed(self.seen.values().cloned().collect())));
            }
            other => frame.handle(now, other),
        }
    }
}
