//! The mode: whether only faults inside the fault model happen, or also faults outside it.

use std::fmt;

/// Which faults may happen, and so which promises must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only faults that the fault model covers.
    Inside,
    /// Also those that it does not: a store that forgets, a clock that steps, drift beyond the bound.
    Outside,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Inside => "inside the fault model",
            Mode::Outside => "outside the fault model",
        })
    }
}
