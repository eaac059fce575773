//! A release is written only after the work has ended. Asked in both modes, when it is sent and when it arrives.
//!
//! Stop, drain, then release. The bug that it stands against: client-go with ReleaseOnCancel.

use super::verdict::Verdict;
use crate::tenure::Tenure;
use crate::worker::Worker;

/// The invariant's name.
pub const NAME: &str = "release_after_work";

/// Asks it of one release.
pub fn check(released: Tenure, workers: &[Worker], alive: &[usize]) -> Verdict {
    let mut alive = alive.iter().map(|worker| &workers[*worker]);
    let left = alive.find(|worker| worker.tenure() == released);
    match left {
        Some(worker) => Err(format!(
            "term {} is released while its work on host {} is {:?}",
            released.term, worker.host, worker.phase
        )),
        None => Ok(()),
    }
}
