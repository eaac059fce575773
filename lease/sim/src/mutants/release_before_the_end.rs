//! The release is written when the work is told to stop, not when it has ended.
//!
//! Source: keepalived, which sends its stop notification and moves the virtual address without waiting for the script, so
//! that services stop after their address has gone (keepalived#2389).

use tenure_core::{Input, Order, Output, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "release_before_the_end",
    bug: "the release is written when the work is told to stop, not when it has ended",
    elector: |elector| twisted(elector, DoesNotWait),
    ..Mutant::HONEST
};

struct DoesNotWait;

impl Twist for DoesNotWait {
    fn output(&mut self, now: Time, output: Output, frame: &mut Framed) {
        let stops = matches!(output, Output::Work(Order::Stop { .. } | Order::Kill { .. }));
        frame.out.push_back(output);
        if stops {
            frame.handle(now, Input::WorkEnded);
        }
    }
}
