//! The suite's report: one line per case.

use std::fmt;
use std::time::Duration;

/// The results of all cases.
#[derive(Debug)]
pub struct Report {
    store: String,
    lines: Vec<Line>,
}

/// The result of one case.
#[derive(Debug)]
pub struct Line {
    /// The case's topic and name.
    pub case: &'static str,
    /// How long it took.
    pub took: Duration,
    /// Its result.
    pub result: Result,
}

/// The result of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Result {
    /// The store behaved as expected; with counts, if there are any.
    Passed(String),
    /// The case was not run, for this reason.
    Skipped(String),
    /// The store did not behave as expected: what was expected, and what came instead.
    Failed(String),
}

impl Report {
    pub(crate) fn new(store: &str) -> Self {
        Report { store: store.to_owned(), lines: Vec::new() }
    }

    pub(crate) fn add(&mut self, case: &'static str, took: Duration, result: Result) {
        let line = Line { case, took, result };
        // Printed at once, so that a run that hangs shows where.
        println!("{}: {line}", self.store);
        self.lines.push(line);
    }

    /// Every case's line, in the order of running.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The lines of the cases that failed.
    pub fn failures(&self) -> Vec<String> {
        self.lines.iter().filter(|line| matches!(line.result, Result::Failed(_))).map(Line::to_string).collect()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { case, took, result } = self;
        match result {
            Result::Passed(detail) if detail.is_empty() => write!(f, "{case}: passed ({} ms)", took.as_millis()),
            Result::Passed(detail) => write!(f, "{case}: passed ({} ms; {detail})", took.as_millis()),
            Result::Skipped(reason) => write!(f, "{case}: skipped ({reason})"),
            Result::Failed(expected) => write!(f, "{case}: FAILED: {expected}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |wanted: fn(&Result) -> bool| self.lines.iter().filter(|line| wanted(&line.result)).count();
        write!(
            f,
            "{}: {} passed, {} failed, {} skipped",
            self.store,
            count(|result| matches!(result, Result::Passed(_))),
            count(|result| matches!(result, Result::Failed(_))),
            count(|result| matches!(result, Result::Skipped(_))),
        )
    }
}
