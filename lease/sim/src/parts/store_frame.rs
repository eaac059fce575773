//! A frame around the store model: a mutant changes one of its calls, and nothing else.

use tenure_core::{LeaseKey, Time};

use crate::store::{Op, State, Step, Store, StoreTime};
use crate::store_model::StoreModel;

/// What a mutant changes about the store model. By default nothing.
pub(crate) trait StoreTwist {
    /// See [`Store::step`].
    fn step(&mut self, at: StoreTime, op: Op, model: &mut StoreModel) -> Step {
        model.step(at, op)
    }

    /// See [`Store::forget`].
    fn forget(&mut self, model: &mut StoreModel) {
        model.forget();
    }

    /// See [`Store::come_back`].
    fn come_back(&mut self, at: StoreTime, with: State, model: &mut StoreModel) {
        model.come_back(at, with);
    }
}

struct Frame<T> {
    twist: T,
    model: StoreModel,
}

/// A store model with `twist` before it.
pub(crate) fn twisted(twist: impl StoreTwist + 'static) -> Box<dyn Store> {
    Box::new(Frame { twist, model: StoreModel::default() })
}

impl<T: StoreTwist> Store for Frame<T> {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        self.twist.step(at, op, &mut self.model)
    }

    fn request_resign(&mut self, at: StoreTime, key: &LeaseKey) {
        self.model.request_resign(at, key);
    }

    fn forget(&mut self) {
        self.twist.forget(&mut self.model);
    }

    fn save(&mut self) {
        self.model.save();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        self.twist.come_back(at, with, &mut self.model);
    }

    fn last_grant(&self) -> u64 {
        self.model.last_grant()
    }

    fn kept(&self, now: Time) -> usize {
        self.model.kept(now)
    }
}
