//! Exit codes: contracts with whoever runs the program.

use std::fmt;
use std::process::ExitCode;

/// The command line or the configuration is wrong.
pub(crate) const USAGE: u8 = 64;
/// The store or the bus could not be reached at the start.
pub(crate) const UNREACHABLE: u8 = 69;

/// An error that ends the program with a code of its own.
#[derive(Debug)]
pub(crate) struct Exit {
    code: u8,
    error: anyhow::Error,
}

impl Exit {
    /// The program was called wrongly.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(Exit { code: USAGE, error: error.into() })
    }

    /// The store or the bus could not be reached.
    pub(crate) fn unreachable(error: impl Into<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(Exit { code: UNREACHABLE, error: error.into() })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Exit {}

/// Tells the error and answers its code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("tenure: {error:#}");
    ExitCode::from(error.downcast_ref::<Exit>().map_or(1, |exit| exit.code))
}
