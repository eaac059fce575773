//! The exit codes of the program, on which scripts and service managers depend.

use std::fmt;
use std::process::ExitCode;

use rustix::process::Signal;

/// The command line or the configuration is wrong.
pub(crate) const USAGE: u8 = 64;
/// Nothing is known of the key that was asked for.
pub(crate) const UNKNOWN: u8 = 66;
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

    /// What went wrong.
    pub(crate) fn error(&self) -> &anyhow::Error {
        &self.error
    }

    /// Whether the program was called wrongly.
    pub(crate) fn is_usage(&self) -> bool {
        self.code == USAGE
    }

    /// The reader of standard output has gone.
    pub(crate) fn output_closed(error: impl Into<anyhow::Error>) -> anyhow::Error {
        anyhow::Error::new(Exit { code: OUTPUT_CLOSED, error: error.into() })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&told(&self.error))
    }
}

/// The error and what caused it, in one line, and each thing once. A cause is left out where what was said before holds it:
/// many errors have their cause in their own text, because whoever asks only for that should learn it too. Of a place that
/// ends one and begins the next, one is left.
pub(crate) fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        let place = told.rsplit(' ').next().filter(|place| place.contains(':'));
        let rest = place.and_then(|place| cause.strip_prefix(place)).filter(|rest| rest.starts_with([':', ' ']));
        match rest {
            _ if told.is_empty() => cause,
            _ if told.contains(&cause) => told,
            Some(rest) => format!("{told}{rest}"),
            None => format!("{told}: {cause}"),
        }
    })
}

impl std::error::Error for Exit {}

/// How a process that has run another one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With this code.
    Code(u8),
    /// By this signal: whoever waits for it (a script, systemd) sees that it was asked to end, and did.
    Signal(Signal),
}

impl End {
    /// How the process ends after this signal asked it to. Signals other than HUP, INT and TERM are told by an exit
    /// code, because dying of them would leave a core dump.
    pub(crate) fn asked(signal: Signal) -> End {
        match signal {
            Signal::INT | Signal::TERM | Signal::HUP => End::Signal(signal),
            other => End::Code(after(other.as_raw())),
        }
    }

    /// Ends this process by the signal, or returns the code for `main`. To be called once everything else has been done. Process 1
    /// of a PID namespace cannot be ended by a signal that it has no handler for, so there the code is 128 and the signal's number.
    pub(crate) fn take(self) -> ExitCode {
        match self {
            End::Code(code) => ExitCode::from(code),
            End::Signal(signal) => {
                if rustix::process::getpid() != rustix::process::Pid::INIT {
                    // Takes the default action, even where this process handles or blocks the signal.
                    let _ = signal_hook::low_level::emulate_default_handler(signal.as_raw());
                }
                ExitCode::from(after(signal.as_raw()))
            }
        }
    }
}

/// The code of a process that ended because of this signal: 128 and its number.
pub(crate) fn after(signal: i32) -> u8 {
    128_u8.saturating_add(u8::try_from(signal).unwrap_or(0))
}

/// Prints the error and returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    say!("tenure: {}", told(error));
    ExitCode::from(error.downcast_ref::<Exit>().map_or(1, |exit| exit.code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    /// Of three errors that each hold the next one's text, one line is made in which it stands once.
    #[test]
    fn a_cause_is_told_once() {
        let repeated = anyhow!("disk full").context("cannot write x (disk full)").context("the store");
        assert_eq!(told(&repeated), "the store: cannot write x (disk full)");
        assert_eq!(told(&Exit::unreachable(repeated)), "the store: cannot write x (disk full)");
        assert_eq!(told(&anyhow!("no such file").context("cannot read x")), "cannot read x: no such file");
        let placed = anyhow!("sqlite:x.db: is a folder").context("the store sqlite:x.db");
        assert_eq!(told(&placed), "the store sqlite:x.db: is a folder");
    }
}
