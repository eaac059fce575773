//! A campaign ends with the first list that fails: a store that was away for a moment leaves candidates that never search again.
//!
//! Source: ours; the like of it in client-go before LeaderElector.Run retried its first acquisition.

use tenure_core::{Answer, Input, Request, RequestId, SlotsOutput, Time};

use crate::machine::SlotsFace;
use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted_slots};

pub(super) const MUTANT: Mutant = Mutant {
    name: "ends_with_a_failed_list",
    bug: "a campaign ends with the first list that fails",
    slots: |config| twisted_slots(config, GivesUp::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct GivesUp {
    list: Option<RequestId>,
    gave_up: bool,
}

impl Twist<dyn SlotsFace> for GivesUp {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed<dyn SlotsFace>) {
        match &input {
            Input::Answer(id, Answer::Failed(_)) if self.list == Some(*id) => self.gave_up = true,
            _ => {}
        }
        // Whoever campaigns asks once: later wishes find a campaign that is thought to be under way.
        if !(self.gave_up && matches!(input, Input::Campaign)) {
            frame.handle(now, input);
        }
        if self.gave_up {
            frame.handle(now, Input::Resign);
        }
    }

    fn output(&mut self, _now: Time, output: SlotsOutput, frame: &mut Framed<dyn SlotsFace>) {
        if let SlotsOutput::Send(id, Request::List { .. }) = &output {
            self.list = Some(*id);
        }
        frame.out.push_back(output);
    }
}
