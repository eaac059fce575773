//! A candidate that found no slot looks again only when it is woken. Where the hint was lost it waits beside free slots.
//!
//! Source: nats.rs#1596, where a watch is dead after a restart of the server unless it is polled. The timer has to remain.

use tenure_core::{Event, Input, Request, SlotsOutput, Time};

use crate::machine::SlotsFace;
use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted_slots};

pub(super) const MUTANT: Mutant = Mutant {
    name: "slots_wait_for_hints_only",
    bug: "a candidate that found no slot looks again only when it is woken",
    slots: |config| twisted_slots(config, HasNoTimer::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct HasNoTimer {
    waits: bool,
}

impl Twist<dyn SlotsFace> for HasNoTimer {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed<dyn SlotsFace>) {
        if matches!(input, Input::Wake | Input::Campaign) {
            self.waits = false;
        }
        frame.handle(now, input);
    }

    fn output(&mut self, _now: Time, output: SlotsOutput, frame: &mut Framed<dyn SlotsFace>) {
        // A look that is not sent is not answered, and the machine plans the next one. It looks by a list, and by claims where the
        // list has failed.
        let is_look = matches!(output, SlotsOutput::Send(_, Request::List { .. } | Request::Acquire(_)));
        let by_timer = self.waits && is_look;
        if !by_timer {
            self.waits |= matches!(output, SlotsOutput::Event(_, Event::NoSlotFree));
            frame.out.push_back(output);
        }
    }
}
