//! What a pipeline can be told, and how it answers.

use std::time::Duration;

use tenure::Mandate;
use tenure_core::{Note, Term, Time};
use tenure_twitch::ReaderEvent;
use tokio::sync::{mpsc, oneshot};

use crate::note::CoverageNote;

/// What the daemon tells its pipeline.
#[derive(Debug)]
pub enum Command {
    /// Lead from now on. `mandate` is none where elections are switched off.
    Lead {
        /// The right to publish.
        mandate: Option<Mandate>,
        /// What the leader before wrote last.
        last_note: Option<Note>,
    },
    /// Publish what was read so far, for as long as the mandate and the bound allow, then stand by. A standby waits, in
    /// the same bound, until what it holds has appeared, and repairs what does not.
    StandBy {
        /// How long to go on publishing. A batch that is on its way then is waited for one second more.
        within: Duration,
        /// The reader was stopped: whatever it has still delivered is published too, to the last entry.
        reading_ends: bool,
        /// Answered when standing by.
        done: oneshot::Sender<StoodBy>,
    },
    /// Stand by now, whatever bound was given; nothing where nobody asked to stand by.
    Hurry,
    /// A term was seen to lead.
    Observe(Term),
    /// Read from these lines from now on, until their sender is gone.
    Read(mpsc::Receiver<ReaderEvent>),
}

/// How a leader's part ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoodBy {
    /// How many entries are still held.
    pub held: usize,
    /// What was covered at the end.
    pub note: CoverageNote,
}

/// A [`Command::StandBy`] that is being carried out.
pub(super) struct StandingBy {
    pub(super) asked: Time,
    pub(super) until: Time,
    pub(super) reading_ends: bool,
    pub(super) done: oneshot::Sender<StoodBy>,
}
