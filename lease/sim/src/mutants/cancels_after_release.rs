//! The release is written first. The work is told to stop only once the release was answered or given up, and goes on
//! meanwhile.
//!
//! Source: client-go with ReleaseOnCancel, where `release()` runs before the callback's context is cancelled.

use tenure_core::{Event, Input, Order, Output, Request, RequestId, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "cancels_after_release",
    bug: "the release is written first, the work is told to stop afterwards",
    elector: |elector| twisted(elector, StopsLate::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct StopsLate {
    /// What the work and the listeners are not told before the release is answered.
    held_back: Vec<Output>,
    release: Option<RequestId>,
}

impl Twist for StopsLate {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        if matches!(&input, Input::Answer(id, _) if self.release == Some(*id)) {
            self.release = None;
            frame.out.extend(self.held_back.drain(..));
        }
        frame.handle(now, input);
    }

    fn output(&mut self, now: Time, output: Output, frame: &mut Framed) {
        match output {
            Output::Work(Order::Stop { .. } | Order::Kill { .. }) => {
                self.held_back.push(output);
                frame.handle(now, Input::WorkEnded);
            }
            Output::Event(Event::LostLeadership { .. }) => self.held_back.push(output),
            Output::Send(id, Request::Release(_)) => {
                self.release = Some(id);
                frame.out.push_back(output);
            }
            // A new tenure: what was held back is too late for the old one.
            Output::Work(Order::Start { .. }) => {
                frame.out.extend(self.held_back.drain(..));
                frame.out.push_back(output);
            }
            other => frame.out.push_back(other),
        }
    }
}
