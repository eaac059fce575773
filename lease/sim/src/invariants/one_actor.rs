//! At any instant at most one worker acts. Asked inside the fault model.
//!
//! The promise of a lease, after Gray and Cheriton 1989 on leases and bounded drift. A worker acts while anything of it
//! is left, its host runs, and its own clock is before its deadline. That can only become true when a worker starts,
//! when its deadline moves, or when its host wakes up, so it is asked then.

use super::verdict::Verdict;
use crate::worker::Worker;

/// The invariant's name.
pub const NAME: &str = "one_actor";

/// Asks it of the workers that act now.
pub fn check(workers: &[Worker], acting: &[usize]) -> Verdict {
    match acting {
        [] | [_] => Ok(()),
        [first, .., last] => {
            let (first, last) = (&workers[*first], &workers[*last]);
            Err(format!(
                "{} workers act at once: host {} under term {}, and host {} under term {}",
                acting.len(),
                first.host,
                first.term,
                last.host,
                last.term
            ))
        }
    }
}
