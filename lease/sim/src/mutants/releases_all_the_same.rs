//! A lease that is to be left to run out is released when its work has ended. As in a clean-up that does not know the
//! setting.

use tenure_core::{Input, Output, Request, RequestId, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, Inner, Twist};

pub(super) struct ReleasesAllTheSame;

impl Mutant for ReleasesAllTheSame {
    fn name(&self) -> &'static str {
        "releases_all_the_same"
    }

    fn bug(&self) -> &'static str {
        "a lease that is to be left is released when its work has ended"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Tidy)
    }
}

struct Tidy;

impl Twist for Tidy {
    fn input(&mut self, now: Time, input: Input, frame: &mut Inner) {
        let held = frame.held().filter(|_| matches!(input, Input::WorkEnded));
        frame.handle(now, input);
        if let Some(held) = held {
            // A number that no elector comes to: its answer is nobody's.
            frame.out.push_back(Output::Send(RequestId(u64::MAX), Request::Release(held)));
        }
    }
}
