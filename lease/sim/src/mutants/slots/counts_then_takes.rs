//! A slot that a list shows free is taken as it is: who counts and who takes are two steps, and two candidates count the same.
//!
//! Source: Carlson, Redis in Action (2013), section 6.3: its basic semaphore counts the holders and then adds itself.

use std::time::Duration;

use tenure_core::{Answer, Claimed, Input, Term, Time};

use crate::machine::SlotsFace;
use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted_slots};

pub(super) const MUTANT: Mutant = Mutant {
    name: "counts_then_takes",
    bug: "a slot that a list shows free counts as granted, whatever the claim is answered",
    slots: |config| {
        let ttl = config.timing.ttl();
        twisted_slots(config, Takes { ttl })
    },
    ..Mutant::HONEST
};

struct Takes {
    ttl: Duration,
}

impl Twist<dyn SlotsFace> for Takes {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed<dyn SlotsFace>) {
        match input {
            // Somebody who was granted the slot this very moment is overlooked; one who has held it for a while was listed.
            Input::Answer(id, Answer::Claimed(Claimed::Held { term: Some(term), remaining: Some(remaining), .. }))
                if remaining > self.ttl / 2 =>
            {
                let term = Term::new(term.get() + 1).unwrap_or(term);
                let granted = Claimed::Granted { term, last_note: None };
                frame.handle(now, Input::Answer(id, Answer::Claimed(granted)));
            }
            other => frame.handle(now, other),
        }
    }
}
