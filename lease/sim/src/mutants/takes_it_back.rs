//! A holder that is asked to resign releases, and claims again at once: the operator's request hands nothing over.
//!
//! Source: client-go with ReleaseOnCancel in a process that starts its election anew.

use tenure_core::{Answer, Input, Renewed, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "takes_it_back",
    bug: "a holder that was asked to resign claims again at once",
    elector: |elector| twisted(elector, ForgetsWhoAsked),
    ..Mutant::HONEST
};

struct ForgetsWhoAsked;

impl Twist for ForgetsWhoAsked {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
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
