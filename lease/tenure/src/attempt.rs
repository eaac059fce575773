//! What became of one claim.

use std::time::Duration;

use tenure_core::{HolderId, Term};

use crate::leadership::Leadership;

/// What became of one claim: the answer of [`crate::Election::try_campaign`].
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "dropping leadership says that the work has ended: the lease is released then"]
pub enum Attempt {
    /// The key was free: this candidate leads.
    Leading(Leadership),
    /// Somebody holds it; every slot of a [`crate::Semaphore`], of whose holders the one is told whose lease can run out
    /// first.
    Held {
        /// Who; this candidate itself where a tenure of its own has not ended.
        by: HolderId,
        /// Under which term; `None` where another program wrote the record.
        term: Option<Term>,
        /// A lower bound of the time until the lease can run out; `None` where the store cannot know.
        remaining: Option<Duration>,
    },
    /// The store was not asked: the health gate is closed, or somebody asked this candidate a moment ago to give the key
    /// up, and it leaves it to others for a while.
    StoodBack,
}

impl Attempt {
    /// The leadership, where it was granted.
    pub fn leadership(self) -> Option<Leadership> {
        match self {
            Attempt::Leading(leadership) => Some(leadership),
            Attempt::Held { .. } | Attempt::StoodBack => None,
        }
    }
}
