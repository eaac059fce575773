//! The slot: what a store keeps for one key, and the one atomic step of each verb on it, as pure functions.
//!
//! The memory store and the simulator hold slots in a map; a database store may load a slot, take the step and write
//! it back inside one transaction. `now` is a moment of the store's own monotonic clock.

use std::time::Duration;

use tenure_core::{
    Bound, Claim, Claimed, Held, HolderId, LeaseKey, LeaseRecord, Nonce, Note, RecordFormat, Released, Renewed, Term,
    Time,
};

use crate::error::{StoreError, StoreErrorKind};
use crate::foreign;

/// What a store keeps for one key. The default is a key that was never held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// Who holds the key, or held it last and neither released it nor lost it to somebody.
    pub tenure: Occupant,
    /// The term of the present tenure, or of the last one: the term record. It outlives release and expiry.
    pub term: Option<Term>,
    /// The note of the present tenure, or of the last one.
    pub note: Option<Note>,
    /// The last note of the tenures before that one that was not empty; empty where none of them wrote any.
    pub previous_note: Option<Note>,
    /// When the present or last tenure was granted, on the store's clock; `None` where that is not known.
    pub granted: Option<Time>,
    /// For how long the present or last tenure was last granted or extended.
    pub promised: Duration,
}

/// When a claim is judged, and what the store knows of the time before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimTime {
    /// Now, on the store's monotonic clock.
    pub now: Time,
    /// The store's wall clock in microseconds since 1970: seeds terms, decides nothing.
    pub clock_micros: u64,
    /// Since when the store knows of every tenure, where it may have lost some before: it came back with an older state, or
    /// with none.
    pub complete_since: Option<Time>,
}

/// Who is in a slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Occupant {
    /// Nobody: never held, or released.
    #[default]
    Nobody,
    /// A tenure, which may have expired.
    Tenure(Tenure),
    /// A record that this code must not touch: of another program, or of a newer format. It counts as held.
    Foreign {
        /// Who holds it, as far as that can be read.
        holder: HolderId,
        /// What wrote it.
        format: RecordFormat,
    },
}

/// One tenure, as its record shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Who holds.
    pub holder: HolderId,
    /// Under which nonce.
    pub nonce: Nonce,
    /// The lease's full duration; of a bound one its member's, for the wait after a restart.
    pub ttl: Duration,
    /// When the lease is over.
    pub ends: Ends,
    /// Somebody asked the holder to resign.
    pub resign_requested: bool,
}

/// When a lease is over that nobody releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// From this moment on.
    At(Time),
    /// With the tenure of a member, which the store does not look for: whoever has proof that it is over displaces.
    With(Bound),
}

impl Tenure {
    /// Whether the lease has run out. A bound one never does.
    pub fn is_over(&self, now: Time) -> bool {
        matches!(self.ends, Ends::At(end) if end <= now)
    }

    /// The member's tenure that this one is bound to, where it is.
    pub fn bound(&self) -> Option<&Bound> {
        match &self.ends {
            Ends::At(_) => None,
            Ends::With(bound) => Some(bound),
        }
    }

    /// What is left of the lease; `None` of one without an end of its own.
    fn remaining(&self, now: Time) -> Option<Duration> {
        match self.ends {
            Ends::At(end) => Some(end.since(now)),
            Ends::With(_) => None,
        }
    }

    /// Whether this is the tenure that the claim asks for, so that the claim has come before.
    fn is_asked_for_by(&self, claim: &Claim) -> bool {
        self.nonce == claim.nonce && self.bound() == claim.bound.as_ref().map(|bound| &bound.to)
    }

    /// Whether the claim may go past this tenure: it is bound to the member that the claim names, under no higher term.
    fn is_displaced_by(&self, claim: &Claim) -> bool {
        let Some((bound, over)) = self.bound().zip(claim.displaces.as_ref()) else { return false };
        bound.member == over.member && bound.term <= over.term
    }
}

/// Who holds a key that may have been held when the store lost what it knew.
const FORGOTTEN: &str = "whoever held before the store came back (waiting until it cannot any more)";

/// What a step did to the slot, for whoever must write it back or wake others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// The present tenure was extended; its ttl and note may have changed.
    Extended,
    /// A tenure began or ended.
    ChangedHands,
}

impl Slot {
    /// The step of [`crate::LeaseStore::acquire`].
    ///
    /// A free or expired slot is granted under a newly minted term. A claim that meets its own nonce in an unexpired
    /// record extends the lease and gets the unchanged term, whatever its `above` says; it never shortens the lease
    /// and leaves holder and note alone, so that a claim which arrives twice cannot undo a later renewal. A claim that
    /// meets its own nonce in an expired record starts a new tenure: its old one is lost, as a renewal would be told.
    ///
    /// A bound tenure does not expire. It gives way to a claim that displaces its member under its term or a higher one,
    /// and to nothing else. A bound claim that meets its own tenure, by nonce and by what it is bound to, changes nothing;
    /// elsewhere it is granted under the last term that it names alone, so that a copy of it that comes after its release is
    /// refused.
    ///
    /// Where the store may have lost tenures, a free slot counts as held until everything has run out that anybody may
    /// have been promised; only a tenure that was granted since lifts that, for it has waited. Releases, renewals and
    /// removals say nothing: they may be about a tenure that came back with an older state.
    /// Fails only where the terms are exhausted, and then changes nothing.
    pub fn acquire(&mut self, at: ClaimTime, claim: &Claim) -> Result<(Claimed, Change), StoreError> {
        let ClaimTime { now, clock_micros, .. } = at;
        match (&mut self.tenure, self.term) {
            (Occupant::Foreign { holder, .. }, _) => {
                let held = Claimed::Held { by: holder.clone(), term: None, remaining: None, bound: None };
                return Ok((held, Change::Nothing));
            }
            // The term is there whenever a tenure is; a slot put together otherwise falls through to a new one.
            (Occupant::Tenure(tenure), Some(term)) if !tenure.is_over(now) && tenure.is_asked_for_by(claim) => {
                let granted = Claimed::Granted { term, last_note: self.previous_note.clone() };
                let Ends::At(end) = &mut tenure.ends else { return Ok((granted, Change::Nothing)) };
                if now + claim.ttl > *end {
                    *end = now + claim.ttl;
                    tenure.ttl = claim.ttl;
                    self.promised = claim.ttl;
                }
                return Ok((granted, Change::Extended));
            }
            (Occupant::Tenure(tenure), term) if !tenure.is_over(now) && !tenure.is_displaced_by(claim) => {
                let (by, bound) = (tenure.holder.clone(), tenure.bound().cloned());
                return Ok((Claimed::Held { by, term, remaining: tenure.remaining(now), bound }, Change::Nothing));
            }
            (Occupant::Tenure(_) | Occupant::Nobody, _) => {}
        }
        if claim.bound.as_ref().is_some_and(|bound| bound.last_term != self.term) {
            return Ok((Claimed::Stale { last_term: self.term }, Change::Nothing));
        }
        if let Some(free) = self.free_at(at.complete_since, claim).filter(|free| now < *free) {
            let by = foreign::stand_in(FORGOTTEN);
            let remaining = Some(free.since(now));
            return Ok((Claimed::Held { by, term: None, remaining, bound: None }, Change::Nothing));
        }
        let Some(term) = Term::mint(self.term, claim.above, clock_micros) else {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                format!(
                    "the terms of key {:?} are exhausted: none is left above {:?} or {:?}",
                    claim.key, self.term, claim.above
                ),
            ));
        };
        // A tenure that wrote nothing does not hide what the one before it wrote.
        let last = self.note.replace(claim.note.clone());
        if last.as_ref().is_some_and(|note| !note.is_empty()) || self.previous_note.is_none() {
            self.previous_note = last;
        }
        self.term = Some(term);
        self.tenure = Occupant::Tenure(Tenure {
            holder: claim.holder.clone(),
            nonce: claim.nonce,
            ttl: claim.ttl,
            ends: claim.bound.as_ref().map_or(Ends::At(now + claim.ttl), |bound| Ends::With(bound.to.clone())),
            resign_requested: false,
        });
        self.granted = Some(now);
        self.promised = claim.ttl;
        Ok((Claimed::Granted { term, last_note: self.previous_note.clone() }, Change::ChangedHands))
    }

    /// When everything has run out that a tenure may have been promised which this slot does not know of; `None` where it
    /// knows of all.
    fn free_at(&self, complete_since: Option<Time>, claim: &Claim) -> Option<Time> {
        let since = complete_since?;
        let promised = claim.ttl.max(claim.hold).max(self.promised);
        self.granted.is_none_or(|granted| granted < since).then(|| since + promised)
    }

    /// The step of [`crate::LeaseStore::renew`]: the lease lasts for `held.ttl` from now, which may be shorter than
    /// what was left. An expired record is `Lost`, even if nobody took it; a bound one, which has no ttl to be promised
    /// anew, is `Lost` to its holder and stays as it is.
    pub fn renew(&mut self, now: Time, held: &Held) -> (Renewed, Change) {
        let to = match &mut self.tenure {
            Occupant::Nobody => None,
            Occupant::Foreign { holder, .. } => Some(holder.clone()),
            Occupant::Tenure(tenure) if tenure.is_over(now) => None,
            Occupant::Tenure(tenure) => {
                let is_theirs = tenure.nonce == held.nonce && self.term == Some(held.term);
                if let (Ends::At(end), true) = (&mut tenure.ends, is_theirs) {
                    *end = now + held.ttl;
                    tenure.ttl = held.ttl;
                    self.promised = held.ttl;
                    self.note = Some(held.note.clone());
                    return (Renewed::Extended { resign_requested: tenure.resign_requested }, Change::Extended);
                }
                Some(tenure.holder.clone())
            }
        };
        (Renewed::Lost { to }, Change::Nothing)
    }

    /// The step of [`crate::LeaseStore::release`]. A record that has expired but still is that tenure's is freed too,
    /// so that its last note is kept.
    pub fn release(&mut self, held: &Held) -> (Released, Change) {
        match &self.tenure {
            Occupant::Tenure(tenure) if tenure.nonce == held.nonce && self.term == Some(held.term) => {
                self.tenure = Occupant::Nobody;
                self.note = Some(held.note.clone());
                (Released::Freed, Change::ChangedHands)
            }
            _ => (Released::NotHeld, Change::Nothing),
        }
    }

    /// Notes that the holder should resign; its next renewal is told, or its next look at a bound lease. `false` where nobody
    /// holds the key.
    pub fn request_resign(&mut self, now: Time) -> bool {
        match &mut self.tenure {
            Occupant::Tenure(tenure) if !tenure.is_over(now) => {
                tenure.resign_requested = true;
                true
            }
            _ => false,
        }
    }

    /// The step of [`crate::LeaseStore::remove`]: whoever is in the slot goes, expired or not; the term record stays.
    pub fn remove(&mut self, now: Time, key: &LeaseKey) -> Option<LeaseRecord> {
        let stood = self.record(now, key);
        self.tenure = Occupant::Nobody;
        stood
    }

    /// The record as [`crate::LeaseStore::list`] shows it; `None` where nobody holds the key.
    pub fn record(&self, now: Time, key: &LeaseKey) -> Option<LeaseRecord> {
        match &self.tenure {
            Occupant::Nobody => None,
            Occupant::Tenure(tenure) if tenure.is_over(now) => None,
            Occupant::Tenure(tenure) => Some(LeaseRecord {
                nonce: Some(tenure.nonce),
                term: self.term,
                ttl: tenure.bound().is_none().then_some(tenure.ttl),
                remaining: tenure.remaining(now),
                bound: tenure.bound().cloned(),
                resign_requested: tenure.resign_requested,
                note: self.note.clone().unwrap_or_default(),
                ..LeaseRecord::new(key.clone(), tenure.holder.clone(), RecordFormat::Tenure(Slot::FORMAT))
            }),
            Occupant::Foreign { holder, format } => Some(LeaseRecord {
                note: self.note.clone().unwrap_or_default(),
                ..LeaseRecord::new(key.clone(), holder.clone(), *format)
            }),
        }
    }

    /// The version of the record's format that this code writes.
    pub const FORMAT: u32 = 1;
}
