//! Once the faults have stopped, nobody waits for a slot while one is free. Asked in both modes, a bounded time later and at the
//! end.
//!
//! The other half of a semaphore's promise: capacity is used. A search that overlooks a free slot, or never looks again, breaks
//! it. What it stands against: consul-template and other users of Consul's semaphore recipe that wait for a watch to fire
//! and look at nothing until then.

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "waits_only_while_all_held";

/// Asks it of so many candidates, all of which want a slot, and so many that work.
pub fn check(slots: usize, candidates: usize, working: usize) -> Verdict {
    if working < slots.min(candidates) {
        return Err(format!("{working} of {candidates} candidates work, and there are {slots} slots"));
    }
    Ok(())
}
