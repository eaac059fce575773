//! The release is written first, and the work is told to stop only once the release was answered or given up: it goes on
//! meanwhile. As in client-go with ReleaseOnCancel, where `release()` runs before the callback's context is cancelled.

use tenure_core::{Event, Input, Order, Output, Request, Time, Timing};

use crate::face::Face;
use crate::mutant::Mutant;
use crate::parts::{Frame, Inner, Twist};

pub(super) struct CancelsAfterRelease;

impl Mutant for CancelsAfterRelease {
    fn name(&self) -> &'static str {
        "cancels_after_release"
    }

    fn bug(&self) -> &'static str {
        "the release is written first, the work is told to stop afterwards"
    }

    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        Frame::around(elector, Late::default())
    }
}

#[derive(Default)]
struct Late {
    held_back: Vec<Output>,
    release: Option<tenure_core::RequestId>,
}

impl Twist for Late {
    fn input(&mut self, now: Time, input: Input, frame: &mut Inner) {
        if matches!(&input, Input::Answer(id, _) if self.release == Some(*id)) {
            self.release = None;
            frame.out.extend(self.held_back.drain(..));
        }
        frame.handle(now, input);
    }

    fn output(&mut self, now: Time, output: Output, frame: &mut Inner) {
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
