//! Following: a thread that reads what was committed since its last read, and changes nothing.

use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use rusqlite::{Connection, params};
use tenure_base_sqlite::{FileError, FileErrorKind, FileName, Reader};
use tenure_bus::{BusError, BusErrorKind, FollowFrom, FollowStream, Followed};
use tenure_core::Term;
use tokio::sync::{mpsc, oneshot};

use crate::config::{SqliteBusConfig, invalid};
use crate::error::bus_error;
use crate::id_text::parse_id;
use crate::schema::FORMAT;

/// How many messages may wait for a slow reader; beyond that the thread waits, and the file keeps the rest.
const QUEUE: usize = 256;
/// How many rows one read takes, so that no read holds up the removal of old pages for long.
const ROWS: i64 = 256;

/// Reads one consistent state of the bus; fails where there is none.
pub(crate) fn read<T>(
    reader: &mut Reader,
    name: &FileName,
    wait: Duration,
    act: impl FnMut(&Connection) -> rusqlite::Result<T>,
) -> Result<T, BusError> {
    let read = reader.read(wait, act).map_err(bus_error)?;
    read.ok_or_else(|| invalid(format!("sqlite:{name}: holds no bus yet: publish to it first")))
}

/// Starts following; the thread ends soon after the stream was dropped.
pub(crate) async fn start(
    config: &SqliteBusConfig,
    name: &FileName,
    subject: &str,
    from: FollowFrom,
) -> Result<FollowStream, BusError> {
    let (items, received) = mpsc::channel(QUEUE);
    let (ready, started) = oneshot::channel();
    let (config, name, subject) = (config.clone(), name.clone(), subject.to_owned());
    let run = move || match Follower::open(&config, name, subject, from) {
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
    name: FileName,
    reader: Reader,
    // Which of the files of this name is followed: in another file the same positions mean other messages.
    epoch: u64,
    wait: Duration,
    poll: Duration,
    subject: String,
    /// The last position that was read, whatever its subject.
    seen: i64,
}

impl Follower {
    fn open(config: &SqliteBusConfig, name: FileName, subject: String, from: FollowFrom) -> Result<Follower, BusError> {
        let mut reader = Reader::new(name.clone(), &FORMAT);
        let wait = config.busy_timeout;
        let last = read(&mut reader, &name, wait, |connection| {
            connection.query_row("SELECT last_pos FROM bus_state", [], |row| row.get(0))
        })?;
        let seen = match from {
            FollowFrom::Start => 0,
            FollowFrom::After(pos) => i64::try_from(pos).unwrap_or(i64::MAX),
            FollowFrom::End => last,
        };
        let epoch = reader.epoch();
        Ok(Follower { name, reader, epoch, wait, poll: config.poll, subject, seen })
    }

    fn run(mut self, items: &Items) {
        let mut behind = true;
        while !items.is_closed() {
            // Asked before the rows are read, so that the next read finds rows that are committed meanwhile.
            match self.reader.changed(self.wait) {
                Ok(changed) => behind |= changed,
                // The file was locked for longer than the wait; the rows that were not read yet stay there.
                Err(error) if error.kind() == FileErrorKind::Unavailable && !self.is_another() => {}
                Err(error) => return self.stop(items, error),
            }
            if behind {
                match self.catch_up(items) {
                    Ok(true) => behind = false,
                    Ok(false) => return,
                    Err(error) if error.kind() == FileErrorKind::Unavailable && !self.is_another() => {}
                    Err(error) => return self.stop(items, error),
                }
            }
            thread::sleep(self.poll);
        }
    }

    /// Hands over every message after `seen`; returns `false` where nobody listens any more. No read transaction is
    /// open while this waits for the listener.
    fn catch_up(&mut self, items: &Items) -> Result<bool, FileError> {
        loop {
            let (seen, subject) = (self.seen, self.subject.as_str());
            let rows = self.reader.read(self.wait, |connection| rows(connection, seen, subject))?;
            if self.is_another() {
                return Err(FileError::replaced(&self.name));
            }
            let rows = rows.unwrap_or_default();
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

    fn is_another(&self) -> bool {
        self.reader.epoch() != self.epoch
    }

    fn stop(&self, items: &Items, error: FileError) {
        let error = if self.is_another() || error.kind() == FileErrorKind::Missing {
            let text = format!("sqlite:{}: the bus file was moved, removed or replaced: follow again", self.name);
            BusError::new(BusErrorKind::Unavailable, text).with_source(error)
        } else {
            bus_error(error)
        };
        let _ = items.blocking_send(Err(error));
    }
}

/// The next rows; a row of another subject is `None`: it moves `seen` on, and its body is not read.
fn rows(connection: &Connection, seen: i64, subject: &str) -> rusqlite::Result<Vec<(i64, Option<Followed>)>> {
    let mut query = connection.prepare_cached(
        "SELECT pos, id, term, CASE WHEN subject = ?2 THEN body END FROM envelopes
         WHERE pos > ?1 ORDER BY pos LIMIT ?3",
    )?;
    let mut rows = query.query(params![seen, subject, ROWS])?;
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
