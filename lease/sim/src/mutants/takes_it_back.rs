//! A holder that is asked to resign releases, and claims again at once: the operator's request hands nothing over. As in
//! client-go with ReleaseOnCancel in a process that starts its election anew.

use tenure_core::{Answer, Input, Renewed, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, Inner, Twist};

pub(super) struct TakesItBack;

impl Mutant for TakesItBack {
    fn name(&self) -> &'static str {
        "takes_it_back"
    }

    fn bug(&self) -> &'static str {
        "a holder that was asked to resign claims again at once"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Eager)
    }
}

struct Eager;

impl Twist for Eager {
    fn input(&mut self, now: Time, input: Input, frame: &mut Inner) {
        match input {
            Input::Answer(id, Answer::Renewed(Renewed::Extended { resign_requested: true })) => {
                let extended = Answer::Renewed(Renewed::Extended { resign_requested: false });
                frame.handle(now, Input::Answer(id, extended));
                frame.handle(now, Input::Resign);
            }
            other => frame.handle(now, other),
        }
    }
}
