//! A lease that no process holds: all that is needed to renew it, release it, and know until when it lasts, as one line
//! of JSON. It holds no secret of the store, but whoever has it can renew and release the lease.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};
use tenure_core::{Held, HolderId, LeaseKey, Nonce, Note, Term, Time, Timing};

use super::clock::ClockId;

/// A detached lease, as its last answered request left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetachedLease {
    pub(super) key: LeaseKey,
    pub(super) holder: HolderId,
    pub(super) nonce: Nonce,
    pub(super) term: Term,
    pub(super) timing: Timing,
    pub(super) note: Note,
    /// From when on nobody may act under this lease unless a renewal has moved it, on the boottime clock of `clock`.
    pub(super) deadline: Time,
    pub(super) clock: ClockId,
    /// A release was sent: nothing is done under this term any more, whatever became of it.
    pub(super) released: bool,
}

/// The line: first the members that others depend on, then what tells the clock, then what only some lines have.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    key: String,
    holder: String,
    nonce: String,
    term: u64,
    ttl_ms: u64,
    #[serde(default)]
    remaining_ms: u64,
    deadline_boottime_ns: u64,
    #[serde(default)]
    boot_id: Option<String>,
    #[serde(default)]
    time_namespace: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    note: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    released: bool,
    /// An answer to a renewal alone.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    resign_requested: Option<bool>,
    /// An answer to a question for the status alone.
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

/// What the store says of a detached lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It is held under this nonce and term, and its deadline has not passed.
    Held,
    /// It was taken, released or removed.
    Lost,
    /// Its time is over.
    Expired,
}

impl DetachedLease {
    /// Whether both lines are of one tenure.
    pub(super) fn is_of_tenure_of(&self, other: &DetachedLease) -> bool {
        self.nonce == other.nonce && self.term == other.term
    }

    /// Reads a line; whatever else it says is passed over.
    pub(crate) fn parse(text: &str) -> Result<DetachedLease> {
        let line: Line = serde_json::from_str(text).map_err(|error| {
            // Of the text itself nothing is repeated: it may be any file.
            let why = if error.is_data() { error.to_string() } else { "no JSON object".to_owned() };
            anyhow!("not the line that `tenure lease acquire` prints: {why}")
        })?;
        let timing = Timing::from_ttl(Duration::from_millis(line.ttl_ms)).context("ttl_ms")?;
        Ok(DetachedLease {
            key: LeaseKey::new(line.key)?,
            holder: HolderId::new(line.holder)?,
            nonce: line.nonce.parse()?,
            term: Term::new(line.term).context("term")?,
            timing,
            note: Note::new(line.note)?,
            deadline: Time::from_nanos(line.deadline_boottime_ns),
            clock: ClockId { boot_id: line.boot_id, time_namespace: line.time_namespace },
            released: line.released,
        })
    }

    /// The line, as it stands in a file.
    pub(super) fn line(&self) -> String {
        self.line_with(None, None)
    }

    /// The line with the answer to a renewal.
    pub(super) fn renewed_line(&self, resign_requested: bool) -> String {
        self.line_with(Some(resign_requested), None)
    }

    /// The line with the answer to a question for the status.
    pub(super) fn status_line(&self, state: State) -> String {
        self.line_with(None, Some(state))
    }

    fn line_with(&self, resign_requested: Option<bool>, state: Option<State>) -> String {
        let line = Line {
            key: self.key.to_string(),
            holder: self.holder.to_string(),
            nonce: self.nonce.to_string(),
            term: self.term.get(),
            ttl_ms: millis(self.timing.ttl()),
            remaining_ms: millis(self.remaining()),
            deadline_boottime_ns: self.deadline.as_nanos(),
            boot_id: self.clock.boot_id.clone(),
            time_namespace: self.clock.time_namespace,
            note: self.note.as_str().to_owned(),
            released: self.released,
            resign_requested,
            state,
        };
        // Text and numbers can always be written.
        serde_json::to_string(&line).unwrap_or_default()
    }

    /// The deadline on the clock of this process; `None` where it is of another boot or time namespace, and cannot be
    /// compared.
    pub(super) fn own_deadline(&self) -> Option<Time> {
        self.clock.is_comparable(&ClockId::own()).then_some(self.deadline)
    }

    /// For how long somebody may act under this lease unless a renewal moves its deadline; zero where it cannot be told.
    pub(crate) fn remaining(&self) -> Duration {
        match self.own_deadline() {
            Some(deadline) if !self.released => deadline.since(tenure::now()),
            _ => Duration::ZERO,
        }
    }

    /// Whether the deadline is on the clock of this process, and not of another boot or time namespace.
    pub(crate) fn is_of_this_clock(&self) -> bool {
        self.own_deadline().is_some()
    }

    /// The term.
    pub(crate) fn term(&self) -> Term {
        self.term
    }

    /// The same lease with a deadline on the clock of this process.
    pub(super) fn until(self, deadline: Time) -> DetachedLease {
        DetachedLease { deadline, clock: ClockId::own(), ..self }
    }

    /// The same lease without any right to act: what is left in its file once it is over.
    pub(super) fn over(self) -> DetachedLease {
        DetachedLease { deadline: Time::ZERO, ..self }
    }

    /// What names the tenure to a store.
    pub(super) fn held(&self) -> Held {
        Held {
            key: self.key.clone(),
            nonce: self.nonce,
            term: self.term,
            ttl: self.timing.ttl(),
            note: self.note.clone(),
        }
    }
}

/// Whole milliseconds, rounded down: a reader is never told of more time than there is.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A lease for tests, which lasts for so long.
    pub(crate) fn lease(remaining: Duration) -> DetachedLease {
        DetachedLease {
            key: LeaseKey::new("k").unwrap(),
            holder: HolderId::new("h").unwrap(),
            nonce: Nonce { process: 1, campaign: 2 },
            term: Term::new(7).unwrap(),
            timing: Timing::from_ttl(Duration::from_secs(15)).unwrap(),
            note: Note::default(),
            deadline: tenure::now() + remaining,
            clock: ClockId::own(),
            released: false,
        }
    }

    /// The members that others depend on come first, and the line reads back.
    #[test]
    fn the_members_of_a_line_are_a_contract() {
        let lease = DetachedLease { note: Note::new("n\n\"").unwrap(), ..lease(Duration::from_secs(5)) };
        let line = lease.line();
        assert!(line.starts_with(
            r#"{"key":"k","holder":"h","nonce":"00000000000000010000000000000002","term":7,"ttl_ms":15000,"remaining_ms":4"#
        ));
        assert!(!line.contains('\n') && line.contains(",\"deadline_boottime_ns\":"), "{line}");
        assert_eq!(DetachedLease::parse(&line).unwrap(), lease);
        assert!(lease.renewed_line(true).contains(r#""resign_requested":true"#));
        let answered = lease.status_line(State::Expired);
        assert!(answered.contains(r#""state":"expired""#));
        assert_eq!(DetachedLease::parse(&answered).unwrap(), lease);
    }

    /// What is released, or is of another boot, or is over, leaves no time.
    #[test]
    fn a_line_of_another_boot_reads_as_over() {
        let lease = lease(Duration::from_secs(5));
        assert!(!lease.remaining().is_zero());
        let other = ClockId { boot_id: Some("another".into()), ..ClockId::own() };
        for odd in [
            DetachedLease { clock: other, ..lease.clone() },
            DetachedLease { clock: ClockId::default(), ..lease.clone() },
            DetachedLease { released: true, ..lease.clone() },
            lease.clone().over(),
        ] {
            assert!(odd.remaining().is_zero() && odd.line().contains(r#""remaining_ms":0,"#), "{odd:?}");
        }
    }

    /// What is no line is refused in words that repeat nothing of it.
    #[test]
    fn what_is_no_line_is_refused() {
        let line = lease(Duration::ZERO).line();
        let odd = [
            "",
            "hunter2",
            "[]",
            "{}",
            "{\"key\":\"hunter2\"}",
            &line.replace("\"term\":7", "\"term\":0"),
            &line.replace("15000", "0"),
            &line.replace("0002", "x"),
            &line[..40],
        ];
        for text in odd {
            let error = format!("{:#}", DetachedLease::parse(text).unwrap_err());
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
