//! What stands in a place: the record of a lease, or the bytes of a document.

use std::time::Duration;

use tenure_store::{Bound, HolderId, Nonce, Note, RecordFormat, Term};

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

impl Record {
    /// The member's tenure that the one in this record is bound to, where there is one and it is bound.
    pub fn bound(&self) -> Option<&Bound> {
        match &self.occupancy {
            Occupancy::Tenure(occupant) => occupant.bound.as_ref(),
            Occupancy::Nobody | Occupancy::Foreign { .. } => None,
        }
    }

    /// A record of which nothing is known but that this holder's program wrote it.
    pub fn foreign(holder: HolderId, format: RecordFormat, lasts: Lasts) -> Record {
        let occupancy = Occupancy::Foreign { holder, format, lasts };
        Record { occupancy, term: None, note: None, previous_note: None, beat: 0 }
    }
}
