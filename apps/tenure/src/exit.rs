//! Exit codes: contracts with whoever runs the program.

use std::fmt;
use std::process::ExitCode;

/// The command line or the configuration is wrong.
pub(crate) const USAGE: u8 = 64;
/// The store or the bus could not be reached at the start.
pub(crate) const UNREACHABLE: u8 = 69;

/// Nobody reads standard output any more, which the bus `stdout:` needs.
pub(crate) const OUTPUT_CLOSED: u8 = 74;

/// Leadership was lost, and the work ended because of it.
pub(crate) const LOST: u8 = 75;
/// The lease was not acquired in time.
pub(crate) const NOT_ACQUIRED: u8 = 76;

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

    /// Whether the program was called wrongly.
    pub(crate) fn is_usage(&self) -> bool {
        self.code == USAGE
    }

    /// What went wrong.
    pub(crate) fn error(&self) -> &anyhow::Error {
        &self.error
    }

    /// The reader of standard output has gone.
    pub(crate) fn output_closed(error: impl Into<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(Exit { code: OUTPUT_CLOSED, error: error.into() })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl std::error::Error for Exit {}

/// The code of a program that ended because of this signal: 128 and its number.
pub(crate) fn after(signal: &str) -> u8 {
    128 + match signal {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        _ => 15,
    }
}

/// Tells the error and answers its code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    say!("tenure: {error:#}");
    ExitCode::from(error.downcast_ref::<Exit>().map_or(1, |exit| exit.code))
}
