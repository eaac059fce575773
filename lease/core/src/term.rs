//! The term: a number that grows with each new tenure of a key, and fences out the tenures before it.

use core::fmt;

/// The fencing token of one tenure. Fixed while the tenure lasts; greater than every earlier term of its key.
///
/// Below 2^52, so that it survives a Lua number or a JSON double.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u64);

impl Term {
    /// The first number that is too large to be a term.
    pub const LIMIT: u64 = 1 << 52;

    /// The term `value`, or `None` where it is zero or not below [`Term::LIMIT`].
    pub const fn new(value: u64) -> Option<Term> {
        if value == 0 || value >= Term::LIMIT { None } else { Some(Term(value)) }
    }

    /// The term's number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Mints the term of a new tenure: `max(previous + 1, above + 1, clock in microseconds)`.
    ///
    /// A store calls this inside the atomic step that grants the claim. The clock only seeds the number, so that terms
    /// go on growing when the record was lost; a wrong clock never makes a term fall below `previous` or `above`.
    /// `None` when the numbers are exhausted: such a claim must fail rather than repeat a term.
    pub fn mint(previous: Option<Term>, above: Option<Term>, clock_micros: u64) -> Option<Term> {
        let previous = previous.map_or(0, Term::get);
        let above = above.map_or(0, Term::get);
        // A clock beyond the limit is broken; it must not exhaust the numbers for good.
        let clock = if clock_micros >= Term::LIMIT { 0 } else { clock_micros };
        Term::new((previous + 1).max(above + 1).max(clock))
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Term({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The minted term exceeds the previous one, `above`, and is seeded by the clock.
    #[test]
    fn mint_takes_the_greatest_of_three() {
        let term = |n| Term::new(n);
        assert_eq!(Term::mint(None, None, 0), term(1));
        assert_eq!(Term::mint(term(7), None, 5), term(8));
        assert_eq!(Term::mint(term(7), term(20), 5), term(21));
        assert_eq!(Term::mint(term(7), term(20), 1_000), term(1_000));
    }

    /// A clock far in the future cannot use up the numbers; an exhausted counter refuses rather than repeats.
    #[test]
    fn mint_ignores_a_broken_clock_and_refuses_exhaustion() {
        assert_eq!(Term::mint(Term::new(7), None, u64::MAX), Term::new(8));
        assert_eq!(Term::mint(Term::new(Term::LIMIT - 1), None, 0), None);
    }
}
