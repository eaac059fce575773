//! What is asked of a store, and what it answers: plain data, shared by the elector, the stores and the simulator.

use core::time::Duration;

use crate::{HolderId, LeaseKey, Nonce, Note, Term};

/// Asks for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The key that is wanted.
    pub key: LeaseKey,
    /// Who wants it.
    pub holder: HolderId,
    /// Unique per process start and campaign; a repeated claim repeats it.
    pub nonce: Nonce,
    /// How long the lease lasts from the moment the store grants it.
    pub ttl: Duration,
    /// For how long a tenure of this key may have been promised to its holder, where that is more than the ttl: a store
    /// that came back and may have forgotten a tenure grants nothing for so long.
    pub hold: Duration,
    /// The highest term that this candidate ever saw for the key; the granted term exceeds it.
    pub above: Option<Term>,
    /// Written with the lease.
    pub note: Note,
}

/// Names a tenure, to renew or release it. A store acts only where key, nonce and term all match its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The key that is held.
    pub key: LeaseKey,
    /// The nonce of the claim that was granted.
    pub nonce: Nonce,
    /// The term that was granted.
    pub term: Term,
    /// The lease's new duration from the moment of the renewal.
    pub ttl: Duration,
    /// Replaces the note: on a renewal while it lasts, on a release as the last note.
    pub note: Note,
}

/// The answer to a [`Claim`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The claimant holds the key from now on, for the ttl. A repeated claim gets the unchanged term, and the lease
    /// is extended by it.
    Granted {
        /// The tenure's term.
        term: Term,
        /// The last note of the tenures before this one that was not empty, where the store still has it.
        last_note: Option<Note>,
    },
    /// Somebody holds the key.
    Held {
        /// Who.
        by: HolderId,
        /// Its term; `None` where the record was written by another program.
        term: Option<Term>,
        /// A lower bound of the time until the lease can expire; `None` where the store cannot know.
        remaining: Option<Duration>,
    },
}

/// The answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The lease lasts for its ttl from now.
    Extended {
        /// Somebody asked, through the record, that the holder resign.
        resign_requested: bool,
    },
    /// The tenure has ended, for certain: expired (even if nobody took the key), taken, released or deleted.
    Lost {
        /// Who holds the key now, where somebody does.
        to: Option<HolderId>,
    },
}

/// The answer to a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The key is free from now on; its term record stays.
    Freed,
    /// The record is not that tenure's (any more); nothing was done.
    NotHeld,
}

/// Who wrote a record, and in which shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordFormat {
    /// This project, in this version of its format.
    Tenure(u32),
    /// Another program. Such a key counts as held.
    Foreign,
}

/// One lease as a store shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The key that is held.
    pub key: LeaseKey,
    /// By whom.
    pub holder: HolderId,
    /// Under which nonce; `None` for foreign records.
    pub nonce: Option<Nonce>,
    /// Under which term; `None` for foreign records.
    pub term: Option<Term>,
    /// The lease's full duration; `None` where it has no end.
    pub ttl: Option<Duration>,
    /// What is left of it, by the store's own clock; `None` where the store cannot know.
    pub remaining: Option<Duration>,
    /// The holder's note.
    pub note: Note,
    /// Who wrote the record.
    pub format: RecordFormat,
}
