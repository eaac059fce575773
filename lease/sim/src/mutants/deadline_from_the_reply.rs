//! The deadline counts from the answer, not from the sending: the time that the answer took is added to the lease.
//!
//! It stands for `expires = now() + ttl`, computed after the call has returned.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_core::{Answer, Claimed, Input, Order, Output, Renewed, RequestId, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "deadline_from_the_reply",
    bug: "the deadline counts from the answer, not from the sending",
    elector: |elector| twisted(elector, CountsFromTheReply::default()),
    ..Mutant::HONEST
};

/// Lets the elector live in the past: by as much as answers took, it believes that they came the moment it asked.
#[derive(Default)]
struct CountsFromTheReply {
    lag: Duration,
    /// The latest requests, and when the elector believes to have sent them.
    sent: VecDeque<(RequestId, Time)>,
}

impl Twist for CountsFromTheReply {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        if let Input::Answer(id, answer) = &input
            && matches!(answer, Answer::Claimed(Claimed::Granted { .. }) | Answer::Renewed(Renewed::Extended { .. }))
            && let Some(at) = self.sent.iter().position(|(sent, _)| sent == id)
            && let Some((_, at)) = self.sent.remove(at)
        {
            // From here on, now is the moment at which that was sent.
            self.lag = self.lag.max(now.since(at));
        }
        frame.handle(now - self.lag, input);
    }

    fn output(&mut self, now: Time, output: Output, frame: &mut Framed) {
        let lag = self.lag;
        frame.out.push_back(match output {
            Output::Send(id, request) => {
                if self.sent.len() == 16 {
                    self.sent.pop_front();
                }
                self.sent.push_back((id, now - lag));
                Output::Send(id, request)
            }
            Output::Work(Order::Start { term, nonce, last_note, deadline }) => {
                Output::Work(Order::Start { term, nonce, last_note, deadline: deadline + lag })
            }
            Output::Work(Order::Extend { deadline }) => Output::Work(Order::Extend { deadline: deadline + lag }),
            Output::Work(Order::Stop { reason, kill_at }) => {
                Output::Work(Order::Stop { reason, kill_at: kill_at + lag })
            }
            other => other,
        });
    }

    fn lag(&self) -> Duration {
        self.lag
    }
}
