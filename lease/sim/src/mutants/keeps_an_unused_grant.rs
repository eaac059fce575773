//! A grant that cannot be used, because a step after it failed or the candidate has resigned meanwhile, is not given back:
//! its holder does not lead, and nobody else can.
//!
//! Source: pgconsul#196, where the winner of an election timed out in a later step and kept the leader's lock.

use tenure_core::{Answer, Input, Order, Output, Released, Request, Term, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "keeps_an_unused_grant",
    bug: "a grant that cannot be used is not released",
    elector: |elector| twisted(elector, ReleasesItsWorkOnly::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct ReleasesItsWorkOnly {
    /// The latest term that work began under.
    worked: Option<Term>,
}

impl Twist for ReleasesItsWorkOnly {
    fn output(&mut self, now: Time, output: Output, frame: &mut Framed) {
        match output {
            Output::Send(id, Request::Release(held)) if self.worked != Some(held.term) => {
                frame.handle(now, Input::Answer(id, Answer::Released(Released::Freed)));
            }
            Output::Work(Order::Start { term, .. }) => {
                self.worked = Some(term);
                frame.out.push_back(output);
            }
            other => frame.out.push_back(other),
        }
    }
}
