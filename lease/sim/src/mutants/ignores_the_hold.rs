//! A store that may have forgotten waits for the claimant's ttl, and not for what a predecessor may have been promised
//! beyond it. As ours did: a cron job ran twice.

use tenure_core::{Claim, Request};

use crate::mutant::Mutant;
use crate::store::{Op, State, Step, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) struct IgnoresTheHold;

impl Mutant for IgnoresTheHold {
    fn name(&self) -> &'static str {
        "ignores_the_hold"
    }

    fn bug(&self) -> &'static str {
        "after a restart a key that was kept beyond its ttl is granted after a ttl"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(TtlOnly(StoreModel::default()))
    }
}

struct TtlOnly(StoreModel);

impl Store for TtlOnly {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let request = match op.request {
            Request::Acquire(claim) => Request::Acquire(Claim { hold: std::time::Duration::ZERO, ..claim }),
            other => other,
        };
        self.0.step(at, Op { request, ..op })
    }

    fn forget(&mut self) {
        self.0.forget();
    }

    fn save(&mut self) {
        self.0.save();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        self.0.come_back(at, with);
    }

    fn last_grant(&self) -> u64 {
        self.0.last_grant()
    }
}
