//! The sink: where the work's effects end up, behind a real fence.

use tenure_core::{Fence, Fenced, Term};

/// A place that side effects are written to.
#[derive(Debug, Default)]
pub struct Sink {
    fence: Fence,
    admitted: u64,
    refused: u64,
}

impl Sink {
    /// Takes a write, or refuses it for its term.
    pub fn write(&mut self, term: Term) -> Result<(), Fenced> {
        let answer = self.fence.admit(term);
        match answer {
            Ok(()) => self.admitted += 1,
            Err(_) => self.refused += 1,
        }
        answer
    }

    /// How many writes were admitted, and how many refused.
    pub fn counts(&self) -> (u64, u64) {
        (self.admitted, self.refused)
    }
}
