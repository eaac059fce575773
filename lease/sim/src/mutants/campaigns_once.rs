//! An election that is over once it was lost: after its first loss a candidate never campaigns again, and after everybody's
//! nobody leads.
//!
//! Sources: kuberhealthy#1533, elastic-agent#4542, all-chat#372: client-go's `Run` returns after a loss, and nobody calls
//! it again.

use tenure_core::{Event, Input, Output, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "campaigns_once",
    bug: "a candidate that has lost its leadership never campaigns again",
    elector: |elector| twisted(elector, OneShot::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct OneShot {
    has_lost: bool,
}

impl Twist for OneShot {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        if !(self.has_lost && matches!(input, Input::Campaign)) {
            frame.handle(now, input);
        }
    }

    fn output(&mut self, _now: Time, output: Output, frame: &mut Framed) {
        self.has_lost |= matches!(output, Output::Event(Event::LostLeadership { .. }));
        frame.out.push_back(output);
    }
}
