//! The closing row of a store.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::judge::{Millis, Verdict};

/// What became of a store.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) store: &'static str,
    pub(crate) version: String,
    pub(crate) faults: usize,
    pub(crate) verdict: Verdict,
    /// What is to be said of faults that there are not here.
    pub(crate) remark: Option<&'static str>,
    /// Faults that could not be played on this machine, with the reason.
    pub(crate) missing: Vec<String>,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Keeps a row for the table at the end.
pub(crate) fn add(row: Row) {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
}

/// Every row so far.
pub(crate) fn all() -> Vec<Row> {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// One line for each.
pub(crate) fn table(rows: &[Row]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

impl Row {
    /// A store that could not be judged.
    pub(crate) fn failed(store: &'static str, why: String) -> Row {
        let verdict = Verdict { broken: vec![why], ..Verdict::default() };
        Row { store, version: "-".to_owned(), faults: 0, verdict, remark: None, missing: Vec::new() }
    }

    /// Why it has failed, if it has.
    pub(crate) fn failure(&self) -> Option<String> {
        (!self.verdict.broken.is_empty()).then(|| self.verdict.broken.join("; "))
    }
}

/// `fault arm: redis 7.0.15: 63 elections, 85 faults, overlap inside 0 ms, outside 12 ms, slowest retake 2100 ms: passed`
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { store, version, faults, verdict, remark, missing } = self;
        write!(
            f,
            "fault arm: {store}: {version}: {} elections, {faults} faults, overlap inside {}, outside {}, slowest retake {}",
            verdict.elections,
            Millis(verdict.inside),
            Millis(verdict.outside),
            Millis(verdict.slowest_retake),
        )?;
        if let Some(remark) = remark {
            write!(f, "; {remark}")?;
        }
        f.write_str(": ")?;
        match (self.failure(), missing.is_empty()) {
            (Some(why), _) => write!(f, "FAILED ({why})"),
            (None, true) => f.write_str("passed"),
            (None, false) => write!(f, "partial ({})", missing.join("; ")),
        }
    }
}
