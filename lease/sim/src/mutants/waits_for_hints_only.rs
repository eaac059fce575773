//! A candidate that was refused claims again only when it is woken. A watch that has died wakes nobody, and the key stays
//! free.
//!
//! Source: nats.rs#1596, where a watch is dead after a restart of the server unless it is polled. The timer has to remain.

use tenure_core::{Answer, Claimed, Input, Output, Request, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "waits_for_hints_only",
    bug: "a candidate that was refused claims again only when it is woken",
    elector: |elector| twisted(elector, HasNoTimer::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct HasNoTimer {
    waits: bool,
}

impl Twist for HasNoTimer {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        match &input {
            Input::Answer(_, Answer::Claimed(Claimed::Held { .. })) => self.waits = true,
            Input::Wake => self.waits = false,
            _ => {}
        }
        frame.handle(now, input);
    }

    fn output(&mut self, _now: Time, output: Output, frame: &mut Framed) {
        let by_timer = self.waits && matches!(output, Output::Send(_, Request::Acquire(_)));
        if !by_timer {
            frame.out.push_back(output);
        }
    }
}
