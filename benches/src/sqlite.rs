//! From lines to rows in SQLite: ours through its bus, beside bare rusqlite with the same rows made beforehand.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use rusqlite::{Connection, params};
use tenure_bus::{Batch as Messages, Bus as _, Message, Published};
use tenure_bus_sqlite::{SqliteBus, SqliteBusConfig};
use tenure_core::Term;
use tenure_envelope::{Builder, channel_of};

use crate::clock::process_cpu;
use crate::corpus::Corpus;
use crate::envelope::{RECEIVED_AT_MS, is_message};
use crate::pairs::{self, Batch, Effort};
use crate::report::{Report, Row, Target};

/// The name of the group.
pub(crate) const GROUP: &str = "sqlite";
/// Rows in one transaction.
const ROWS: usize = 256;
const SUBJECT: &str = "internal.ingress.v1";
const KEY: &str = "system/ircLeader";

/// A line, and the row that it becomes.
struct Prepared {
    line: String,
    message: Message,
    /// The id as the table holds it.
    id: String,
}

/// Measures with the PRIVMSG lines, each with an id of its own.
///
/// # Errors
/// Where the database cannot be written.
pub(crate) fn measure(report: &mut Report, effort: Effort, lines: &[String]) -> Result<()> {
    let rows = if effort.pairs < Effort::FULL.pairs { 8 * ROWS } else { 64 * ROWS };
    let prepared = prepare(lines, rows)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let note = format!(
        "{rows} rows into a new file each time, {ROWS} a transaction, WAL with full sync; CPU time of the whole process. Ours parses, builds \
         the envelope, checks fence and id, and hands over to its writing thread; the peer's rows are made before"
    );
    let whole = pairs::compare(effort, |_| ours(&runtime, &prepared, true), |_| bare(&prepared))?;
    let target = Some(Target { goal: 0.8, at_least: 0.7 });
    report.rows.push(
        Row::of_time(GROUP, "lines to rows in SQLite, batched", "the same rows prepared, bare rusqlite", whole, target)
            .noting(note),
    );
    let rows_only = pairs::compare(effort, |_| ours(&runtime, &prepared, false), |_| bare(&prepared))?;
    report.rows.push(
        Row::of_time(GROUP, "rows in SQLite, batched", "the same rows prepared, bare rusqlite", rows_only, None)
            .noting("ours begins with envelopes that are made before, as the peer does"),
    );
    Ok(())
}

/// Prepares `rows` rows, each of a line with an id of its own.
fn prepare(lines: &[String], rows: usize) -> Result<Vec<Prepared>> {
    let messages: Vec<String> = lines
        .iter()
        .filter(|line| is_message(line) && line.contains(";id=") && line.contains("tmi-sent-ts="))
        .cloned()
        .collect();
    let corpus = Corpus::of(&messages)?;
    let mut builder = Builder::new();
    let mut prepared = Vec::with_capacity(rows);
    for (number, line) in corpus.lines().take(rows).enumerate() {
        let line = with_id(line, number);
        let message = message(&mut builder, &line).context("a PRIVMSG without an envelope")?;
        prepared.push(Prepared { id: message.id.to_string(), line, message });
    }
    Ok(prepared)
}

/// The line with another message id.
pub(crate) fn with_id(line: &str, number: usize) -> String {
    let Some((before, rest)) = line.split_once(";id=") else { return line.to_owned() };
    let after = rest.find([';', ' ']).map_or("", |at| &rest[at..]);
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &number.to_le_bytes());
    format!("{before};id={id}{after}")
}

/// The message that the line becomes.
pub(crate) fn message(builder: &mut Builder, line: &str) -> Option<Message> {
    let parsed = tenure_irc::parse(line.as_bytes()).ok()?;
    let mut body = Vec::new();
    let built = builder.build(&parsed, RECEIVED_AT_MS.unsigned_abs(), &mut body)?;
    Some(Message {
        id: built.id,
        kind: built.kind.as_str(),
        channel: channel_of(&parsed).into(),
        body: Bytes::from(body),
    })
}

fn ours(runtime: &tokio::runtime::Runtime, prepared: &[Prepared], from_lines: bool) -> Result<Batch> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    runtime.block_on(async {
        let bus = SqliteBus::open(SqliteBusConfig::new(folder.path().join("bus.db")))?;
        let term = Term::new(1).context("no term")?;
        let mut builder = Builder::new();
        let from = process_cpu();
        for rows in prepared.chunks(ROWS) {
            let messages: Vec<Message> = if from_lines {
                rows.iter().filter_map(|row| message(&mut builder, &row.line)).collect()
            } else {
                rows.iter().map(|row| row.message.clone()).collect()
            };
            let batch = Messages { subject: SUBJECT, fence: Some((KEY, term)), valid_until: None, messages: &messages };
            let answers = bus.publish(&batch).await?;
            if answers.len() != rows.len() || !answers.iter().all(|answer| matches!(answer, Ok(Published::Stored(_)))) {
                bail!("the bus did not store every row");
            }
        }
        Ok(timed(prepared, from))
    })
}

fn bare(prepared: &[Prepared]) -> Result<Batch> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut connection = Connection::open(folder.path().join("bare.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.execute_batch(
        "CREATE TABLE envelopes (
            pos     INTEGER PRIMARY KEY,
            id      TEXT NOT NULL UNIQUE,
            subject TEXT NOT NULL,
            kind    TEXT NOT NULL,
            channel TEXT NOT NULL,
            term    INTEGER,
            at_ms   INTEGER NOT NULL,
            body    TEXT NOT NULL
        ) STRICT",
    )?;
    let from = process_cpu();
    for rows in prepared.chunks(ROWS) {
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO envelopes (id, subject, kind, channel, term, at_ms, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for Prepared { id, message, .. } in rows {
                let body = std::str::from_utf8(&message.body)?;
                insert.execute(params![id, SUBJECT, message.kind, message.channel, 1, RECEIVED_AT_MS, body])?;
            }
        }
        transaction.commit()?;
    }
    Ok(timed(prepared, from))
}

fn timed(prepared: &[Prepared], from: Duration) -> Batch {
    Batch::timed(prepared.len() as u64, process_cpu().saturating_sub(from))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the message's id changes, and every number gives another one.
    #[test]
    fn a_line_gets_another_id() {
        let line = "@badges=;id=one;mod=0 :ann!ann@ann.example PRIVMSG #room :hi ;id=two";
        let (first, second) = (with_id(line, 1), with_id(line, 2));
        assert_ne!(first, second);
        assert!(
            first.starts_with("@badges=;id=")
                && first.ends_with(";mod=0 :ann!ann@ann.example PRIVMSG #room :hi ;id=two")
        );
    }
}
