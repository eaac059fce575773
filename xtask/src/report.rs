//! The table that closes a run of the checks.

use std::fmt::Write as _;
use std::time::Duration;

use crate::clock::minutes;
use crate::outcome::Outcome;

/// One suite of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) suite: String,
    /// Its outcome.
    pub(crate) outcome: Outcome,
    /// How long it took; `None` for a part of a step.
    pub(crate) took: Option<Duration>,
    /// A note for the reader, such as where the log is.
    pub(crate) note: String,
}

/// The whole table.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a suite below the others.
    pub(crate) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether nothing failed.
    pub(crate) fn is_green(&self) -> bool {
        self.rows.iter().all(|row| row.outcome.failed == 0)
    }

    /// Passed, failed, skipped.
    fn totals(&self) -> (u64, u64, u64) {
        self.rows.iter().map(|row| &row.outcome).fold((0, 0, 0), |(passed, failed, skipped), outcome| {
            (passed + outcome.passed, failed + outcome.failed, skipped + outcome.skipped)
        })
    }

    /// The table as text; its last line is `N passed, N failed, N skipped`.
    pub(crate) fn render(&self) -> String {
        let wide = self.rows.iter().map(|row| row.suite.len()).max().unwrap_or(0).max("suite".len());
        let mut text =
            format!("{:<wide$}  {:>6}  {:>6}  {:>7}  {:>6}  note\n", "suite", "passed", "failed", "skipped", "time");
        for row in &self.rows {
            let Outcome { passed, failed, skipped, reasons, failures } = &row.outcome;
            let took = row.took.map(minutes).unwrap_or_default();
            let mut notes: Vec<String> = Vec::new();
            if !row.note.is_empty() {
                notes.push(row.note.clone());
            }
            notes.extend(reasons.iter().map(|reason| format!("skipped: {reason}")));
            notes.extend(failures.iter().map(|name| format!("FAILED: {name}")));
            let first = notes.first().map_or("", String::as_str);
            let line = format!("{:<wide$}  {passed:>6}  {failed:>6}  {skipped:>7}  {took:>6}  {first}", row.suite);
            _ = writeln!(text, "{}", line.trim_end());
            for note in notes.iter().skip(1) {
                _ = writeln!(text, "{:<indent$}{note}", "", indent = wide + 35);
            }
        }
        let (passed, failed, skipped) = self.totals();
        _ = write!(text, "\n{passed} passed, {failed} failed, {skipped} skipped");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(suite: &str, outcome: Outcome) -> Row {
        Row { suite: suite.to_owned(), outcome, took: None, note: String::new() }
    }

    /// The last line adds every row up, and each reason stands in the table.
    #[test]
    fn the_last_line_is_the_sum() {
        let mut report = Report::default();
        report.add(row("format", Outcome::passed()));
        report.add(row("tests: a", Outcome { passed: 41, ..Outcome::skipped("corpora: not there") }));
        assert!(report.is_green());
        report.add(row("clippy", Outcome::failed("see target/xtask/clippy.log")));
        assert!(!report.is_green());
        let text = report.render();
        assert_eq!(text.lines().last(), Some("42 passed, 1 failed, 1 skipped"));
        assert!(text.contains("skipped: corpora: not there"));
        assert!(text.contains("FAILED: see target/xtask/clippy.log"));
    }
}
