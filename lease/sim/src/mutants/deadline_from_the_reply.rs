//! The deadline counts from the answer, not from the sending: the time that the answer took is added to the lease.

use std::collections::VecDeque;
use std::time::Duration;

use tenure_core::{Answer, Claimed, Held, Input, Order, Output, Renewed, RequestId, Standing, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;

pub(super) struct DeadlineFromTheReply;

impl Mutant for DeadlineFromTheReply {
    fn name(&self) -> &'static str {
        "deadline_from_the_reply"
    }

    fn bug(&self) -> &'static str {
        "the deadline counts from the answer, not from the sending"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Box::new(Slow { elector, lag: Duration::ZERO, now: Time::ZERO, sent: VecDeque::new() })
    }
}

/// Lets the elector live in the past: by as much as answers took, it believes that they came the moment it asked.
struct Slow {
    elector: Box<dyn Face>,
    lag: Duration,
    now: Time,
    sent: VecDeque<(RequestId, Time)>,
}

impl Face for Slow {
    fn handle(&mut self, now: Time, input: Input) {
        if let Input::Answer(id, answer) = &input
            && matches!(answer, Answer::Claimed(Claimed::Granted { .. }) | Answer::Renewed(Renewed::Extended { .. }))
            && let Some(at) = self.sent.iter().position(|(sent, _)| sent == id)
            && let Some((_, at)) = self.sent.remove(at)
        {
            // Now is the moment at which that was sent.
            self.lag = self.lag.max(now.since(at));
        }
        self.now = now - self.lag;
        self.elector.handle(self.now, input);
    }

    fn poll(&mut self) -> Option<Output> {
        let output = self.elector.poll()?;
        Some(match output {
            Output::Send(id, request) => {
                if self.sent.len() == 16 {
                    self.sent.pop_front();
                }
                self.sent.push_back((id, self.now));
                Output::Send(id, request)
            }
            Output::Work(Order::Start { term, nonce, last_note, deadline }) => {
                Output::Work(Order::Start { term, nonce, last_note, deadline: deadline + self.lag })
            }
            Output::Work(Order::Extend { deadline }) => Output::Work(Order::Extend { deadline: deadline + self.lag }),
            Output::Work(Order::Stop { reason, kill_at }) => {
                Output::Work(Order::Stop { reason, kill_at: kill_at + self.lag })
            }
            other => other,
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.elector.poll_timeout().map(|due| due + self.lag)
    }

    fn is_current(&self, now: Time) -> bool {
        self.elector.is_current(now - self.lag)
    }

    fn held(&self) -> Option<Held> {
        self.elector.held()
    }

    fn standing(&self) -> Standing {
        self.elector.standing()
    }
}
