//! The limits on what a bus keeps, and their URL options: the same on every bus.

use std::time::Duration;

use tenure_base_net::{durations, sizes};

/// The shortest age that can be asked for.
const MIN_AGE: Duration = Duration::from_secs(1);
/// The fewest bytes that can be asked for.
const MIN_BYTES: u64 = 64 * 1024;

/// When a bus removes messages. The default is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// A message is removed once it has been on the bus for this long.
    pub max_age: Option<Duration>,
    /// The oldest messages are removed once all messages together take more than this many bytes.
    pub max_bytes: Option<u64>,
}

impl Retention {
    /// Takes the option `max_age` or `max_bytes` of a URL in; returns `None` for another option. The error says what is
    /// allowed and does not repeat the value, which may be a secret in the wrong place.
    pub fn set(&mut self, name: &str, value: &str) -> Option<Result<(), String>> {
        let set = match name {
            "max_age" => {
                let age =
                    durations::parse(value).map_err(|_| "write a duration, such as 90s, 15m, 12h or 7d".to_owned());
                age.map(|age| self.max_age = Some(age))
            }
            "max_bytes" => {
                let bytes = sizes::parse(value).ok_or_else(|| "write a size, such as 500MB, 1GB or 2GiB".to_owned());
                bytes.map(|bytes| self.max_bytes = Some(bytes))
            }
            _ => return None,
        };
        Some(set)
    }

    /// Checks that the values can work; the error names the value that cannot, and what is allowed.
    pub fn check(&self) -> Result<(), String> {
        if self.max_age.is_some_and(|age| age < MIN_AGE) {
            return Err("max_age: at least 1s".to_owned());
        }
        if self.max_bytes.is_some_and(|bytes| bytes < MIN_BYTES) {
            return Err("max_bytes: at least 64KiB".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both options are read, and no other.
    #[test]
    fn options_are_read() {
        let mut retention = Retention::default();
        assert_eq!(retention.set("max_age", "7d"), Some(Ok(())));
        assert_eq!(retention.set("max_bytes", "1GB"), Some(Ok(())));
        assert_eq!(retention.set("stream", "x"), None);
        let expected = Retention { max_age: Some(Duration::from_secs(7 * 86_400)), max_bytes: Some(1_000_000_000) };
        assert_eq!(retention, expected);
        assert_eq!(retention.check(), Ok(()));
    }

    /// The error for a value that cannot work says what is allowed, and does not repeat the value.
    #[test]
    fn what_cannot_work_is_refused() {
        for (name, value) in [("max_age", "hunter2"), ("max_age", "7"), ("max_bytes", "hunter2"), ("max_bytes", "1PB")]
        {
            let why = Retention::default().set(name, value).unwrap().unwrap_err();
            assert!(why.contains("such as") && !why.contains("hunter2"), "{why}");
        }
        for (name, value) in [("max_age", "0s"), ("max_bytes", "1")] {
            let mut retention = Retention::default();
            retention.set(name, value).unwrap().unwrap();
            assert!(retention.check().unwrap_err().starts_with(name));
        }
    }
}
