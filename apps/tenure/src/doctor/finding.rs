//! One line of the doctor's report.

use std::fmt;

use serde_json::{Value, json};

use crate::exit::told;
use crate::table::{line_width, visible, wrap};

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// As it should be.
    Ok,
    /// It works, but less well than it could.
    Warn,
    /// It does not work.
    Fail,
}

/// What was checked, what was found, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) severity: Severity,
    pub(super) text: String,
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Finding {
        Finding { check, severity: Severity::Ok, text: text.into(), remedy: None }
    }

    pub(super) fn warn(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, severity: Severity::Warn, text: text.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn fail(check: &'static str, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, severity: Severity::Fail, text: text.into(), remedy: Some(remedy.into()) }
    }

    /// A failed check, with the remedy that the error's text holds, or `otherwise` where it holds none.
    pub(super) fn failed(check: &'static str, error: &anyhow::Error, otherwise: &str) -> Finding {
        let told = told(error);
        match split_remedy(&told) {
            Some((what, how)) => Finding::fail(check, what, how),
            None => Finding::fail(check, told, otherwise),
        }
    }

    /// Not as bad: what failed is needed by few.
    pub(super) fn weaker(self) -> Finding {
        Finding { severity: Severity::Warn, ..self }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "check": self.check, "status": self.severity.word(), "text": self.text, "remedy": self.remedy })
    }
}

/// The separators between problem and remedy in error texts, and the beginnings of a remedy.
const SEPARATORS: &[&str] = &["; ", ": ", ". ", " ("];
const REMEDY_BEGINNINGS: &[&str] = &[
    "add ",
    "allow ",
    "configure ",
    "docs/",
    "file and directory must ",
    "give ",
    "grant ",
    "its directory must ",
    "leave ",
    "let ",
    "mend it with ",
    "Mend it with: ",
    "move ",
    "name ",
    "raise ",
    "see ",
    "set ",
    "start ",
    "use ",
    "write ",
];

/// Splits the text into problem and remedy, where it holds both.
fn split_remedy(text: &str) -> Option<(&str, &str)> {
    let joints = SEPARATORS.iter().flat_map(|joint| text.match_indices(joint));
    let mends = joints.filter_map(|(at, joint)| {
        let how = &text[at + joint.len()..];
        let begin = REMEDY_BEGINNINGS.iter().find(|begin| how.starts_with(**begin))?;
        let how = if begin.to_ascii_lowercase().starts_with("mend") { &how[begin.len()..] } else { how };
        let how = if joint == " (" { how.strip_suffix(')').unwrap_or(how) } else { how };
        Some((at, how))
    });
    let (at, how) = mends.min_by_key(|(at, _)| *at)?;
    Some((&text[..at], how))
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Ok => "ok",
            Severity::Warn => "warn",
            Severity::Fail => "fail",
        }
    }
}

impl fmt::Display for Finding {
    /// Prints for people: over as many lines as needed, the remedy on lines of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = format!("{:<4}  {:<12}  ", self.severity.word(), self.check);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use anyhow::anyhow;
    use tenure_store::{StoreError, StoreErrorKind};

    /// A remedy that the error names itself is the only one; where it names none, there is the one for all.
    #[test]
    fn there_is_one_remedy() {
        for (text, what, how) in [
            (
                "redis h:1: maxmemory-policy is allkeys-lru, so that leases may be evicted; mend it with CONFIG SET x y",
                "redis h:1: maxmemory-policy is allkeys-lru, so that leases may be evicted",
                "CONFIG SET x y",
            ),
            (
                "nats bus: 'Authorization Violation': see NATS_CREDS, or NATS_TOKEN",
                "nats bus: 'Authorization Violation'",
                "see NATS_CREDS, or NATS_TOKEN",
            ),
            (
                "nats bus: the stream X is too short: y. Mend it with: nats stream edit X",
                "nats bus: the stream X is too short: y",
                "nats stream edit X",
            ),
            ("b.db: opening: no (its directory must exist)", "b.db: opening: no", "its directory must exist"),
            ("redis h:1: Connection refused", "redis h:1: Connection refused", "otherwise"),
            ("no option \"x\"; there are a, b", "no option \"x\"; there are a, b", "otherwise"),
        ] {
            let finding = Finding::failed("store", &anyhow!(text), "otherwise");
            assert_eq!((finding.text.as_str(), finding.remedy.as_deref()), (what, Some(how)));
        }
    }

    /// The source of a store's error is not repeated behind the remedy.
    #[test]
    fn sources_are_told_once() {
        let error = StoreError::new(StoreErrorKind::Denied, "x.db: cannot be opened (why); let this user write it");
        let error = anyhow!(error.with_source("why")).context("the store");
        let finding = Finding::failed("store", &Exit::unreachable(error), "otherwise");
        assert_eq!(finding.text, "the store: x.db: cannot be opened (why)");
        assert_eq!(finding.remedy.as_deref(), Some("let this user write it"));
    }
}
