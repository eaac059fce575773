//! The SQLite bus: hands batches to the writer thread and waits for the answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_base_sqlite::{Durability, FileError, FileErrorKind, FileName, Reader, Worker, WorkerLimits, Writer};
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Published, Refusal};

use crate::config::{SqliteBusConfig, SyncMode, invalid};
use crate::counters::Counters;
use crate::error::bus_error;
use crate::publish::{Answers, OwnedBatch, publish};
use crate::retention::{self, RetentionThread};
use crate::schema::FORMAT;
use crate::{follow, schema};

/// The most messages in one batch.
const BATCH_LIMIT: usize = 4096;
/// How long the disk may take beyond the busy time-out before a call gives up.
const DISK_GRACE: Duration = Duration::from_secs(10);
/// How often a batch is tried again because the file was replaced meanwhile.
const REPLACED_TRIES: u32 = 2;

/// A bus in a SQLite file. Cloning gives another handle to the same connection.
///
/// A message is on the bus once its batch is committed, see [`crate::SyncMode`]; a batch is there whole or not at all. The
/// order of positions is the order of commits. Other processes on this host may have the file open too.
#[derive(Clone)]
pub struct SqliteBus {
    config: Arc<SqliteBusConfig>,
    name: FileName,
    /// The writer thread, if the bus was opened for writing.
    writer: Option<Arc<Worker<Writer>>>,
    /// Ends the thread that removes old messages when the last handle is dropped.
    _retention: Option<Arc<RetentionThread>>,
}

impl SqliteBus {
    /// Opens the file, and creates the bus in it if it is new. Blocks on the disk for at most about the busy time-out.
    ///
    /// Fails where the file is another program's or of a newer format (it stays as it is, to the byte), has a second name (a
    /// hard link) or is mounted as a single file, or the file system is one on which SQLite's locks do not hold.
    pub fn open(config: SqliteBusConfig) -> Result<SqliteBus, BusError> {
        let name = config.name()?;
        let writer = schema::open(&config, &name, true).map_err(bus_error)?;
        let retention = retention::start(&config, &name)?.map(Arc::new);
        let limits = WorkerLimits { open: Duration::ZERO, locks: config.busy_timeout, disk: DISK_GRACE };
        let worker = Worker::spawn("tenure-bus-sqlite", &name, limits, || Some(writer)).map_err(bus_error)?;
        Ok(SqliteBus { config: Arc::new(config), name, writer: Some(Arc::new(worker)), _retention: retention })
    }

    /// Opens an existing bus for reading: it can be followed and its counters read, and it refuses to publish. Nothing
    /// is created, changed, removed or left behind, so this works for a bus that this user may not write, even in a
    /// folder or on a file system that is read-only. Blocks as [`SqliteBus::open`] does.
    ///
    /// Fails where there is no bus, and where it can only be read once somebody has written: the error says so.
    pub fn open_to_read(config: SqliteBusConfig) -> Result<SqliteBus, BusError> {
        let name = config.name()?;
        let mut reader = Reader::new(name.clone(), &FORMAT);
        follow::read(&mut reader, &name, config.busy_timeout, |_| Ok(()))?;
        Ok(SqliteBus { config: Arc::new(config), name, writer: None, _retention: None })
    }

    /// The counters of the file since it was created, over all processes that publish to it.
    pub async fn counters(&self) -> Result<Counters, BusError> {
        let (name, wait) = (self.name.clone(), self.config.busy_timeout);
        if self.writer.is_some() {
            return self.ask(move |writer| writer.read(wait, Counters::read)).await;
        }
        let mut reader = Reader::new(name.clone(), &FORMAT);
        let read = move || follow::read(&mut reader, &name, wait, Counters::read);
        let ended =
            |_| BusError::new(BusErrorKind::Unavailable, format!("sqlite:{}: the reading thread ended", self.name));
        tokio::task::spawn_blocking(read).await.map_err(ended)?
    }

    /// Runs `act` on the writer thread. A call whose caller gave up before it began is not run.
    async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Writer) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, BusError> {
        let Some(writer) = &self.writer else {
            return Err(invalid(format!("sqlite:{}: this bus was opened to be read; open it to publish", self.name)));
        };
        // Each call may wait for locks for its whole time-out from its own beginning, however many calls were before
        // it.
        writer.call(|writer, _| act(writer)).await.map_err(|error| match error.kind() {
            FileErrorKind::Missing => {
                let text = format!("{error}: the bus is gone: put it back, or restart to begin a new one");
                BusError::new(BusErrorKind::Unavailable, text)
            }
            _ => bus_error(error),
        })
    }
}

/// Publishes the batch in the file that the name leads to now; a message in a file that was replaced would be seen by
/// nobody.
fn publish_once(writer: &mut Writer, config: &SqliteBusConfig, batch: &OwnedBatch) -> Result<Answers, FileError> {
    let durability = match config.sync {
        SyncMode::Full => Durability::Disk,
        SyncMode::Normal => Durability::System,
    };
    for _ in 0..REPLACED_TRIES {
        let published = writer.transact(durability, config.busy_timeout, |connection| publish(connection, batch))?;
        if let Some(answers) = published {
            return Ok(answers);
        }
        tracing::warn!(path = %writer.name(), "the bus file, or its log, was moved, removed or replaced");
    }
    Err(FileError::replaced(writer.name()))
}

#[async_trait]
impl Bus for SqliteBus {
    fn info(&self) -> BusInfo {
        BusInfo {
            scheme: "sqlite",
            dedupe: Some(retention::dedupe(&self.config)),
            fence: true,
            follow: true,
            batch_limit: BATCH_LIMIT,
        }
    }

    async fn publish(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        let count = batch.messages.len();
        if count > BATCH_LIMIT {
            let text =
                format!("sqlite bus: a batch of {count} messages, at most {BATCH_LIMIT} are taken: send it in parts");
            return Err(invalid(text));
        }
        if count == 0 {
            return Ok(Vec::new());
        }
        let batch = OwnedBatch {
            subject: batch.subject.to_owned(),
            fence: batch.fence.map(|(key, term)| (key.to_owned(), term)),
            messages: batch.messages.to_vec(),
        };
        let config = Arc::clone(&self.config);
        self.ask(move |writer| publish_once(writer, &config, &batch)).await
    }

    async fn follow(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        follow::start(&self.config, &self.name, subject, from).await
    }
}

impl fmt::Debug for SqliteBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBus").field("config", &self.config).finish_non_exhaustive()
    }
}
