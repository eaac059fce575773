//! `BecameLeader` comes before the work starts, `LostLeadership` after it was told to stop. Asked in both modes.

use tenure_core::Term;

use super::verdict::Verdict;
use crate::worker::{Phase, Worker};

/// The invariant's name.
pub const NAME: &str = "events_in_order";

/// Asks it when work starts under `term`; `announced` is what `BecameLeader` said last.
pub fn started(announced: Option<Term>, term: Term) -> Verdict {
    if announced == Some(term) {
        return Ok(());
    }
    Err(format!("work starts under term {term}, announced was {announced:?}"))
}

/// Asks it when the loss is told; `last` is the process's latest work.
pub fn lost(last: Option<&Worker>) -> Verdict {
    match last {
        Some(worker) if worker.phase != Phase::Working => Ok(()),
        Some(worker) => Err(format!("the loss of term {} was told before its work was told to stop", worker.term)),
        None => Err("a loss was told where nothing was led".into()),
    }
}
