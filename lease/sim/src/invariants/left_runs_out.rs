//! A candidate that leaves its leases to run out (`leave_lease`) releases none that work began under. Asked in both modes, of
//! its elector. Whoever proves the death of such a candidate may release its lease.

use super::verdict::Verdict;
use crate::tenure::Tenure;
use crate::worker::Worker;

/// The invariant's name.
pub const NAME: &str = "left_runs_out";

/// Asks it of a release that is sent by a candidate with that setting.
pub fn check(released: Tenure, workers: &[Worker]) -> Verdict {
    match workers.iter().find(|worker| worker.tenure() == released) {
        Some(worker) => {
            Err(format!("term {} is released, though host {} leaves its leases", released.term, worker.host))
        }
        None => Ok(()),
    }
}
