//! The kind of machine that a simulation is about.

use std::fmt;

/// Which state machine candidates run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Electors: candidates for one key.
    Elector,
    /// Slots: candidates for any one of several keys.
    Slots,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Elector => "elector",
            Kind::Slots => "slots",
        })
    }
}
