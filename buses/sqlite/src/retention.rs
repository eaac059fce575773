//! Removing old messages, oldest first, a little at a time, without forgetting their ids too soon.

use std::thread;
use std::time::Duration;

use rusqlite::{Connection, params};
use tenure_base_sqlite::{Durability, FileError, FileName, Writer};
use tenure_bus::BusError;
use tokio::sync::mpsc;

use crate::config::SqliteBusConfig;
use crate::error::bus_error;
use crate::schema::{self, ROW_BYTES};

/// How long ids outlive messages that only the size bound removes.
const REMOVED_IDS_KEPT: Duration = Duration::from_secs(3600);
/// How many rows one transaction removes: a publisher waits for no more than that.
const ROWS: i64 = 500;
/// How often the bounds are checked.
const INTERVAL: Duration = Duration::from_millis(500);
/// The pause between two steps while there is more to remove, so that publishers get the lock.
const STEP_PAUSE: Duration = Duration::from_millis(2);

/// For how long a second message with the same id is dropped.
///
/// For ever without a bound. With `max_age` for that long, also where the size bound removes the message earlier; with
/// `max_bytes` alone for an hour after the message has been removed.
pub(crate) fn dedupe(config: &SqliteBusConfig) -> Duration {
    match (config.retention.max_age, config.retention.max_bytes) {
        (None, None) => Duration::MAX,
        (Some(age), _) => age,
        (None, Some(_)) => REMOVED_IDS_KEPT,
    }
}

/// Ends the thread that removes old messages when it is dropped.
#[derive(Debug)]
pub(crate) struct RetentionThread {
    _alive: mpsc::Sender<()>,
}

/// Starts the thread that enforces the bounds, if there are any.
pub(crate) fn start(config: &SqliteBusConfig, name: &FileName) -> Result<Option<RetentionThread>, BusError> {
    if config.retention.max_age.is_none() && config.retention.max_bytes.is_none() {
        return Ok(None);
    }
    let writer = schema::open(config, name, false).map_err(bus_error)?;
    let remover = Remover { config: config.clone(), writer, said: false };
    let (alive, ended) = mpsc::channel(1);
    let thread = thread::Builder::new().name("tenure-bus-trim".into()).spawn(move || remover.run(ended));
    thread.map_err(|error| bus_error(FileError::no_thread(name, error)))?;
    Ok(Some(RetentionThread { _alive: alive }))
}

struct Remover {
    config: SqliteBusConfig,
    writer: Writer,
    said: bool,
}

impl Remover {
    fn run(mut self, ended: mpsc::Receiver<()>) {
        while !ended.is_closed() && ended.sender_strong_count() > 0 {
            match self.step() {
                Ok(more) => {
                    self.said = false;
                    thread::sleep(if more { STEP_PAUSE } else { INTERVAL });
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.said, true) {
                        tracing::warn!(%error, "old messages could not be removed");
                    }
                    thread::sleep(INTERVAL);
                }
            }
        }
    }

    /// Removes some rows in the file that the name leads to now; returns whether there may be more to remove.
    fn step(&mut self) -> Result<bool, FileError> {
        let (config, now_ms, wait) = (&self.config, schema::wall_clock_ms(), self.config.busy_timeout);
        let stepped = match self.writer.read(wait, |connection| idle(connection, config, now_ms)) {
            Ok(true) => return Ok(false),
            // A removal that a crash of the machine undoes is done again, so it needs no fsync.
            Ok(false) => self.writer.transact(Durability::System, wait, |connection| step(connection, config, now_ms)),
            Err(error) => Err(error),
        };
        match stepped {
            // Publishers have priority.
            Err(error) if error.is_busy() => Ok(false),
            stepped => Ok(stepped?.unwrap_or(false)),
        }
    }
}

/// Removes some rows in the transaction that is open; returns whether there may be more to remove.
fn step(transaction: &Connection, config: &SqliteBusConfig, now_ms: i64) -> rusqlite::Result<bool> {
    let kept_ids = i64::try_from(dedupe(config).as_millis()).unwrap_or(i64::MAX);
    let mut removed = 0;
    if let Some(age) = config.retention.max_age {
        let cutoff = now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        removed += remove(transaction, cutoff, i64::MAX, None)?;
    }
    if let Some(most) = config.retention.max_bytes {
        let bytes: i64 = transaction.query_row("SELECT bytes FROM bus_state", [], |row| row.get(0))?;
        let excess = bytes.saturating_sub(i64::try_from(most).unwrap_or(i64::MAX));
        if excess > 0 {
            removed += remove(transaction, i64::MAX, excess, Some((now_ms, kept_ids)))?;
        }
    }
    let forgotten = transaction
        .prepare_cached(
            "DELETE FROM bus_removed WHERE id IN (SELECT id FROM bus_removed WHERE gone_ms <= ?1 LIMIT ?2)",
        )?
        .execute(params![now_ms, ROWS])? as i64;
    Ok(removed >= ROWS || forgotten >= ROWS)
}

/// Whether no bound is exceeded, read without the write lock.
fn idle(connection: &Connection, config: &SqliteBusConfig, now_ms: i64) -> rusqlite::Result<bool> {
    let mut query = connection.prepare_cached(
        "SELECT bytes, ifnull((SELECT at_ms FROM envelopes ORDER BY pos LIMIT 1), ?1),
             EXISTS (SELECT 1 FROM bus_removed WHERE gone_ms <= ?1) FROM bus_state",
    )?;
    let (bytes, oldest, ids): (i64, i64, bool) =
        query.query_row([now_ms], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let old = config.retention.max_age.is_some_and(|age| now_ms.saturating_sub(oldest) as u128 >= age.as_millis());
    let large = config.retention.max_bytes.is_some_and(|most| u64::try_from(bytes).unwrap_or(0) > most);
    Ok(!old && !large && !ids)
}

/// Removes of the oldest [`ROWS`] rows those up to the last one stored before `cutoff`, and no more than free `excess`
/// bytes; their ids are remembered for the rest of the time given. Position is what "older" means, since clocks step.
fn remove(
    transaction: &Connection,
    cutoff_ms: i64,
    excess: i64,
    remember: Option<(i64, i64)>,
) -> rusqlite::Result<i64> {
    let mut query = transaction.prepare_cached(
        "SELECT max(pos) FROM (
             SELECT pos, at_ms, sum(octet_length(body) + ?3) OVER (ORDER BY pos) - octet_length(body) - ?3 AS freed
             FROM (SELECT pos, at_ms, body FROM envelopes ORDER BY pos LIMIT ?4))
         WHERE at_ms <= ?1 AND freed < ?2",
    )?;
    let last: Option<i64> = query.query_row(params![cutoff_ms, excess, ROW_BYTES, ROWS], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    if let Some((now_ms, kept_ids)) = remember {
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO bus_removed SELECT id, pos, ?2 + ?3 FROM envelopes WHERE pos <= ?1",
            )?
            .execute(params![last, now_ms, kept_ids])?;
    }
    transaction
        .prepare_cached(
            "UPDATE bus_state SET bytes = max(0, bytes -
                 (SELECT ifnull(sum(octet_length(body) + ?2), 0) FROM envelopes WHERE pos <= ?1))",
        )?
        .execute(params![last, ROW_BYTES])?;
    let count = transaction.prepare_cached("DELETE FROM envelopes WHERE pos <= ?1")?.execute([last])?;
    Ok(i64::try_from(count).unwrap_or(i64::MAX))
}
