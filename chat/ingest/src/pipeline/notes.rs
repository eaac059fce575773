//! What a pipeline wants written into the notes of its leases.

use crate::note::CoverNote;

/// What the pipeline wants written into notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// For the leader's lease: what is read and published; nothing where this instance does not lead.
    pub leader: Option<CoverNote>,
    /// For the reader's own lease: what is read, and seen on the bus.
    pub reader: CoverNote,
}

impl Notes {
    /// What they say, but for when they were made.
    pub(super) fn unsigned(&self) -> (Option<CoverNote>, CoverNote) {
        let unsigned = |note: &CoverNote| CoverNote { at: None, ..note.clone() };
        (self.leader.as_ref().map(unsigned), unsigned(&self.reader))
    }
}
