//! Who waits for leadership, and what it is answered.

use std::time::Duration;

use tenure_core::{Failure, HolderId, Term};
use tokio::sync::oneshot;

use crate::hold::Hold;

/// Somebody who campaigns.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Dropped unanswered where the campaign ends without leadership.
    pub(crate) reply: oneshot::Sender<Outcome>,
    /// Whether one claim is all that it wants: the first answer is then its answer, whatever it is.
    pub(crate) once: bool,
}

/// How a campaign ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With leadership. A waiter that has gone hands it back, which drops it: the work has ended before it began.
    Granted(Hold),
    /// Its one claim met a holder.
    Held { by: HolderId, term: Option<Term>, remaining: Option<Duration> },
    /// Its one claim failed.
    Failed(Failure),
    /// There was no claim: the candidate stands back.
    StoodBack,
}
