//! The release is written when the work is told to stop, not when it has ended.

use tenure_core::{Input, Order, Output, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, Inner, Twist};

pub(super) struct ReleaseBeforeTheEnd;

impl Mutant for ReleaseBeforeTheEnd {
    fn name(&self) -> &'static str {
        "release_before_the_end"
    }

    fn bug(&self) -> &'static str {
        "the release is written when the work is told to stop, not when it has ended"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Hasty)
    }
}

struct Hasty;

impl Twist for Hasty {
    fn output(&mut self, now: Time, output: Output, frame: &mut Inner) {
        let stops = matches!(output, Output::Work(Order::Stop { .. } | Order::Kill { .. }));
        frame.out.push_back(output);
        if stops {
            frame.handle(now, Input::WorkEnded);
        }
    }
}
