//! A definite loss is treated like a failed renewal: the work goes on until the deadline. As in client-go, which keeps
//! polling until RenewDeadline after it has seen another holder.

use tenure_core::{Answer, Failure, Input, Renewed, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, Inner, Twist};

pub(super) struct IgnoresDefiniteLoss;

impl Mutant for IgnoresDefiniteLoss {
    fn name(&self) -> &'static str {
        "ignores_definite_loss"
    }

    fn bug(&self) -> &'static str {
        "a definite loss is treated like a failed renewal"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Deaf)
    }
}

struct Deaf;

impl Twist for Deaf {
    fn input(&mut self, now: Time, input: Input, frame: &mut Inner) {
        let input = match input {
            Input::Answer(id, Answer::Renewed(Renewed::Lost { .. })) => {
                let failure = Failure { outcome_unknown: true, message: "somebody else holds it, try again".into() };
                Input::Answer(id, Answer::Failed(failure))
            }
            other => other,
        };
        frame.handle(now, input);
    }
}
