//! The one thread that writes: a batch is a transaction.

use std::thread;

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};
use tenure_base_sqlite::{FileError, FileErrorKind, FileName, OpenFile, State};
use tenure_bus::{BusError, BusErrorKind, Message, Published, Refusal};
use tenure_core::Term;
use tenure_envelope::EnvelopeId;
use tokio::sync::{mpsc, oneshot};

use crate::config::SqliteBusConfig;
use crate::counters::Counters;
use crate::failure::failure;
use crate::schema;

/// The largest body that is taken.
pub(crate) const BODY_LIMIT: usize = 8 << 20;
/// What a row takes on disk beside its body, roughly: the other columns and the index of ids.
pub(crate) const ROW_BYTES: i64 = 200;

pub(crate) type Answers = Vec<Result<Published, Refusal>>;

/// What the writer is asked.
pub(crate) enum Command {
    Publish { batch: OwnedBatch, answer: oneshot::Sender<Result<Answers, BusError>> },
    Count { answer: oneshot::Sender<Result<Counters, BusError>> },
}

/// A batch that can go to another thread.
pub(crate) struct OwnedBatch {
    pub(crate) subject: String,
    pub(crate) fence: Option<(String, Term)>,
    pub(crate) messages: Vec<Message>,
}

/// Starts the thread; it ends when every sender is gone.
pub(crate) fn start(
    config: SqliteBusConfig,
    name: FileName,
    file: OpenFile,
) -> Result<mpsc::Sender<Command>, BusError> {
    // Each command is a caller that waits; more of them wait for room here.
    let (sender, receiver) = mpsc::channel(16);
    let writer = Writer { config, name, file: Some(file) };
    thread::Builder::new().name("tenure-bus-sqlite".into()).spawn(move || writer.run(receiver)).map_err(|error| {
        BusError::new(BusErrorKind::Unavailable, "sqlite bus: no thread could be started").with_source(error)
    })?;
    Ok(sender)
}

struct Writer {
    config: SqliteBusConfig,
    name: FileName,
    // `None` after the file was replaced, and after a failure that the connection may not have survived.
    file: Option<OpenFile>,
}

impl Writer {
    fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            // A caller that gave up is told nothing, so nothing must have been done for it.
            match command {
                Command::Publish { answer, .. } if answer.is_closed() => {}
                Command::Count { answer } if answer.is_closed() => {}
                Command::Publish { batch, answer } => {
                    let _ = answer.send(self.perform(|connection| write(connection, &batch)));
                }
                Command::Count { answer } => {
                    let _ = answer.send(self.perform(|connection| Counters::read(connection)));
                }
            }
        }
    }

    /// Does something with the file. What was done counts only where the file is still the one that everybody else
    /// finds: a message in a file that nobody will see is not on the bus.
    fn perform<T>(&mut self, act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, BusError> {
        let file = self.current()?;
        let result = file.with(self.config.busy_timeout, |connection| {
            let result = act(connection);
            let is_sound = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
            (result, is_sound)
        });
        let replaced = result.is_none() || file.state() == State::Replaced;
        match result {
            Some((result, is_sound)) if !replaced => {
                if is_sound {
                    self.file = Some(file);
                }
                result.map_err(|error| failure(FileError::of(&self.name, error)))
            }
            _ => {
                self.retire(file);
                Err(failure(FileError::replaced(&self.name)))
            }
        }
    }

    /// Takes the file, as long as its name still leads to it. Where somebody has put another file there that is opened; it
    /// is never created again, for that would forget every id and every term unseen.
    fn current(&mut self) -> Result<OpenFile, BusError> {
        if let Some(file) = self.file.take() {
            match file.state() {
                State::Current => return Ok(file),
                State::Replaced => self.retire(file),
                State::Linked => {
                    let error = failure(file.linked());
                    self.file = Some(file);
                    return Err(error);
                }
            }
        }
        schema::open(&self.config, &self.name, false).map_err(|error| match error.kind() {
            FileErrorKind::Missing => {
                let text = format!("{error}: the bus is gone: put it back, or restart to begin a new one");
                BusError::new(BusErrorKind::Unavailable, text)
            }
            _ => failure(error),
        })
    }

    fn retire(&self, file: OpenFile) {
        tracing::warn!(path = %self.name, "the bus file, or its log, was moved, removed or replaced");
        file.retire();
    }
}

/// One batch in one transaction: 1. the fence, 2. the rows that are new, 3. the counters. An error leaves nothing done.
fn write(connection: &mut Connection, batch: &OwnedBatch) -> rusqlite::Result<Answers> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let (last, term_seen) = (last_pos(connection)?, admit(connection, batch)?);
    let mut tally = Tally { pos: last, ..Tally::default() };
    let answers = match term_seen {
        Some(seen) => {
            tally.refused = batch.messages.len() as i64;
            vec![Err(Refusal::Fenced { seen }); batch.messages.len()]
        }
        None => insert(connection, batch, &mut tally)?,
    };
    connection
        .prepare_cached(
            "UPDATE bus_state SET last_pos = ?1, bytes = bytes + ?2, stored = stored + ?3,
                 deduplicated = deduplicated + ?4, refused = refused + ?5",
        )?
        .execute(params![tally.pos, tally.bytes, tally.stored, tally.deduplicated, tally.refused])?;
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(answers)
}

#[derive(Default)]
struct Tally {
    pos: i64,
    bytes: i64,
    stored: i64,
    deduplicated: i64,
    refused: i64,
}

/// The last position given out. Rows that somebody added by hand count too: a position is never used twice.
fn last_pos(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT max(last_pos, ifnull((SELECT max(pos) FROM envelopes), 0)) FROM bus_state")?
        .query_row([], |row| row.get(0))
}

/// Admits the batch's term and records it, or gives the higher one that was seen.
fn admit(connection: &Connection, batch: &OwnedBatch) -> rusqlite::Result<Option<Term>> {
    let Some((key, term)) = &batch.fence else { return Ok(None) };
    let mut query = connection.prepare_cached("SELECT term FROM bus_fence WHERE key = ?1")?;
    let number = number(*term);
    let seen: Option<i64> = query.query_row([key], |row| row.get(0)).optional()?;
    match seen {
        Some(seen) if seen > number => {
            let seen = u64::try_from(seen).ok().and_then(Term::new);
            return Ok(Some(seen.unwrap_or(*term)));
        }
        Some(seen) if seen == number => {}
        _ => {
            connection
                .prepare_cached("INSERT INTO bus_fence VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET term = ?2")?
                .execute(params![key, number])?;
        }
    }
    Ok(None)
}

fn insert(connection: &Connection, batch: &OwnedBatch, tally: &mut Tally) -> rusqlite::Result<Answers> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO envelopes (pos, id, subject, kind, channel, term, at_ms, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO NOTHING",
    )?;
    let mut find = connection.prepare_cached("SELECT pos FROM envelopes WHERE id = ?1")?;
    let mut removed = connection.prepare_cached("SELECT pos FROM bus_removed WHERE id = ?1")?;
    // Whoever keeps the bounds may be another process.
    let any_removed: bool =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM bus_removed)")?.query_row([], |row| row.get(0))?;
    let term = batch.fence.as_ref().map(|(_, term)| number(*term));
    let at_ms = schema::wall_clock_ms();
    insert.raw_bind_parameter(3, batch.subject.as_str())?;
    insert.raw_bind_parameter(6, term)?;
    insert.raw_bind_parameter(7, at_ms)?;
    let mut answers = Vec::with_capacity(batch.messages.len());
    for message in &batch.messages {
        if let Some(reason) = unfit(&message.body) {
            tally.refused += 1;
            answers.push(Err(Refusal::Rejected(reason)));
            continue;
        }
        let id = IdText::of(message.id);
        if any_removed {
            let pos: Option<i64> = removed.query_row([id.as_str()], |row| row.get(0)).optional()?;
            if let Some(pos) = pos {
                tally.deduplicated += 1;
                answers.push(Ok(Published::Duplicate(pos as u64)));
                continue;
            }
        }
        insert.raw_bind_parameter(1, tally.pos + 1)?;
        insert.raw_bind_parameter(2, id.as_str())?;
        insert.raw_bind_parameter(4, message.kind)?;
        insert.raw_bind_parameter(5, &*message.channel)?;
        insert.raw_bind_parameter(8, ToSqlOutput::Borrowed(ValueRef::Text(&message.body)))?;
        if insert.raw_execute()? == 1 {
            tally.pos += 1;
            tally.stored += 1;
            tally.bytes += message.body.len() as i64 + ROW_BYTES;
            answers.push(Ok(Published::Stored(tally.pos as u64)));
        } else {
            let pos: i64 = find.query_row([id.as_str()], |row| row.get(0))?;
            tally.deduplicated += 1;
            answers.push(Ok(Published::Duplicate(pos as u64)));
        }
    }
    Ok(answers)
}

/// A term as SQLite's integer; terms are below 2^52.
fn number(term: Term) -> i64 {
    i64::try_from(term.get()).unwrap_or(i64::MAX)
}

/// Why this body cannot be a text in the table.
fn unfit(body: &Bytes) -> Option<String> {
    if body.len() > BODY_LIMIT {
        return Some(format!("sqlite bus: a body of {} bytes, at most {BODY_LIMIT} are taken", body.len()));
    }
    match std::str::from_utf8(body) {
        Ok(_) => None,
        Err(error) => Some(format!("sqlite bus: the body is not UTF-8: {error}")),
    }
}

/// An id as text, without an allocation.
pub(crate) struct IdText([u8; 36]);

impl IdText {
    pub(crate) fn of(id: EnvelopeId) -> IdText {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (index, byte) in id.0.iter().enumerate() {
            at += usize::from(matches!(index, 4 | 6 | 8 | 10));
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        IdText(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // Hex digits and hyphens only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The id that a row's text stands for; `None` where somebody wrote something else there.
pub(crate) fn parse_id(text: &str) -> Option<EnvelopeId> {
    let mut id = [0; 16];
    let mut digits = text.bytes().filter(|byte| *byte != b'-');
    for byte in &mut id {
        let (high, low) = (digits.next()?, digits.next()?);
        let value = char::from(high).to_digit(16)? << 4 | char::from(low).to_digit(16)?;
        *byte = u8::try_from(value).ok()?;
    }
    (digits.next().is_none() && text.len() == 36).then_some(EnvelopeId(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id reads back from its text, and its text is the one that envelopes show.
    #[test]
    fn id_text_round_trips() {
        let id = EnvelopeId(*b"\x00\x01\x02\x03\x7f\x80\x90\xff\xfe\xdc\xba\x98\x76\x54\x32\x10");
        assert_eq!(IdText::of(id).as_str(), id.to_string());
        assert_eq!(parse_id(IdText::of(id).as_str()), Some(id));
        for wrong in ["", "00", "zz010203-7f80-90ff-fedc-ba9876543210", "00010203-7f80-90ff-fedc-ba98765432100"] {
            assert_eq!(parse_id(wrong), None, "{wrong}");
        }
    }
}
