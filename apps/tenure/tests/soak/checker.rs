//! Judges what the children wrote: at no moment children of two tenures, and terms that only grow.

use std::fmt;
use std::path::Path;

/// What the file shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many lines there are.
    pub(crate) lines: usize,
    /// How many processes wrote them.
    pub(crate) children: usize,
    /// Under how many terms.
    pub(crate) tenures: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} lines of {} children in {} tenures, no overlap", self.lines, self.children, self.tenures)
    }
}

/// Reads the file of lines `BOOTTIME_NS PID TERM`.
///
/// Sorted by their times, the terms must never fall: a line of an older term after one of a newer term means that two
/// children were alive at once, or that a term went back. Children of one tenure (a daemon and its parent) may write
/// together; one process never has two terms.
pub(crate) fn check(file: &Path) -> Result<Report, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    judge(&text)
}

fn judge(text: &str) -> Result<Report, String> {
    let mut lines = Vec::new();
    // A killed child may have left the last line of the file unfinished, no other one.
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let [time, pid, term] = fields[..] else { return Err(format!("a line that no child writes: {line:?}")) };
        lines.push((time, pid, term));
    }
    lines.sort_unstable();
    let mut newest = (0, 0, 0);
    let mut terms = std::collections::BTreeMap::new();
    for &(time, pid, term) in &lines {
        let (before, other, highest) = newest;
        if term < highest {
            return Err(format!(
                "pid {pid} wrote under term {term} {} us after pid {other} had under {highest}",
                (time - before) / 1000
            ));
        }
        if *terms.entry(pid).or_insert(term) != term {
            return Err(format!("pid {pid} wrote under two terms, {} and {term}", terms[&pid]));
        }
        newest = (time, pid, term);
    }
    let tenures = terms.values().collect::<std::collections::BTreeSet<_>>().len();
    Ok(Report { lines: lines.len(), children: terms.len(), tenures })
}

/// The checker itself can fail; called before it is trusted.
pub(crate) fn can_fail() -> Result<(), String> {
    let sound = judge("1 10 5\n2 10 5\n2 11 5\n3 12 6\n4 12")?;
    if sound != (Report { lines: 4, children: 3, tenures: 2 }) {
        return Err(format!("a sound file was misread: {sound:?}"));
    }
    for broken in ["1 10 5\n2 11 6\n3 10 5\n", "1 10 6\n2 11 5\n", "1 10 5\n2 10 6\n", "1 10 none\n"] {
        if judge(broken).is_ok() {
            return Err(format!("the checker passed {broken:?}"));
        }
    }
    Ok(())
}
