//! What is wrong with the file of a store or a bus, seen without changing it.

use std::path::Path;

use tenure_base_sqlite::{FileName, LargeLog};
use tenure_open::OpenError;

use super::finding::Finding;

/// Whether the log of this file grows because somebody keeps a transaction open.
pub(super) fn large_log(check: &'static str, path: &Path) -> Option<Finding> {
    let log = LargeLog::find(&FileName::new(path).ok()?).ok()??;
    let told = log.to_string();
    let (what, how) = told.split_once("; ").unwrap_or((&told, "end the transaction"));
    Some(Finding::warn(check, what, how))
}

/// Whether this is the failure of a file from which a table was dropped.
pub(super) fn dropped(error: &OpenError) -> Option<Finding> {
    let told = error.to_string();
    let (what, _) = told.split_once("; ").filter(|(what, _)| what.ends_with("somebody has dropped it"))?;
    let how = "find out who does that; the next `tenure run` on it makes it anew, and grants nothing until what was held \
               cannot be believed in any more";
    Some(Finding::fail("store", what, how))
}
