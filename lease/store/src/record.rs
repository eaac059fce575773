//! What stands in a place: the record of a lease, or the bytes of a document.

use std::time::Duration;

use tenure_core::{Bound, Claim, Held, HolderId, Nonce, Note, RecordFormat, Term, Time};

use crate::foreign;
use crate::slot::{Ends, Occupant as InSlot, Slot, Tenure};

/// What a place holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A lease, or what is remembered of one.
    Lease(Record),
    /// A document.
    Document(Vec<u8>),
}

/// What stands under the key of a lease: who holds it, and what outlives the tenure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Who holds the key, or held it last and did not release it.
    pub occupancy: Occupancy,
    /// The term of the present tenure, or of the last one.
    pub term: Option<Term>,
    /// The note of the present tenure, or of the last one.
    pub note: Option<Note>,
    /// The last note of the tenures before that one that was not empty.
    pub previous_note: Option<Note>,
    /// Differs from write to write, so that no two writes have equal contents: servers that number contents, not writes,
    /// give equal ones the same version.
    pub beat: u64,
}

/// Who is in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occupancy {
    /// Nobody: released.
    Nobody,
    /// A tenure. Whether it has expired stands in no record: its age or its silence tells.
    Tenure(Occupant),
    /// Somebody whose record this code must not touch before it is over.
    Foreign {
        /// Who, as far as that can be read.
        holder: HolderId,
        /// What wrote it.
        format: RecordFormat,
        /// When it is over, by the rule of whoever wrote it.
        lasts: Lasts,
    },
}

/// One tenure, as its record shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupant {
    /// Who holds.
    pub holder: HolderId,
    /// Under which nonce.
    pub nonce: Nonce,
    /// How long the lease lasts from the write; of a bound one its member's, which says nothing of its end.
    pub ttl: Duration,
    /// For how long the tenure may have been promised to its holder, where that is more.
    pub hold: Duration,
    /// Somebody asked the holder to resign.
    pub resign_requested: bool,
    /// The tenure that this one lasts as long as, where it has no end of its own.
    pub bound: Option<Bound>,
}

/// How long another program's record counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Until somebody removes it: nothing is known of the rule by which it ends.
    ForEver,
    /// Until it has stood unchanged for so long.
    Unchanged(Duration),
    /// For so long from the read, by the server's own clock.
    Left(Duration),
}

impl Content {
    /// The record of a lease; a value of another kind in its place counts as another program's.
    pub fn into_record(self) -> Record {
        match self {
            Content::Lease(record) => record,
            Content::Document(_) => Record::foreign(foreign::stand_in(""), RecordFormat::Foreign, Lasts::ForEver),
        }
    }
}

impl Record {
    /// A record of which nothing is known but that this holder's program wrote it.
    pub fn foreign(holder: HolderId, format: RecordFormat, lasts: Lasts) -> Record {
        let occupancy = Occupancy::Foreign { holder, format, lasts };
        Record { occupancy, term: None, note: None, previous_note: None, beat: 0 }
    }

    /// The tenure in it, over or not, where it is one of this program's.
    pub fn occupant(&self) -> Option<&Occupant> {
        match &self.occupancy {
            Occupancy::Tenure(occupant) => Some(occupant),
            Occupancy::Nobody | Occupancy::Foreign { .. } => None,
        }
    }

    /// The member's tenure that the one in this record is bound to, where there is one and it is bound.
    pub fn bound(&self) -> Option<&Bound> {
        self.occupant()?.bound.as_ref()
    }

    /// Whether this tenure is in it.
    pub fn is_of(&self, held: &Held) -> bool {
        self.term == Some(held.term) && self.occupant().is_some_and(|occupant| occupant.nonce == held.nonce)
    }

    /// Who is in it, over or not, and under which nonce where it is one of this program's: what tells one tenure from the next.
    pub fn holder(&self) -> Option<(&HolderId, Option<Nonce>)> {
        match &self.occupancy {
            Occupancy::Nobody => None,
            Occupancy::Tenure(occupant) => Some((&occupant.holder, Some(occupant.nonce))),
            Occupancy::Foreign { holder, .. } => Some((holder, None)),
        }
    }

    /// The slot as it is now, where the record has stood unchanged for at least `age` and was last read at `read_at`: a tenure is
    /// over once its age has reached its ttl. However long a bound one has stood, nothing follows from it.
    pub fn slot(&self, now: Time, age: Duration, read_at: Time) -> Slot {
        let until = |lasts: Duration| now + lasts.saturating_sub(age);
        let tenure = match &self.occupancy {
            Occupancy::Nobody => InSlot::Nobody,
            Occupancy::Tenure(Occupant { holder, nonce, ttl, resign_requested, bound, .. }) => InSlot::Tenure(Tenure {
                holder: holder.clone(),
                nonce: *nonce,
                ttl: *ttl,
                ends: bound.clone().map_or_else(|| Ends::At(until(*ttl)), Ends::With),
                resign_requested: *resign_requested,
            }),
            Occupancy::Foreign { holder, format, lasts } => {
                let over = match lasts {
                    Lasts::ForEver => false,
                    Lasts::Unchanged(span) => until(*span) <= now,
                    Lasts::Left(span) => read_at + *span <= now,
                };
                match over {
                    true => InSlot::Nobody,
                    false => InSlot::Foreign { holder: holder.clone(), format: *format },
                }
            }
        };
        Slot {
            tenure,
            term: self.term,
            note: self.note.clone(),
            previous_note: self.previous_note.clone(),
            promised: self.occupant().map_or(Duration::ZERO, |occupant| occupant.ttl.max(occupant.hold)),
            // No record says when its tenure was granted: after a server has lost writes every claim waits for its time.
            granted: None,
        }
    }

    /// The record that says what a slot says. `before` is what stood there, `claim` what this step has granted.
    pub fn of(slot: Slot, before: Option<&Record>, claim: Option<&Claim>, beat: u64) -> Record {
        let occupancy = match slot.tenure {
            InSlot::Nobody => Occupancy::Nobody,
            InSlot::Tenure(tenure) => {
                // The longest that the tenure was ever promised to its holder.
                let before = before.and_then(Record::occupant).filter(|occupant| occupant.nonce == tenure.nonce);
                let known = before.map(|occupant| occupant.hold).unwrap_or_default();
                let claimed = claim.map(|claim| claim.hold).unwrap_or_default();
                Occupancy::Tenure(Occupant {
                    hold: known.max(claimed).max(tenure.ttl),
                    bound: tenure.bound().cloned(),
                    holder: tenure.holder,
                    nonce: tenure.nonce,
                    ttl: tenure.ttl,
                    resign_requested: tenure.resign_requested,
                })
            }
            // No step that changes anything leaves one.
            InSlot::Foreign { holder, format } => Occupancy::Foreign { holder, format, lasts: Lasts::ForEver },
        };
        Record { occupancy, term: slot.term, note: slot.note, previous_note: slot.previous_note, beat }
    }
}
