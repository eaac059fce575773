//! Leadership is a flag that only another holder's record clears: whoever cannot reach the store never steps down.
//!
//! Sources: Excalibur on Kubernetes, behind a partition; Oban, where an election that failed kept the flag (oban#1488).

use std::time::Duration;

use tenure_core::{Answer, Event, Input, LossReason, Order, Output, Renewed, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "flag_not_deadline",
    bug: "leadership is a flag that only another holder's record clears",
    elector: |elector| twisted(elector, Flag),
    ..Mutant::HONEST
};

/// Longer than any simulation.
const FOR_EVER: Duration = Duration::from_secs(3_600);

struct Flag;

impl Twist for Flag {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        let lost = match &input {
            Input::Answer(_, Answer::Renewed(Renewed::Lost { to })) => Some(LossReason::Lost { to: to.clone() }),
            _ => None,
        };
        frame.handle(now, input);
        if let Some(reason) = lost {
            frame.out.push_back(Output::Work(Order::Kill { reason }));
        }
    }

    fn output(&mut self, now: Time, output: Output, frame: &mut Framed) {
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
