//! The term is minted by a second operation, after the claim: a pause between the two gives the stale claimant the
//! higher term. As in Excalibur on Redis: `SET NX PX`, then `INCR`.

use tenure_core::Request;

use crate::mutant::Mutant;
use crate::parts::PlainStore;
use crate::store::{Op, Step, Store, StoreTime};

pub(super) struct TokenInversion;

impl Mutant for TokenInversion {
    fn name(&self) -> &'static str {
        "token_inversion"
    }

    fn bug(&self) -> &'static str {
        "the term is minted by a second operation, after the claim"
    }

    fn store(&self) -> Box<dyn Store> {
        Box::new(MintsAfterwards(PlainStore::new()))
    }
}

struct MintsAfterwards(PlainStore);

const CLAIM: u8 = 0;
const MINT: u8 = 1;

impl Store for MintsAfterwards {
    fn step(&mut self, at: StoreTime, op: Op) -> Step {
        let store = &mut self.0;
        let Request::Acquire(claim) = &op.request else { return Step::Answer(store.other(at.now, &op.request)) };
        if op.stage == MINT {
            let term = store.mint(at.micros);
            if let Some(record) = store.record.as_mut().filter(|record| record.grant == op.carry) {
                record.term = term;
            }
            return Step::Answer(store.granted(op.carry, term));
        }
        let grant = match store.current(at.now) {
            Some(record) if record.nonce != claim.nonce => return Step::Answer(store.held_by(at.now)),
            Some(record) if record.term.is_some() => {
                let (grant, term) = (record.grant, record.term);
                if let Some(record) = &mut store.record {
                    record.expires = at.now + claim.ttl;
                }
                return Step::Answer(store.granted(grant, term));
            }
            Some(_) => return Step::Answer(store.held_by(at.now)),
            None => store.write(at.now, claim, None),
        };
        debug_assert_eq!(op.stage, CLAIM);
        let after = store.between_calls();
        Step::Later(after, Op { stage: MINT, carry: grant, ..op })
    }

    fn forget(&mut self) {
        self.0.record = None;
    }

    fn last_grant(&self) -> u64 {
        self.0.answered
    }
}
