//! The fence: what a sink of side effects keeps, so that no older tenure writes after a newer one.

use core::fmt;

use crate::Term;

/// Remembers the highest term that a sink has admitted.
///
/// Lower terms are refused, an equal or higher one is admitted (a tenure writes more than once), a missing one is
/// refused. The fence holds whatever the store, the network or the clocks did: it is the last line behind leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fence {
    highest: Option<Term>,
}

/// Why a fence refused a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fenced {
    /// A newer tenure has written: the writer must stop, and campaign above `seen`.
    Stale {
        /// The term that the writer carried.
        offered: Term,
        /// The highest term that the sink has admitted.
        seen: Term,
    },
    /// The write carried no term.
    Missing,
}

impl Fence {
    /// A fence that has admitted nothing yet.
    pub const fn new() -> Self {
        Fence { highest: None }
    }

    /// A fence that has already admitted `highest`, as read back from where the sink keeps it.
    pub const fn above(highest: Option<Term>) -> Self {
        Fence { highest }
    }

    /// The highest term admitted so far.
    pub const fn highest(&self) -> Option<Term> {
        self.highest
    }

    /// Admits a write under `term`, or says why not. Admission of a higher term refuses all lower ones from then on.
    pub fn admit(&mut self, term: impl Into<Option<Term>>) -> Result<(), Fenced> {
        let offered = term.into().ok_or(Fenced::Missing)?;
        match self.highest {
            Some(seen) if offered < seen => Err(Fenced::Stale { offered, seen }),
            _ => {
                self.highest = Some(offered);
                Ok(())
            }
        }
    }
}

impl fmt::Display for Fenced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fenced::Stale { offered, seen } => write!(f, "term {offered} is stale: term {seen} has written already"),
            Fenced::Missing => f.write_str("the write carries no term"),
        }
    }
}

impl core::error::Error for Fenced {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lower refused, equal admitted, higher admitted, missing refused.
    #[test]
    fn admits_equal_and_higher_only() {
        let term = |n| Term::new(n).unwrap();
        let mut fence = Fence::new();
        assert_eq!(fence.admit(None), Err(Fenced::Missing));
        assert_eq!(fence.admit(term(5)), Ok(()));
        assert_eq!(fence.admit(term(5)), Ok(()));
        assert_eq!(fence.admit(term(4)), Err(Fenced::Stale { offered: term(4), seen: term(5) }));
        assert_eq!(fence.admit(term(6)), Ok(()));
        assert_eq!(fence.admit(term(5)), Err(Fenced::Stale { offered: term(5), seen: term(6) }));
        assert_eq!(fence.highest(), Some(term(6)));
    }
}
