//! The trace: one readable line per thing that happened, written only when somebody wants to read it.

use std::fmt;

use crate::true_time::{MS, Nanos};

/// Collects lines, or nothing at all.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps what it is told, if `wanted`.
    pub fn new(wanted: bool) -> Self {
        Trace { lines: wanted.then(Vec::new) }
    }

    /// Whether lines are kept. Ask before making one that costs something.
    pub fn wanted(&self) -> bool {
        self.lines.is_some()
    }

    /// One line: true time in seconds, who, what.
    pub fn line(&mut self, at: Nanos, who: impl fmt::Display, what: impl fmt::Display) {
        if let Some(lines) = &mut self.lines {
            let micros = at / 1_000;
            lines.push(format!("{:>4}.{:06}  {who:<6} {what}", micros / 1_000_000, micros % 1_000_000));
        }
    }

    /// A line without a time.
    pub fn heading(&mut self, what: impl fmt::Display) {
        if let Some(lines) = &mut self.lines {
            lines.push(what.to_string());
        }
    }

    /// What was kept.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// Milliseconds, for lines.
pub(crate) fn ms(nanos: Nanos) -> String {
    format!("{}.{:03} ms", nanos / MS, nanos % MS / 1_000)
}
