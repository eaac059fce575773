//! No work starts, and none goes on, while the health gate is closed or after a resignation. Asked in both modes.
//!
//! A grant may come after either; it is given back. Work that was running is told to stop at once.

use super::verdict::Verdict;
use crate::worker::{Phase, Worker};

/// The invariant's name.
pub const NAME: &str = "work_is_wanted";

/// Asks it when work starts on `host`.
pub fn check(host: usize, healthy: bool, wanted: bool) -> Verdict {
    match (healthy, wanted) {
        (true, true) => Ok(()),
        (false, _) => Err(format!("work starts on host {host}, which is unhealthy")),
        (_, false) => Err(format!("work starts on host {host}, which has resigned")),
    }
}

/// Asks it after a process was told to resign or that it is unhealthy.
pub fn told(process: u64, workers: &[Worker], alive: &[usize]) -> Verdict {
    let mut alive = alive.iter().map(|worker| &workers[*worker]);
    match alive.find(|worker| worker.process == process && worker.phase == Phase::Working) {
        Some(worker) => Err(format!("host {} was told to stop, and works on under term {}", worker.host, worker.term)),
        None => Ok(()),
    }
}
