//! No process has work under two leases at once. Asked in both modes, whenever work starts, as it depends on no store.
//!
//! A process that holds two slots keeps one of them from somebody else, and its user, who asked for one, runs the work twice.
//! What it stands against: a holder that begins a new search before the old work has ended, or claims several slots at once.

use super::verdict::Verdict;
use crate::worker::Worker;

/// The invariant's name.
pub const NAME: &str = "one_slot_each";

/// Asks it when the latest worker has started; `alive` are those of which anything is left.
pub fn started(workers: &[Worker], alive: &[usize]) -> Verdict {
    let Some((latest, others)) = alive.split_last() else { return Ok(()) };
    let latest = &workers[*latest];
    match others.iter().map(|worker| &workers[*worker]).find(|worker| worker.process == latest.process) {
        Some(other) => Err(format!(
            "a process on host {} works under slot {}, and under slot {} all the while",
            latest.host, latest.slot, other.slot
        )),
        None => Ok(()),
    }
}
