//! A campaign that waited succeeds when it is woken, without a look at whether its own claim still stands. As in etcd's
//! `Election.Campaign`, whose key may have expired during the wait.

use tenure_core::{Answer, Claimed, Input, Output, Request, Term, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, Inner, Twist};

pub(super) struct PhantomLeadership;

impl Mutant for PhantomLeadership {
    fn name(&self) -> &'static str {
        "phantom_leadership"
    }

    fn bug(&self) -> &'static str {
        "a campaign that waited succeeds when woken, without asking again"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Credulous::default())
    }
}

#[derive(Default)]
struct Credulous {
    waits_for: Option<Term>,
    woken: bool,
}

impl Twist for Credulous {
    fn input(&mut self, now: Time, input: Input, frame: &mut Inner) {
        match &input {
            Input::Answer(_, Answer::Claimed(Claimed::Held { term, .. })) => self.waits_for = *term,
            Input::Wake => self.woken = self.waits_for.is_some(),
            _ => {}
        }
        frame.handle(now, input);
    }

    fn output(&mut self, now: Time, output: Output, frame: &mut Inner) {
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
