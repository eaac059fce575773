//! Once the faults have stopped, somebody leads within a bounded time, and goes on leading; of several slots, as many do
//! as can. Asked in both modes.
//!
//! The bound is the plan's patience: a lease to run out, messages that are still late, a few retries. The timers alone
//! must keep it, so it is the same with and without wake-ups.

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "leads_after_faults_stop";

/// What it remembers.
#[derive(Debug, Default)]
pub struct LeadsAfterFaultsStop {
    leaders: Vec<usize>,
}

impl LeadsAfterFaultsStop {
    /// The time is up: exactly so many workers must be working.
    pub fn time_is_up(&mut self, working: &[usize], places: usize) -> Verdict {
        self.leaders = working.to_vec();
        match working.len() {
            0 => Err("nobody leads".into()),
            leading if leading == places => Ok(()),
            leading => Err(format!("{leading} lead")),
        }
    }

    /// The end of the simulation: the same ones must be working.
    pub fn end(&self, working: &[usize]) -> Verdict {
        if self.leaders.is_empty() || working != self.leaders {
            return Err("the leader did not stay, though nothing was wrong".into());
        }
        Ok(())
    }
}
