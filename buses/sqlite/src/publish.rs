//! Publishing: the steps of a batch in its transaction.

use bytes::Bytes;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};
use tenure_bus::{Message, Published, Refusal};
use tenure_core::Term;

use crate::id_text::IdText;
use crate::schema::{ROW_BYTES, wall_clock_ms};

/// The largest body that is accepted, in bytes.
const BODY_LIMIT: usize = 8 << 20;

pub(crate) type Answers = Vec<Result<Published, Refusal>>;

/// A batch that can go to another thread.
pub(crate) struct OwnedBatch {
    pub(crate) subject: String,
    pub(crate) fence: Option<(String, Term)>,
    pub(crate) messages: Vec<Message>,
}

/// One batch, in the transaction that is open: 1. the fence, 2. the rows that are new, 3. the counters.
pub(crate) fn publish(connection: &Connection, batch: &OwnedBatch) -> rusqlite::Result<Answers> {
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

/// The last position that was assigned. Rows that somebody added by hand count too, so that no position is used twice.
fn last_pos(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT max(last_pos, ifnull((SELECT max(pos) FROM envelopes), 0)) FROM bus_state")?
        .query_row([], |row| row.get(0))
}

/// Admits the batch's term and records it, or returns the higher term that was seen.
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
    // Another process may remove messages, so only the table says whether there are ids of removed ones.
    let any_removed: bool =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM bus_removed)")?.query_row([], |row| row.get(0))?;
    let term = batch.fence.as_ref().map(|(_, term)| number(*term));
    let at_ms = wall_clock_ms();
    insert.raw_bind_parameter(3, batch.subject.as_str())?;
    insert.raw_bind_parameter(6, term)?;
    insert.raw_bind_parameter(7, at_ms)?;
    let mut answers = Vec::with_capacity(batch.messages.len());
    for message in &batch.messages {
        if let Some(reason) = rejection(&message.body) {
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

/// Why this body cannot be stored as text in the table.
fn rejection(body: &Bytes) -> Option<String> {
    if body.len() > BODY_LIMIT {
        return Some(format!("sqlite bus: a body of {} bytes, at most {BODY_LIMIT} are taken", body.len()));
    }
    match std::str::from_utf8(body) {
        Ok(_) => None,
        Err(error) => Some(format!("sqlite bus: the body is not UTF-8: {error}")),
    }
}
