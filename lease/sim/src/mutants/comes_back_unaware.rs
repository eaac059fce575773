//! A store that comes back from a snapshot, or without its data, takes what it finds for all there is.
//!
//! It stands for every server that keeps leases without knowing what a restart can lose.

use crate::mutant::Mutant;
use crate::parts::store_frame::{self, StoreTwist};
use crate::store::{State, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) const MUTANT: Mutant = Mutant {
    name: "comes_back_unaware",
    bug: "a store that came back with an older state grants at once what looks free",
    store: || store_frame::twisted(Unaware),
    ..Mutant::HONEST
};

struct Unaware;

impl StoreTwist for Unaware {
    fn come_back(&mut self, at: StoreTime, with: State, model: &mut StoreModel) {
        match with {
            State::Empty => model.forget(),
            State::Saved | State::TakenForAll => model.come_back(at, State::TakenForAll),
        }
    }
}
