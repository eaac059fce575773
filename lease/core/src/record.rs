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
    /// Binds the tenure to that of a member, in place of a ttl of its own. Its record lasts as long as the member's tenure:
    /// it never ages out and is not renewed, and `ttl` and `hold`, which are the member's, count for nothing but the wait
    /// after a restart that may have forgotten.
    pub bound: Option<BoundClaim>,
    /// Lets the claim through where the present tenure is bound to this member under this term or a lower one: the bound
    /// term of a tenure that is proven over. A tenure with a ttl of its own is never displaced.
    pub displaces: Option<Bound>,
}

impl Claim {
    /// A claim with this ttl, and nothing else: no hold, no note, any term, not bound, displacing nobody.
    pub fn new(key: LeaseKey, holder: HolderId, nonce: Nonce, ttl: Duration) -> Claim {
        let (hold, note) = (Duration::ZERO, Note::default());
        Claim { key, holder, nonce, ttl, hold, above: None, note, bound: None, displaces: None }
    }
}

/// The tenure of a member, which another lease is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The key of the member's own lease.
    pub member: LeaseKey,
    /// The term of its tenure there.
    pub term: Term,
}

/// What makes a claim a bound one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundClaim {
    /// The tenure that it lasts as long as.
    pub to: Bound,
    /// The last term of the key that the claimant saw, `None` where it saw none. The claim is granted there alone, so that a
    /// copy of it that arrives after its release takes nothing.
    pub last_term: Option<Term>,
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
    /// The claimant holds the key from now on, for the ttl or as long as the tenure that it is bound to. A repeated claim
    /// gets the unchanged term, and a lease with a ttl is extended by it.
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
        /// A lower bound of the time until the lease can expire; `None` where the store cannot know, and where the tenure is
        /// bound.
        remaining: Option<Duration>,
        /// The member's tenure that it is bound to, where it is.
        bound: Option<Bound>,
    },
    /// Nobody holds the key, or one who may be displaced, but the last term that a bound claim named is not the key's:
    /// nothing was granted.
    Stale {
        /// The key's last term; `None` where it has none.
        last_term: Option<Term>,
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
    /// The tenure has ended, for certain: expired (even if nobody took the key), taken, released or deleted. So is told who
    /// wants to renew a bound one as well, for it has no ttl that could be promised.
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
    /// The lease's full duration; `None` where it has no end of its own.
    pub ttl: Option<Duration>,
    /// What is left of it, by the store's own clock; `None` where the store cannot know.
    pub remaining: Option<Duration>,
    /// The member's tenure that it is bound to, where it is.
    pub bound: Option<Bound>,
    /// Somebody asked the holder to resign: whoever renews is told by that, the holder of a bound lease by its record alone.
    pub resign_requested: bool,
    /// The holder's note.
    pub note: Note,
    /// Who wrote the record.
    pub format: RecordFormat,
}

impl LeaseRecord {
    /// What is held by this holder, as a record of this format says; nothing else is known.
    pub fn new(key: LeaseKey, holder: HolderId, format: RecordFormat) -> LeaseRecord {
        LeaseRecord {
            key,
            holder,
            nonce: None,
            term: None,
            ttl: None,
            remaining: None,
            bound: None,
            resign_requested: false,
            note: Note::default(),
            format,
        }
    }
}
