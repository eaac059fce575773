//! Every candidate begins its search with the same slot and goes no further: the others stay free.
//!
//! Source: ours. A search that is cut off after its first refusal passes every test with one candidate.

use tenure_core::{Answer, Claimed, HolderId, Input, LeaseKey, Request, SlotsOutput, Time};

use crate::machine::SlotsFace;
use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted_slots};

pub(super) const MUTANT: Mutant = Mutant {
    name: "knows_one_slot_only",
    bug: "every search begins with the same slot, and ends there",
    slots: |config| {
        let (first, holder) = (config.keys.all()[0].clone(), config.holder.clone());
        twisted_slots(config, FirstOnly { first, holder })
    },
    ..Mutant::HONEST
};

struct FirstOnly {
    first: LeaseKey,
    holder: HolderId,
}

impl Twist<dyn SlotsFace> for FirstOnly {
    fn output(&mut self, now: Time, output: SlotsOutput, frame: &mut Framed<dyn SlotsFace>) {
        match output {
            SlotsOutput::Send(id, Request::Acquire(claim)) if claim.key != self.first => {
                let held = Claimed::Held { by: self.holder.clone(), term: None, remaining: None, bound: None };
                frame.handle(now, Input::Answer(id, Answer::Claimed(held)));
            }
            other => frame.out.push_back(other),
        }
    }
}
