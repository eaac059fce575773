//! The bus's face: it hands batches to the writing thread and waits for the answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Published, Refusal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::config::{SqliteBusConfig, invalid};
use crate::counters::Counters;
use crate::retention::{self, Retention};
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
    commands: mpsc::Sender<Command>,
    /// Ends the thread that removes old messages when the last handle goes.
    _retention: Option<Arc<Retention>>,
}

impl SqliteBus {
    /// Opens the file, and makes it a bus where it is new. Blocks on the disk for at most about the busy time-out.
    pub fn open(config: SqliteBusConfig) -> Result<SqliteBus, BusError> {
        config.check()?;
        let connection = schema::open(&config, true)?;
        let retention = retention::start(&config)?.map(Arc::new);
        let commands = writer::start(config.clone(), connection)?;
        Ok(SqliteBus { config: Arc::new(config), commands, _retention: retention })
    }

    /// What the file has counted since it was made, over all processes that publish to it.
    pub async fn counters(&self) -> Result<Counters, BusError> {
        self.ask(|answer| Command::Count { answer }).await
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, BusError>>) -> Command,
    ) -> Result<T, BusError> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.commands.send(command(answer)).await.map_err(|_| self.stopped())?;
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
        BusError::new(BusErrorKind::Unavailable, format!("sqlite bus {}: {what}", self.config.path.display()))
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
        follow::start(&self.config, subject, from).await
    }
}

impl fmt::Debug for SqliteBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteBus").field("config", &self.config).finish_non_exhaustive()
    }
}
