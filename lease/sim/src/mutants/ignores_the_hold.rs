//! A store that may have forgotten waits for the claimant's ttl, and not for what a predecessor may have been promised
//! beyond it (`Claim::hold`).
//!
//! Source: this project, before `hold` was sent with each claim. A cron job ran twice.

use std::time::Duration;

use tenure_core::{Claim, Request};

use crate::mutant::Mutant;
use crate::parts::store_frame::{self, StoreTwist};
use crate::store::{Op, Step, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) const MUTANT: Mutant = Mutant {
    name: "ignores_the_hold",
    bug: "after a restart a key that was kept beyond its ttl is granted after a ttl",
    store: || store_frame::twisted(TtlOnly),
    ..Mutant::HONEST
};

struct TtlOnly;

impl StoreTwist for TtlOnly {
    fn step(&mut self, at: StoreTime, op: Op, model: &mut StoreModel) -> Step {
        let request = match op.request {
            Request::Acquire(claim) => Request::Acquire(Claim { hold: Duration::ZERO, ..claim }),
            other => other,
        };
        model.step(at, Op { request, ..op })
    }
}
