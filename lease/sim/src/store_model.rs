//! The store model: tenure-store's own pure table, on an injected clock.

use tenure_core::{Answer, Claimed, Failure, KeyPrefix, LeaseKey, Nonce, Request, Term, Time};
use tenure_store::{LeaseTable, StoreError};

use crate::store::{Op, State, Step, Store, StoreTime};

/// The honest store: tenure-store's own table.
#[derive(Clone, Debug, Default)]
pub struct StoreModel {
    pub(crate) table: LeaseTable,
    saved: LeaseTable,
    /// Every tenure, in the order of their grants.
    tenures: Vec<(LeaseKey, Nonce, Term)>,
    last: u64,
}

impl Store for StoreModel {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let answer = match op.request {
            Request::Acquire(claim) => match self.table.acquire(at.now, at.micros, &claim) {
                Ok(claimed) => {
                    if let Claimed::Granted { term, .. } = claimed {
                        self.note_grant((claim.key, claim.nonce, term));
                    }
                    Answer::Claimed(claimed)
                }
                Err(error) => failed(&error),
            },
            Request::Renew(held) => Answer::Renewed(self.table.renew(at.now, &held)),
            Request::Release(held) => Answer::Released(self.table.release(at.now, &held)),
            Request::Observe(key) => {
                let records = self.table.list(at.now, &KeyPrefix::from(&key));
                Answer::Observed(records.into_iter().find(|record| record.key == key))
            }
            Request::List { prefix, .. } => Answer::Listed(self.table.list(at.now, &prefix)),
        };
        Step::Answer(answer)
    }

    fn request_resign(&mut self, at: StoreTime, key: &LeaseKey) {
        self.table.request_resign(at.now, key);
    }

    fn forget(&mut self) {
        self.table.forget_all();
    }

    fn save(&mut self) {
        self.saved = self.table.clone();
    }

    fn come_back(&mut self, at: StoreTime, with: State) {
        match with {
            State::Saved => self.table.come_back(at.now, &self.saved),
            State::Empty => self.table.come_back(at.now, &LeaseTable::new()),
            State::TakenForAll => self.table = self.saved.clone(),
        }
    }

    fn last_grant(&self) -> u64 {
        self.last
    }

    fn kept(&self, now: Time) -> usize {
        self.table.list(now, &KeyPrefix::default()).len()
    }
}

impl StoreModel {
    /// A repeated claim is granted its old tenure again, also one that an older state brought back.
    fn note_grant(&mut self, tenure: (LeaseKey, Nonce, Term)) {
        let known = self.tenures.iter().rposition(|known| *known == tenure);
        let place = known.unwrap_or_else(|| {
            self.tenures.push(tenure);
            self.tenures.len() - 1
        });
        self.last = place as u64 + 1;
    }
}

fn failed(error: &StoreError) -> Answer {
    Answer::Failed(Failure { outcome_unknown: error.is_outcome_unknown(), message: error.to_string() })
}
