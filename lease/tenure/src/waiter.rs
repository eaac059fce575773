//! Who waits for leadership, and what it is answered.

use std::time::Duration;

use tenure_core::{HolderId, NotElected, Term};
use tokio::sync::oneshot;

use crate::hold::Hold;

/// Somebody who campaigns.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Dropped unanswered where the campaign ends because somebody resigned or stopped the election.
    pub(crate) reply: oneshot::Sender<Outcome>,
    /// Whether one try is all that it wants.
    pub(crate) once: bool,
}

/// How a campaign ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With leadership. A waiter that has gone hands it back, which drops it: the work has ended before it began.
    Granted(Hold),
    /// Its one try was in vain.
    NotElected(NotElected, Obstacle),
}

/// What stood in the way of one try.
#[derive(Debug, Default)]
pub(crate) struct Obstacle {
    /// The holder that was met; of several the one whose lease can run out first.
    pub(crate) holder: Option<(HolderId, Option<Term>, Option<Duration>)>,
    /// How the store failed last, in its own words.
    pub(crate) failure: Option<String>,
}

impl Obstacle {
    /// Somebody holds what was claimed.
    pub(crate) fn held(&mut self, by: &HolderId, term: Option<Term>, remaining: Option<Duration>) {
        let sooner = match &self.holder {
            None => true,
            Some((_, _, known)) => remaining.is_some_and(|remaining| known.is_none_or(|known| remaining < known)),
        };
        if sooner {
            self.holder = Some((by.clone(), term, remaining));
        }
    }

    /// The store failed.
    pub(crate) fn failed(&mut self, message: &str) {
        self.failure = Some(message.to_owned());
    }
}
