//! At the deadline the work is already dead. Asked in both modes.
//!
//! Leadership is a deadline, not a flag. A suspended host can kill nothing, and its work can do nothing: after it wakes
//! up, the work has the few milliseconds that its watchdog and the kill itself take, and its own comparison with the
//! deadline keeps it from acting meanwhile.

use super::verdict::Verdict;
use crate::true_time::{MS, Nanos};
use crate::worker::Worker;

/// The invariant's name.
pub const NAME: &str = "dead_by_deadline";

/// How long after waking up a host may have dead work standing around: scheduling, then the kill itself.
pub fn grace(kill_takes: Nanos) -> Nanos {
    10 * MS + kill_takes
}

/// Asks it of a worker whose deadline has passed while its host was running, and woke up longer than the grace ago.
pub fn check(worker: &Worker) -> Verdict {
    if worker.is_alive() {
        return Err(format!(
            "work on host {} under term {} is {:?} after its deadline",
            worker.host, worker.term, worker.phase
        ));
    }
    Ok(())
}
