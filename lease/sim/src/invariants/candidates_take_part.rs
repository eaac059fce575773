//! Once the faults have stopped, every candidate that does not lead goes on claiming. Asked in both modes.
//!
//! Somebody else leading hides a candidate that is stuck. A key that is held can be free again after a ttl, so whoever
//! waits for it must have asked within the last stretch of the simulation, which is three ttls long. Where the store has no
//! hints it can be free at any moment, and nobody tells: then they ask at every retry interval.

use super::verdict::Verdict;
use crate::candidate::Host;
use crate::true_time::Nanos;

/// The invariant's name.
pub const NAME: &str = "candidates_take_part";

/// Asks it at the end; `leaders` are the processes that lead, `since` tells since when the candidate of this number must have asked.
pub fn check(hosts: &[Host], leaders: &[u64], since: impl Fn(usize) -> Nanos) -> Verdict {
    for (number, host) in hosts.iter().enumerate() {
        match &host.process {
            None => return Err(format!("{} does not run", host.holder)),
            Some(process) if !leaders.contains(&process.id) && process.claimed_at < since(number) => {
                return Err(format!("{} is {:?} and does not claim", host.holder, process.machine.standing()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
