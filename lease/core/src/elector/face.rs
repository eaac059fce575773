//! The elector's face: what goes in, what comes out.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{
    Claim, Claimed, Event, Held, HolderId, KeyPrefix, LeaseKey, LeaseRecord, LossReason, Nonce, Note, Released,
};
use crate::{Renewed, Term, Time, Timing};

/// What an elector is made from.
#[derive(Clone, Debug)]
pub struct ElectorConfig {
    /// The key that is contended for.
    pub key: LeaseKey,
    /// This candidate's name.
    pub holder: HolderId,
    /// Random, once per process start: the first half of every nonce of this process. Two electors of one process may
    /// share it only if their keys differ.
    pub process: u64,
    /// The durations.
    pub timing: Timing,
    /// For how long a tenure of the key may be promised to its holder, by whatever keeps leases beyond their ttl; the same
    /// for all candidates of a key. Goes with every claim, as [`Claim::hold`].
    pub hold: core::time::Duration,
    /// Written with the lease until replaced by [`Input::Note`].
    pub note: Note,
    /// Whether a lease is left to run out once its work has ended, rather than released: nobody else leads before, and what
    /// the work had still under way elsewhere gets that time too. A lease that no work began under is released all the same.
    pub leave_lease: bool,
    /// Whether somebody hands in an [`Input::Wake`] when the key may have come free. Where nobody does, a candidate asks at
    /// every retry interval, however long the lease may last by what the store has said: a key that is given back then waits
    /// for that interval, and not for the ttl.
    pub hints: bool,
    /// Seeds the jitter. Electors with equal seeds and equal inputs behave equally.
    pub seed: u64,
}

/// Names one request to the store, so that its answer can be matched to the moment it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What can happen to an elector.
#[derive(Clone, Debug)]
pub enum Input {
    /// Nothing but time: call when [`super::Elector::poll_timeout`] is due. Every other input does this too.
    Timeout,
    /// Start to campaign. Ignored while campaigning or leading; after a loss or resignation a new one is needed. After a
    /// tenure that somebody asked to end, the first claim waits for [`Timing::stand_back`], or until somebody else was
    /// seen to hold the key.
    Campaign,
    /// Campaign with one claim: where it is not granted the campaign ends, which [`Event::NotElected`] tells. A claim whose
    /// outcome is unknown is settled in the background: what is granted late is released. Ignored while campaigning or
    /// leading. [`Input::Campaign`] turns a try that is under way into a campaign without end.
    TryCampaign,
    /// Give up: a campaign ends, a leader drains, then releases.
    Resign,
    /// The work has ended, and nothing of it can act any more. Required before a release is written.
    WorkEnded,
    /// The health gate opened or closed. Open at the start.
    Health(bool),
    /// A hint that the key may have changed hands or come free.
    Wake,
    /// The store answered, or the request was given up.
    Answer(RequestId, Answer),
    /// A sink refused this candidate's term and has seen this one.
    Fenced {
        /// Of several slots the one whose sink it was, where that is known. An elector has one key and does not look at it.
        slot: Option<usize>,
        /// The highest term that the sink has seen.
        seen: Term,
    },
    /// Replace the note; written with the next renewal, which comes at once where the note was empty before.
    Note(Note),
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A claim was answered.
    Claimed(Claimed),
    /// A renewal was answered.
    Renewed(Renewed),
    /// A release was answered.
    Released(Released),
    /// An observation was answered: the key's record, if it has one.
    Observed(Option<LeaseRecord>),
    /// A list was answered: the records of those of the keys that have one.
    Listed(Vec<LeaseRecord>),
    /// The request failed.
    Failed(Failure),
}

/// Why a request failed, as far as the elector cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The request may have taken effect all the same, now or later.
    pub outcome_unknown: bool,
    /// The store's own words, without secrets.
    pub message: String,
}

/// What an elector wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the store and hand back the answer under the same id. An answer that takes longer than
    /// [`Timing::request_timeout`] should be handed in as a failure of unknown outcome; one that comes after all may
    /// be handed in later under the same id.
    Send(RequestId, Request),
    /// Start, keep or stop the work.
    Work(Order),
    /// Tell whoever listens.
    Event(Event),
}

/// One request to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `LeaseStore::acquire`.
    Acquire(Claim),
    /// `LeaseStore::renew`.
    Renew(Held),
    /// `LeaseStore::release`.
    Release(Held),
    /// `LeaseStore::list`, for this key alone: is there a record of ours that we do not know of?
    Observe(LeaseKey),
    /// Who holds which of these keys? Asked by [`crate::Slots`] alone. `LeaseStore::list` for the prefix answers it in one
    /// call, `LeaseStore::record` for each key where there are few; records of other keys do no harm.
    List {
        /// What all the keys begin with.
        prefix: KeyPrefix,
        /// The keys.
        keys: Arc<[LeaseKey]>,
    },
}

/// An order to the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start the work. It may act until `deadline` unless that is extended.
    Start {
        /// The tenure's term, to be carried by every side effect.
        term: Term,
        /// Its nonce.
        nonce: Nonce,
        /// The note of the tenure before, where the store still had it.
        last_note: Option<Note>,
        /// The moment at which the work must be dead.
        deadline: Time,
    },
    /// A renewal was answered: the deadline moved.
    Extend {
        /// The moment at which the work must be dead.
        deadline: Time,
    },
    /// Stop by yourself; [`Input::WorkEnded`] when done. Renewals go on meanwhile.
    Stop {
        /// Why.
        reason: LossReason,
        /// When the hard kill follows at the latest; renewals may move it via [`Order::Extend`] never beyond
        /// `stop_timeout` from this order.
        kill_at: Time,
    },
    /// Kill the work now; [`Input::WorkEnded`] when nothing of it is left.
    Kill {
        /// Why.
        reason: LossReason,
    },
}

/// Where an elector stands, for status pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not campaigning.
    Idle,
    /// Campaigning; somebody else may lead.
    Candidate,
    /// Leading under this term. `deadline` is the moment after which it must not act.
    Leader {
        /// The tenure's term.
        term: Term,
        /// The moment at which the work must be dead.
        deadline: Time,
        /// The work was told to stop and has not ended yet.
        stopping: bool,
    },
    /// The work has ended, the release is being written.
    Releasing,
}

/// Who leads, as far as this candidate knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The leader's name; `None` when the key was last seen free, or never seen.
    pub leader: Option<HolderId>,
    /// Its term, where known.
    pub term: Option<Term>,
}
