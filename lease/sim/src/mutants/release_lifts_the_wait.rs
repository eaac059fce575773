//! A store that came back with an older state takes a release for proof that it knows all: whoever finds its own restored
//! lease and gives it back is granted the key at once, beside the last holder.
//!
//! Source: this project's Redis scripts, which stamped a record as known with whatever they wrote.

use tenure_core::{Answer, Claimed, Released, Request};

use crate::mutant::Mutant;
use crate::parts::store_frame::{self, StoreTwist};
use crate::store::{Op, State, Step, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) const MUTANT: Mutant = Mutant {
    name: "release_lifts_the_wait",
    bug: "after a restart the release of an older lease is taken for proof that nothing was forgotten",
    store: || store_frame::twisted(Convinced::default()),
    ..Mutant::HONEST
};

#[derive(Default)]
struct Convinced {
    /// The same store without the wait, since the last restart.
    trusts: Option<StoreModel>,
}

impl StoreTwist for Convinced {
    fn step(&mut self, at: StoreTime, op: Op, waits: &mut StoreModel) -> Step {
        let request = op.request.clone();
        let step = waits.step(at, op.clone());
        let Some(trusts) = &mut self.trusts else { return step };
        match (&request, &step) {
            // The wait is what the two differ in.
            (Request::Acquire(_), Step::Answer(Answer::Claimed(Claimed::Held { term: None, .. }))) => {}
            (Request::Release(_), Step::Answer(Answer::Released(Released::Freed))) => {
                trusts.step(at, op);
                *waits = trusts.clone();
                self.trusts = None;
            }
            _ => drop(trusts.step(at, op)),
        }
        step
    }

    fn forget(&mut self, waits: &mut StoreModel) {
        waits.forget();
        self.trusts = None;
    }

    fn come_back(&mut self, at: StoreTime, with: State, waits: &mut StoreModel) {
        let mut trusts = waits.clone();
        waits.come_back(at, with);
        match with {
            State::Empty => trusts.forget(),
            State::Saved | State::TakenForAll => trusts.come_back(at, State::TakenForAll),
        }
        self.trusts = Some(trusts);
    }
}
