//! A definite loss is treated like a failed renewal: the work goes on until the deadline.
//!
//! Source: client-go, which keeps polling until RenewDeadline after it has seen another holder.

use tenure_core::{Answer, Failure, Input, Renewed, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "ignores_definite_loss",
    bug: "a definite loss is treated like a failed renewal",
    elector: |elector| twisted(elector, TriesAgain),
    ..Mutant::HONEST
};

struct TriesAgain;

impl Twist for TriesAgain {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
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
