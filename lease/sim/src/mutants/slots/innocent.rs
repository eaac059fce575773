//! The frame around slots without a bug. Nothing may catch it.

use crate::machine::SlotsFace;
use crate::mutant::Mutant;
use crate::parts::machine_frame::{Twist, twisted_slots};

pub(super) const MUTANT: Mutant = Mutant {
    name: "innocent_slots",
    bug: "none: the frame around slots",
    slots: |config| twisted_slots(config, Nothing),
    ..Mutant::HONEST
};

struct Nothing;

impl Twist<dyn SlotsFace> for Nothing {}
