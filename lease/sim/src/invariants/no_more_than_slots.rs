//! At any instant at most as many act as there are slots. Asked inside the fault model.
//!
//! The promise of a counting semaphore, after Dijkstra, EWD 123 (1965): at most n processes are between P and V. The bug that
//! it stands against: who counts the holders and then takes a slot, in two steps, as the semaphore over a sorted set in
//! Carlson, Redis in Action (2013), section 6.3, which its author corrects there.

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "no_more_than_slots";

/// Asks it of the workers that act now.
pub fn check(slots: usize, acting: &[usize]) -> Verdict {
    if acting.len() > slots {
        return Err(format!("{} workers act at once, and there are {slots} slots", acting.len()));
    }
    Ok(())
}
