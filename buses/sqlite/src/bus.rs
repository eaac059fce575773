//! The bus's face: it hands batches to the writing thread and waits for the answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_base_sqlite::{FileName, Reader};
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Published, Refusal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::{SqliteBusConfig, invalid};
use crate::counters::Counters;
use crate::failure::failure;
use crate::retention::{self, RetentionThread};
use crate::schema::FORMAT;
use crate::writer::{self, Command, OwnedBatch};
use crate::{follow, schema};

/// The most messages in one batch.
const BATCH_LIMIT: usize = 4096;
/// How long the disk may take beyond the busy time-out before a call gives up.
const DISK_GRACE: Duration = Duration::from_secs(10);

/// A bus in a SQLite file. Cloning gives another handle to the same connection.
///
/// A message is on the bus once its batch is committed, see [`crate::SyncMode`]; a batch is there whole or not at all. The
/// order of positions is the order of commits. Other processes on this host may have the file open too.
#[derive(Clone)]
pub struct SqliteBus {
    config: Arc<SqliteBusConfig>,
    name: FileName,
    /// To the writing thread, where the bus was opened to write.
    commands: Option<mpsc::Sender<Command>>,
    /// Ends the thread that removes old messages when the last handle goes.
    _retention: Option<Arc<RetentionThread>>,
}

impl SqliteBus {
    /// Opens the file, and makes it a bus where it is new. Blocks on the disk for at most about the busy time-out.
    ///
    /// Fails where the file is another program's or of a newer format (it stays as it is, to the byte), has a second name (a
    /// hard link) or is mounted as a single file, or the file system is one on which SQLite's locks do not hold.
    pub fn open(config: SqliteBusConfig) -> Result<SqliteBus, BusError> {
        let name = config.name()?;
        let file = schema::open(&config, &name, true).map_err(failure)?;
        let retention = retention::start(&config, &name)?.map(Arc::new);
        let commands = writer::start(config.clone(), name.clone(), file)?;
        Ok(SqliteBus { config: Arc::new(config), name, commands: Some(commands), _retention: retention })
    }

    /// Opens a bus that is there, to look at it: it can be followed and its counters read, and refuses to publish. Nothing
    /// is made, changed, removed or left behind, so that a bus can be looked at that this user may not write, also in a
    /// folder or on a file system that is read-only. Blocks as [`SqliteBus::open`] does.
    ///
    /// Fails where there is no bus, and where it can only be read once somebody has written: the error says so.
    pub fn open_to_read(config: SqliteBusConfig) -> Result<SqliteBus, BusError> {
        let name = config.name()?;
        let mut reader = Reader::new(name.clone(), &FORMAT);
        follow::read(&mut reader, &name, config.busy_timeout, |_| Ok(()))?;
        Ok(SqliteBus { config: Arc::new(config), name, commands: None, _retention: None })
    }

    /// What the file has counted since it was made, over all processes that publish to it.
    pub async fn counters(&self) -> Result<Counters, BusError> {
        if self.commands.is_some() {
            return self.ask(|answer| Command::Count { answer }).await;
        }
        let (name, wait) = (self.name.clone(), self.config.busy_timeout);
        let mut reader = Reader::new(name.clone(), &FORMAT);
        let read = move || follow::read(&mut reader, &name, wait, Counters::read);
        tokio::task::spawn_blocking(read).await.map_err(|_| self.stopped())?
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, BusError>>) -> Command,
    ) -> Result<T, BusError> {
        let (answer, answered) = oneshot::channel();
        let Some(commands) = &self.commands else {
            return Err(invalid(format!("sqlite:{}: this bus was opened to be read; open it to publish", self.name)));
        };
        let asked = async {
            commands.send(command(answer)).await.map_err(|_| self.stopped())?;
            answered.await.map_err(|_| self.stopped())?
        };
        // The writer's own wait for the lock ends first; this is for a disk that hangs.
        match timeout(self.config.busy_timeout + DISK_GRACE, asked).await {
            Ok(result) => result,
            Err(_) => Err(self.unavailable("has not answered in time: the disk hangs, or too many callers wait")),
        }
    }

    fn stopped(&self) -> BusError {
        self.unavailable("its writing thread has ended: open it again")
    }

    fn unavailable(&self, what: &str) -> BusError {
        BusError::new(BusErrorKind::Unavailable, format!("sqlite:{}: {what}", self.name))
    }
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
        self.ask(|answer| Command::Publish { batch, answer }).await
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
