//! A holder that was asked, through the record, to resign does not claim the key for a ttl after its work has ended, unless
//! somebody else has been granted it meanwhile. Asked in both modes.
//!
//! Without this the old holder nearly always wins: it campaigns the moment its release is answered, while the others
//! first have to hear of it.

use std::time::Duration;

use tenure_core::Time;

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "leaves_the_key";

/// What it remembers of one process.
#[derive(Debug, Default)]
pub struct LeavesTheKey {
    /// How many tenures had been granted, this one included, when the store told of the request.
    asked: Option<u64>,
    /// Until when, by the host's own clock, and that number.
    leaves: Option<(Time, u64)>,
}

impl LeavesTheKey {
    /// The process leads and was told of the request, in an answer that the store gave when that many tenures had been
    /// granted.
    pub fn asked(&mut self, grants: u64) {
        self.asked.get_or_insert(grants);
    }

    /// Its tenure is lost, so that it has no key to leave to others.
    pub fn lost(&mut self) {
        self.asked = None;
    }

    /// The work of a tenure that it still holds has ended.
    pub fn work_ended(&mut self, now: Time, ttl: Duration) {
        if let Some(grants) = self.asked.take() {
            self.leaves = Some((now + ttl, grants));
        }
    }

    /// Asks it when the process sends a claim.
    pub fn claims(&self, now: Time, grants: u64) -> Verdict {
        match self.leaves {
            Some((until, then)) if now < until && grants == then => {
                Err(format!("a claim {:?} before the end of the time that was left to others", until.since(now)))
            }
            _ => Ok(()),
        }
    }
}
