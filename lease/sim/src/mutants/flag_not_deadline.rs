//! Leadership is a flag that only another holder's record clears: behind a partition the holder never steps down. As in
//! Excalibur on Kubernetes.

use std::time::Duration;

use tenure_core::{Answer, Event, Input, LossReason, Order, Output, Renewed, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, Inner, Twist};

pub(super) struct FlagNotDeadline;

impl Mutant for FlagNotDeadline {
    fn name(&self) -> &'static str {
        "flag_not_deadline"
    }

    fn bug(&self) -> &'static str {
        "leadership is a flag that only another holder's record clears"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Flag)
    }
}

struct Flag;

const FOR_EVER: Duration = Duration::from_secs(3_600);

impl Twist for Flag {
    fn input(&mut self, now: Time, input: Input, frame: &mut Inner) {
        let lost = match &input {
            Input::Answer(_, Answer::Renewed(Renewed::Lost { to })) => Some(LossReason::Lost { to: to.clone() }),
            _ => None,
        };
        frame.handle(now, input);
        if let Some(reason) = lost {
            frame.out.push_back(Output::Work(Order::Kill { reason }));
        }
    }

    fn output(&mut self, now: Time, output: Output, frame: &mut Inner) {
        let output = match output {
            Output::Work(Order::Start { term, nonce, last_note, .. }) => {
                Output::Work(Order::Start { term, nonce, last_note, deadline: now + FOR_EVER })
            }
            Output::Work(
                Order::Stop { reason: LossReason::RenewalFailed, .. }
                | Order::Kill { reason: LossReason::RenewalFailed | LossReason::Expired }
                | Order::Extend { .. },
            )
            | Output::Event(Event::LostLeadership {
                reason: LossReason::RenewalFailed | LossReason::Expired, ..
            }) => {
                return;
            }
            other => other,
        };
        frame.out.push_back(output);
    }
}
