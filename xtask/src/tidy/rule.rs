//! The type of a rule, and of the verdict on it.

use std::fmt;

use crate::tree::Tree;

/// A rule: its name, what it demands, and the function that checks it.
pub(crate) struct Rule {
    /// One or two words.
    pub(crate) name: &'static str,
    /// What holds if the rule is kept.
    pub(crate) what: &'static str,
    /// Checks the tree.
    pub(crate) check: fn(&Tree) -> Verdict,
}

/// The verdict on one rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The rule holds everywhere.
    Kept,
    /// The rule does not hold in these places.
    Broken(Vec<Finding>),
    /// The rule could not be checked, and why.
    NotChecked(String),
}

impl Verdict {
    /// Kept where there are no findings.
    pub(crate) fn of(findings: Vec<Finding>) -> Self {
        if findings.is_empty() { Self::Kept } else { Self::Broken(findings) }
    }
}

/// One place where a rule does not hold, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    what: String,
}

impl Finding {
    /// A finding at a line; line 0 means the file as a whole.
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}
