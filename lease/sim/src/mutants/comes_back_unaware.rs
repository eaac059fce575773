//! A store that was restored from a snapshot, or comes back without its data, takes what it finds for all there is. As any
//! server does that keeps leases without knowing what a restart can lose.

use crate::mutant::Mutant;
use crate::store::{Op, State, Step, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) struct ComesBackUnaware;

impl Mutant for ComesBackUnaware {
    fn name(&self) -> &'static str {
        "comes_back_unaware"
    }

    fn bug(&self) -> &'static str {
        "a store that came back with an older state grants at once what looks free"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(Unaware(StoreModel::default()))
    }
}

struct Unaware(StoreModel);

impl Store for Unaware {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        self.0.step(at, op)
    }

    fn forget(&mut self) {
        self.0.forget();
    }

    fn save(&mut self) {
        self.0.save();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        match with {
            State::Empty => self.0.forget(),
            State::Saved | State::TakenForAll => self.0.come_back(at, State::TakenForAll),
        }
    }

    fn last_grant(&self) -> u64 {
        self.0.last_grant()
    }
}
