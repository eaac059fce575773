//! A campaign that waited succeeds when it is woken, without a look at whether its own claim still stands.
//!
//! Source: etcd's `Election.Campaign`, whose key may have expired during the wait.

use tenure_core::{Answer, Claimed, Input, Output, Request, Term, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "phantom_leadership",
    bug: "a campaign that waited succeeds when woken, without asking again",
    elector: |elector| twisted(elector, TrustsTheWake::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct TrustsTheWake {
    /// The term whose end it waits for.
    waits_for: Option<Term>,
    woken: bool,
}

impl Twist for TrustsTheWake {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        match &input {
            Input::Answer(_, Answer::Claimed(Claimed::Held { term, .. })) => self.waits_for = *term,
            Input::Wake => self.woken = self.waits_for.is_some(),
            _ => {}
        }
        frame.handle(now, input);
    }

    fn output(&mut self, now: Time, output: Output, frame: &mut Framed) {
        match (&output, self.waits_for) {
            (Output::Send(id, Request::Acquire(_)), Some(before)) if self.woken => {
                self.woken = false;
                self.waits_for = None;
                if let Some(term) = Term::new(before.get() + 1) {
                    let claimed = Claimed::Granted { term, last_note: None };
                    frame.handle(now, Input::Answer(*id, Answer::Claimed(claimed)));
                }
            }
            _ => frame.out.push_back(output),
        }
    }
}
