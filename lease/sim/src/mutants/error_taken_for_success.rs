//! An error while claiming is taken for success: the candidate leads without a lease.
//!
//! Source: redbeat#208, where an exception during the acquisition was swallowed, and a scheduler without a lock did not
//! look for one.

use tenure_core::{Answer, Claimed, Input, Output, Request, RequestId, Term, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "error_taken_for_success",
    bug: "an error while claiming is taken for success",
    elector: |elector| twisted(elector, IgnoresErrors::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct IgnoresErrors {
    /// The latest claim, and the term that a grant of it could have.
    claim: Option<(RequestId, Term)>,
}

impl Twist for IgnoresErrors {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        let input = match (input, self.claim) {
            (Input::Answer(id, Answer::Failed(_)), Some((claim, term))) if id == claim => {
                Input::Answer(id, Answer::Claimed(Claimed::Granted { term, last_note: None }))
            }
            (input, _) => input,
        };
        frame.handle(now, input);
    }

    fn output(&mut self, _now: Time, output: Output, frame: &mut Framed) {
        if let Output::Send(id, Request::Acquire(claim)) = &output {
            let next = claim.above.map_or(1, |above| above.get() + 1);
            self.claim = Term::new(next).map(|term| (*id, term));
        }
        frame.out.push_back(output);
    }
}
