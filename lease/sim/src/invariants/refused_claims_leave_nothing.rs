//! A claim that is refused leaves nothing behind in the store. Asked in both modes, whenever a claim is refused.
//!
//! Standbys claim for as long as they live; whatever each attempt leaves piles up. A key has one lease at most, so that
//! a store which serves one key keeps one at most.

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "refused_claims_leave_nothing";

/// Asks it of a store that serves this many keys and keeps this many leases that have not run out.
pub fn check(keys: usize, kept: usize) -> Verdict {
    if kept > keys {
        return Err(format!("a claim is refused, and the store keeps {kept} leases for {keys} keys"));
    }
    Ok(())
}
