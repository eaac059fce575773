//! A lease that is to be left to run out is released when its work has ended.
//!
//! It stands for a clean-up path that does not know the setting `leave_lease`.

use tenure_core::{Input, Output, Request, RequestId, Time};

use crate::mutant::Mutant;
use crate::parts::machine_frame::{Framed, Twist, twisted};

pub(super) const MUTANT: Mutant = Mutant {
    name: "releases_all_the_same",
    bug: "a lease that is to be left is released when its work has ended",
    elector: |elector| twisted(elector, AlwaysReleases),
    ..Mutant::HONEST
};

struct AlwaysReleases;

impl Twist for AlwaysReleases {
    fn input(&mut self, now: Time, input: Input, frame: &mut Framed) {
        let held = frame.held().filter(|_| matches!(input, Input::WorkEnded));
        frame.handle(now, input);
        if let Some(held) = held {
            // The elector never comes to this number, so it ignores the answer.
            frame.out.push_back(Output::Send(RequestId(u64::MAX), Request::Release(held)));
        }
    }
}
