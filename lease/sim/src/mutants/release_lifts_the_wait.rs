//! A store that came back with an older state takes a release, too, for proof that it knows all: whoever finds its own
//! restored lease and gives it back is granted the key at once, beside the last holder. As our Redis scripts did, which
//! stamped a record with whatever they wrote.

use tenure_core::{Answer, Claimed, Released, Request};

use crate::mutant::Mutant;
use crate::store::{Op, State, Step, Store, StoreTime};
use crate::store_model::StoreModel;

pub(super) struct ReleaseLiftsTheWait;

impl Mutant for ReleaseLiftsTheWait {
    fn name(&self) -> &'static str {
        "release_lifts_the_wait"
    }

    fn bug(&self) -> &'static str {
        "after a restart the release of an older lease is taken for proof that nothing was forgotten"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(Convinced { waits: StoreModel::default(), trusts: None })
    }
}

struct Convinced {
    waits: StoreModel,
    /// The same without the wait, since the last restart.
    trusts: Option<StoreModel>,
}

impl Store for Convinced {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let request = op.request.clone();
        let step = self.waits.step(at, op.clone());
        let Some(trusts) = &mut self.trusts else { return step };
        match (&request, &step) {
            // The wait is what the two differ in.
            (Request::Acquire(_), Step::Answer(Answer::Claimed(Claimed::Held { term: None, .. }))) => {}
            (Request::Release(_), Step::Answer(Answer::Released(Released::Freed))) => {
                trusts.step(at, op);
                self.waits = trusts.clone();
                self.trusts = None;
            }
            _ => drop(trusts.step(at, op)),
        }
        step
    }

    fn forget(&mut self) {
        self.waits.forget();
        self.trusts = None;
    }

    fn save(&mut self) {
        self.waits.save();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        let mut trusts = self.waits.clone();
        self.waits.come_back(at, with);
        match with {
            State::Empty => trusts.forget(),
            State::Saved | State::TakenForAll => trusts.come_back(at, State::TakenForAll),
        }
        self.trusts = Some(trusts);
    }

    fn last_grant(&self) -> u64 {
        self.waits.last_grant()
    }
}
