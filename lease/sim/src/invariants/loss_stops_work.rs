//! A definite loss stops the work at once. Asked in both modes.
//!
//! An unknown outcome may wait for the deadline; this may not. The bug that it stands against: client-go keeps its
//! callback running for up to RenewDeadline after it has seen another holder.

use super::verdict::Verdict;
use crate::tenure::Tenure;
use crate::worker::{Phase, Worker};

/// The invariant's name.
pub const NAME: &str = "loss_stops_work";

/// Asks it after a candidate was told that this tenure is lost, of the work that the same process runs under it.
pub fn check(process: u64, lost: Tenure, current: bool, workers: &[Worker], alive: &[usize]) -> Verdict {
    for worker in alive.iter().map(|worker| &workers[*worker]) {
        let same = worker.process == process && worker.tenure() == lost;
        if same && (current || worker.phase != Phase::Dying) {
            return Err(format!(
                "host {} was told that term {} is lost, and its work is {:?}",
                worker.host, worker.term, worker.phase
            ));
        }
    }
    Ok(())
}
