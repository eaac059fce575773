//! What a pipeline wants written into the notes of its leases.

use crate::note::CoverageNote;

/// What the pipeline wants written into notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// For the leader's lease: what is read and published; nothing where this instance does not lead.
    pub leader: Option<CoverageNote>,
    /// For the reader's own lease: what is read, and seen on the bus.
    pub reader: CoverageNote,
}

impl Notes {
    /// The notes without the moments at which they were made.
    pub(super) fn unstamped(&self) -> (Option<CoverageNote>, CoverageNote) {
        let unstamped = |note: &CoverageNote| CoverageNote { at: None, ..note.clone() };
        (self.leader.as_ref().map(unstamped), unstamped(&self.reader))
    }
}
