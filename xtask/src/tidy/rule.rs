//! What a rule is, and what comes of it.

use std::fmt;

use crate::tree::Tree;

/// A rule: its name, what it asks, and how it looks.
pub(crate) struct Rule {
    /// One or two words.
    pub(crate) name: &'static str,
    /// What holds where it is kept.
    pub(crate) what: &'static str,
    /// Looks at the tree.
    pub(crate) check: fn(&Tree) -> Verdict,
}

/// What came of one rule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It holds everywhere.
    Kept,
    /// It does not hold here.
    Broken(Vec<Finding>),
    /// It could not be looked at, and why.
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
    /// At a line; 0 means the file as a whole.
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
