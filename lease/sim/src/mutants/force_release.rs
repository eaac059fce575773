//! Taking over is three calls: see that the lease has expired, wipe the holder by force, claim after a random sleep. A
//! late contender wipes a fresh holder. As in kube-lease-manager.

use tenure_core::Request;

use crate::mutant::Mutant;
use crate::parts::PlainStore;
use crate::store::{Op, Step, Store, StoreTime};
use crate::true_time::MS;

pub(super) struct ForceRelease;

impl Mutant for ForceRelease {
    fn name(&self) -> &'static str {
        "force_release"
    }

    fn bug(&self) -> &'static str {
        "a late contender wipes a fresh holder by force"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(WipesFirst(PlainStore::new()))
    }
}

struct WipesFirst(PlainStore);

const LOOK: u8 = 0;
const WIPE: u8 = 1;

impl Store for WipesFirst {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let store = &mut self.0;
        let Request::Acquire(claim) = &op.request else { return Step::Answer(store.other(at.now, &op.request)) };
        if op.stage == WIPE {
            store.record = None;
            let after = store.rng.range(100 * MS, 1_000 * MS);
            return Step::Later(after, Op { stage: WIPE + 1, ..op });
        }
        match store.current(at.now) {
            Some(record) if record.nonce != claim.nonce => Step::Answer(store.held_by(at.now)),
            Some(record) => {
                let (grant, term) = (record.grant, record.term);
                if let Some(record) = &mut store.record {
                    record.expires = at.now + claim.ttl;
                }
                Step::Answer(store.granted(grant, term))
            }
            None if op.stage == LOOK && store.record.is_some() => {
                let after = store.between_calls();
                Step::Later(after, Op { stage: WIPE, ..op })
            }
            None => {
                let term = store.mint(at.micros);
                let grant = store.write(at.now, claim, term);
                Step::Answer(store.granted(grant, term))
            }
        }
    }

    fn forget(&mut self) {
        self.0.record = None;
    }

    fn last_grant(&self) -> u64 {
        self.0.answered
    }
}
