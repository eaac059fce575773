//! A candidate that leaves its leases never releases one that work began under. Asked in both modes, of its elector; whoever
//! proves its death releases all the same.

use tenure_core::Held;

use super::verdict::Verdict;
use crate::worker::Worker;

/// The invariant's name.
pub const NAME: &str = "left_runs_out";

/// Asks it of one release that a candidate sends which leaves its leases.
pub fn check(held: &Held, workers: &[Worker]) -> Verdict {
    match workers.iter().find(|worker| (worker.nonce, worker.term) == (held.nonce, held.term)) {
        Some(worker) => Err(format!("term {} is released, though host {} leaves its leases", held.term, worker.host)),
        None => Ok(()),
    }
}
