//! One line of the doctor's report.

use std::fmt;

use serde_json::{Value, json};

use crate::table::{line_width, visible, wrap};

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, but less well than it could.
    Warn,
    /// It does not work.
    Fail,
}

/// What was looked at, how it is, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) status: Status,
    pub(super) text: String,
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Finding {
        Finding { check, status: Status::Ok, text: text.into(), remedy: None }
    }

    pub(super) fn warn(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, status: Status::Warn, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn fail(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, status: Status::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "check": self.check, "status": self.status.word(), "text": self.text, "remedy": self.remedy })
    }
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "fail",
        }
    }
}

impl fmt::Display for Finding {
    /// For people: as many lines as it takes, the remedy on lines of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("{:<4}  {:<12}  ", self.status.word(), self.check);
        let mend = format!("{:20}mend: ", "");
        let mut end = "";
        for (head, text) in [(head, Some(&self.text)), (mend, self.remedy.as_ref())] {
            let Some(text) = text else { continue };
            let mut head = head;
            for line in wrap(&visible(text), line_width().saturating_sub(head.len())) {
                write!(f, "{end}{head}{line}")?;
                (head, end) = (" ".repeat(head.len()), "\n");
            }
        }
        Ok(())
    }
}
