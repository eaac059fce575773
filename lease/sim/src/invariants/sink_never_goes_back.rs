//! A fenced sink never goes back: once it has taken a write of a tenure, it takes none of an older one. Both modes.
//!
//! Every side effect carries its term, and a fence refuses a lower one, whatever else has failed. Outside the fault
//! model older means a lower term; inside it also means work that was started earlier, whatever its term says.

use tenure_core::Term;

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "sink_never_goes_back";

/// What it remembers.
#[derive(Debug, Default)]
pub struct SinkNeverGoesBack {
    highest: Option<Term>,
    latest: usize,
}

impl SinkNeverGoesBack {
    /// The sink admitted a write of the `worker`th work that was started.
    pub fn admitted(&mut self, worker: usize, term: Term, by_order: bool) -> Verdict {
        if self.highest.is_some_and(|highest| term < highest) {
            return Err(format!("a write under term {term} was admitted after term {:?}", self.highest));
        }
        if by_order && worker < self.latest {
            return Err(format!(
                "a write of work {worker} (term {term}) was admitted after one of work {}, which started later",
                self.latest
            ));
        }
        self.highest = Some(term);
        self.latest = self.latest.max(worker);
        Ok(())
    }
}
