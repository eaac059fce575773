//! Terms grow: a tenure whose record was written later has a higher term. Asked in both modes.
//!
//! The term is minted in the same atomic step as the claim. A store that has both forgotten its records and whose clock
//! went back cannot know better; then only each candidate's own terms grow, thanks to `above`.

use std::collections::BTreeMap;

use tenure_core::Term;

use super::verdict::Verdict;

/// The invariant's name.
pub const NAME: &str = "terms_grow";

/// What it remembers.
#[derive(Debug, Default)]
pub struct TermsGrow {
    /// The term of each tenure, by the order in which their records were written.
    granted: BTreeMap<u64, Term>,
    highest_started: Option<Term>,
}

impl TermsGrow {
    /// The store granted its `grant`th tenure under `term`.
    pub fn granted(&mut self, grant: u64, term: Term) -> Verdict {
        if let Some(before) = self.granted.insert(grant, term)
            && before != term
        {
            return Err(format!("tenure {grant} was granted under term {before}, then under term {term}"));
        }
        let older = self.granted.range(..grant).next_back();
        if let Some((other, highest)) = older
            && *highest >= term
        {
            return Err(format!("tenure {grant} has term {term}, the older tenure {other} has term {highest}"));
        }
        let newer = self.granted.range(grant + 1..).next();
        if let Some((other, lowest)) = newer
            && *lowest <= term
        {
            return Err(format!("tenure {grant} has term {term}, the newer tenure {other} has term {lowest}"));
        }
        Ok(())
    }

    /// The store may give out lower terms from now on, as nobody could help it.
    pub fn excuse_the_store(&mut self) {
        self.granted.clear();
    }

    /// Work starts under `term`. `own` is the highest term under which the same process started work; `everywhere` asks
    /// for growth over all processes too.
    pub fn started(&mut self, own: Option<Term>, term: Term, everywhere: bool) -> Verdict {
        if own.is_some_and(|own| own >= term) {
            return Err(format!("a process starts work under term {term} after term {own:?}"));
        }
        let highest = self.highest_started.max(Some(term));
        if everywhere && self.highest_started.is_some_and(|highest| highest >= term) {
            return Err(format!("work starts under term {term} after term {:?}", self.highest_started));
        }
        self.highest_started = highest;
        Ok(())
    }
}
