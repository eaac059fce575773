//! Following: a thread that reads what was committed since it last looked.

use std::thread;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use rusqlite::{Connection, params};
use tenure_bus::{BusError, BusErrorKind, FollowFrom, FollowStream, Followed};
use tenure_core::Term;
use tokio::sync::{mpsc, oneshot};

use crate::config::SqliteBusConfig;
use crate::failure::{failure, is_busy};
use crate::schema;
use crate::writer::parse_id;

/// How many messages wait for a slow reader; then the thread waits, and the file keeps the rest.
const QUEUE: usize = 256;
/// How many rows one look reads, so that no look holds up the removal of old pages for long.
const ROWS: i64 = 256;

/// Starts following; the thread ends soon after the stream was dropped.
pub(crate) async fn start(config: &SqliteBusConfig, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
    let (items, received) = mpsc::channel(QUEUE);
    let (ready, started) = oneshot::channel();
    let (config, subject) = (config.clone(), subject.to_owned());
    let run = move || match Follower::open(config, subject, from) {
        Ok(follower) => {
            let _ = ready.send(Ok(()));
            follower.run(&items);
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    };
    let failed = || BusError::new(BusErrorKind::Unavailable, "sqlite bus: the following thread could not start");
    thread::Builder::new().name("tenure-bus-follow".into()).spawn(run).map_err(|error| failed().with_source(error))?;
    started.await.map_err(|_| failed())??;
    let next = |mut received: mpsc::Receiver<_>| async move { received.recv().await.map(|item| (item, received)) };
    Ok(stream::unfold(received, next).boxed())
}

type Items = mpsc::Sender<Result<Followed, BusError>>;

struct Follower {
    config: SqliteBusConfig,
    connection: Connection,
    identity: Option<(u64, u64)>,
    subject: String,
    /// The last position that was looked at, whatever its subject.
    seen: i64,
}

impl Follower {
    fn open(config: SqliteBusConfig, subject: String, from: FollowFrom) -> Result<Follower, BusError> {
        let connection = schema::open_to_read(&config)?;
        let identity = schema::identity(&config.path);
        let seen = match from {
            FollowFrom::Start => 0,
            FollowFrom::After(pos) => i64::try_from(pos).unwrap_or(i64::MAX),
            FollowFrom::End => connection
                .query_row("SELECT last_pos FROM bus_state", [], |row| row.get(0))
                .map_err(|error| failure(&config.path, "following it", error))?,
        };
        Ok(Follower { config, connection, identity, subject, seen })
    }

    fn run(mut self, items: &Items) {
        let mut version = None;
        while !items.is_closed() {
            // The number changes when another connection has committed; asking it costs no read of the tables. It is
            // asked first, so that what comes in while the rows are read is found by the next look.
            let found = match self.data_version() {
                Ok(found) => found,
                Err(error) if is_busy(&error) => continue,
                Err(error) => return self.stop(items, error),
            };
            if version != Some(found) {
                match self.catch_up(items) {
                    Ok(true) => version = Some(found),
                    Ok(false) => return,
                    Err(error) if is_busy(&error) => {}
                    Err(error) => return self.stop(items, error),
                }
            } else if schema::identity(&self.config.path) != self.identity {
                let path = self.config.path.display();
                let text = format!("sqlite bus {path}: the file was moved, removed or replaced: follow again");
                let _ = items.blocking_send(Err(BusError::new(BusErrorKind::Unavailable, text)));
                return;
            }
            thread::sleep(self.config.poll);
        }
    }

    fn data_version(&self) -> rusqlite::Result<i64> {
        self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
    }

    /// Hands over everything after `seen`; `false` where nobody listens any more. No read is open while it waits for
    /// the listener.
    fn catch_up(&mut self, items: &Items) -> rusqlite::Result<bool> {
        loop {
            let rows = self.read()?;
            let more = rows.len() as i64 == ROWS;
            for (pos, row) in rows {
                if pos > self.seen + 1 && self.seen > 0 {
                    let missed = pos - self.seen - 1;
                    tracing::warn!(after = self.seen, missed, "followed messages were removed before they were read");
                }
                self.seen = pos;
                if let Some(followed) = row
                    && items.blocking_send(Ok(followed)).is_err()
                {
                    return Ok(false);
                }
            }
            if !more {
                return Ok(true);
            }
        }
    }

    /// The next rows, with `None` for one of another subject: those move `seen` on, and their bodies are not read.
    fn read(&self) -> rusqlite::Result<Vec<(i64, Option<Followed>)>> {
        let mut query = self.connection.prepare_cached(
            "SELECT pos, id, term, CASE WHEN subject = ?2 THEN body END FROM envelopes
             WHERE pos > ?1 ORDER BY pos LIMIT ?3",
        )?;
        let mut rows = query.query(params![self.seen, self.subject, ROWS])?;
        let mut read = Vec::new();
        while let Some(row) = rows.next()? {
            let pos: i64 = row.get(0)?;
            let id = row.get_ref(1)?.as_str().ok().and_then(parse_id);
            let body = row.get_ref(3)?.as_bytes_or_null()?;
            if id.is_none() {
                tracing::warn!(pos, "skipped a row whose id is not a UUID: not written by this program");
            }
            let followed = id.zip(body).zip(u64::try_from(pos).ok()).map(|((id, body), pos)| {
                let term = row
                    .get::<_, Option<i64>>(2)
                    .ok()
                    .flatten()
                    .and_then(|term| u64::try_from(term).ok())
                    .and_then(Term::new);
                Followed { pos, id, term, body: Bytes::copy_from_slice(body) }
            });
            read.push((pos, followed));
        }
        Ok(read)
    }

    fn stop(&self, items: &Items, error: rusqlite::Error) {
        let _ = items.blocking_send(Err(failure(&self.config.path, "following it", error)));
    }
}
