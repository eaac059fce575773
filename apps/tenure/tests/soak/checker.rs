//! Judges what the children wrote: at no moment children of two tenures, and terms that only grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// A process of this number that writes after so long a pause is another one.
const REUSED_NS: u64 = 500_000_000;

const PAGE: usize = 4096;

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
/// together; one process never has two terms, but its number may be another's later.
pub(crate) fn check(file: &Path) -> Result<Report, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    judge(&text)
}

fn judge(text: &str) -> Result<Report, String> {
    let (mut lines, mut at) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let from = at;
        at += line.len();
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        match fields[..] {
            // A killed child may have left the last line of the file unfinished.
            _ if !line.ends_with('\n') => {}
            [time, pid, term] => lines.push((time, pid, term)),
            // A kill can cut a write where it goes over from one page of the file to the next, and another child's line follows.
            _ if from / PAGE < at / PAGE => {}
            _ => return Err(format!("a line that no child writes: {line:?}")),
        }
    }
    lines.sort_unstable();
    let mut newest = (0, 0, 0);
    let (mut terms, mut tenures, mut reused) = (BTreeMap::new(), BTreeSet::new(), 0);
    for &(time, pid, term) in &lines {
        let (before, other, highest) = newest;
        if term < highest {
            return Err(format!(
                "pid {pid} wrote under term {term} {} us after pid {other} had under {highest}",
                (time - before) / 1000
            ));
        }
        // A machine that starts thousands of processes a second gives a number out again within seconds.
        if let Some((earlier, last)) = terms.insert(pid, (term, time))
            && earlier != term
        {
            if time - last < REUSED_NS {
                return Err(format!("pid {pid} wrote under two terms, {earlier} and {term}"));
            }
            reused += 1;
        }
        tenures.insert(term);
        newest = (time, pid, term);
    }
    Ok(Report { lines: lines.len(), children: terms.len() + reused, tenures: tenures.len() })
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
