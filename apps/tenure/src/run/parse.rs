//! The values of `tenure run`'s flags: parsed and checked.

use rustix::process::Signal;
use tenure::{HolderId, Note};

/// The most slots. Every waiting instance reads the lease of each of them.
const MOST_SLOTS: u32 = 1000;

/// The names that [`signal`] knows.
pub(crate) fn signal_names() -> impl Iterator<Item = &'static str> {
    SIGNALS.iter().map(|(name, _)| *name)
}

/// Parses a signal's name or number.
pub(super) fn signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let named = SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, signal)| *signal);
    let numbered = || text.parse().ok().and_then(Signal::from_named_raw);
    named.or_else(numbered).ok_or_else(|| {
        let known: Vec<&str> = SIGNALS.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is no signal that asks for an end: there are {}", known.join(", "))
    })
}

const SIGNALS: &[(&str, Signal)] = &[
    ("TERM", Signal::TERM),
    ("INT", Signal::INT),
    ("HUP", Signal::HUP),
    ("QUIT", Signal::QUIT),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("WINCH", Signal::WINCH),
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("KILL", Signal::KILL),
];

/// Parses `--holder`.
pub(super) fn holder(text: &str) -> Result<HolderId, String> {
    HolderId::new(text).map_err(|error| error.to_string())
}

/// Parses `--note`.
pub(super) fn note(text: &str) -> Result<Note, String> {
    Note::new(text).map_err(|error| error.to_string())
}

/// Parses `--slots`.
pub(super) fn slots(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(slots @ 1..=MOST_SLOTS) => Ok(slots),
        _ => Err(format!("{text:?} is not a number of slots: from 1 to {MOST_SLOTS}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Signals are understood as people write them.
    #[test]
    fn signals_are_read_by_name_and_number() {
        for text in ["TERM", "sigterm", "SIGTERM", "15"] {
            assert_eq!(signal(text), Ok(Signal::TERM));
        }
        assert!(signal("SIGNAL").unwrap_err().contains("TERM, INT"));
        assert!(signal("0").is_err() && signal("-9").is_err());
    }

    /// There is at least one slot, and not so many that nobody could look at them.
    #[test]
    fn slots_are_bounded() {
        assert_eq!(slots("3"), Ok(3));
        assert!(slots("0").is_err() && slots("1001").is_err() && slots("x").is_err());
    }
}
