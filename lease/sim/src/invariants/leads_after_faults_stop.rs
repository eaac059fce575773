//! Once the faults have stopped, somebody leads within a bounded time, and goes on leading. Asked in both modes.
//!
//! The bound is the plan's patience: a lease to run out, messages that are still late, a few retries. The timers alone
//! must keep it, so it is the same with and without wake-ups.

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "leads_after_faults_stop";

/// What it remembers.
#[derive(Debug, Default)]
pub struct LeadsAfterFaultsStop {
    leader: Option<usize>,
}

impl LeadsAfterFaultsStop {
    /// The time is up: exactly one worker must be working.
    pub fn time_is_up(&mut self, working: &[usize]) -> Verdict {
        match working {
            [] => Err("nobody leads".into()),
            [leader] => {
                self.leader = Some(*leader);
                Ok(())
            }
            more => Err(format!("{} lead", more.len())),
        }
    }

    /// The end of the simulation: the same one must be working.
    pub fn end(&self, working: &[usize]) -> Verdict {
        match self.leader {
            Some(leader) if working == [leader] => Ok(()),
            _ => Err("the leader did not stay, though nothing was wrong".into()),
        }
    }
}
