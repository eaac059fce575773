//! What came of the suite.

use std::fmt;

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bus does what it should.
    Passed,
    /// It was not asked, for this reason.
    Skipped(&'static str),
    /// It does not, in words.
    Failed(String),
}

/// What came of the suite.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each check by its name, in the order in which they ran.
    pub checks: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// Prints the report and panics if a check failed; for the last line of a test.
    pub fn assert(&self) {
        println!("{self}");
        let failed = self.checks.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
        assert!(failed == 0, "{failed} checks failed:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.checks {
            match outcome {
                Outcome::Passed => writeln!(f, "passed  {name}")?,
                Outcome::Skipped(reason) => writeln!(f, "skipped {name}: {reason}")?,
                Outcome::Failed(text) => writeln!(f, "FAILED  {name}: {text}")?,
            }
        }
        Ok(())
    }
}
