//! A database: statements that tell what became of them, and notifications.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::config::DatabaseConfig;
use crate::connections::{CONNECTIONS, Connections};
use crate::error::{Call, DatabaseError, DatabaseErrorKind};
use crate::listener::Listener;
use crate::table::Table;

/// The values of a statement, `$1` first, with their types: nothing is prepared, so that nobody has to ask the server for these.
pub type Values<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// What the first column of every read must be: a server that only replays another's log, or takes no writes any more, may be
/// behind.
pub const IS_REPLICA: &str = "(pg_is_in_recovery() or current_setting('transaction_read_only')::bool)";

/// How often a read, which changes nothing, is asked at most.
const TRIES: usize = 3;

/// How long a notification may take, when it is tried out whether any arrive.
const TRIAL: Duration = Duration::from_secs(2);

/// A client of one database.
#[derive(Clone, Debug)]
pub struct Database {
    pub(crate) connections: Arc<Connections>,
}

impl Database {
    /// How many connections it has at most, besides those that listen.
    pub const CONNECTIONS: usize = CONNECTIONS;

    /// Connects to nobody yet. Fails where TLS cannot be set up.
    pub fn new(config: DatabaseConfig) -> Result<Database, DatabaseError> {
        Ok(Database { connections: Arc::new(Connections::new(config)?) })
    }

    /// How long one call may take.
    pub fn timeout(&self) -> Duration {
        self.connections.config.timeout
    }

    /// The rows that a statement answers that changes nothing, and whose first column is [`IS_REPLICA`]: what a replica answers is
    /// not believed. It is asked up to three times where others disturbed it, or its connection had ended, and the table is made
    /// where it is missing. Ends within the time-out.
    pub async fn read(&self, table: &Table, sql: &str, values: Values<'_>) -> Result<Vec<Row>, DatabaseError> {
        self.in_time(Call::Read, self.ask(table, sql, values, Call::Read)).await
    }

    /// The rows that a statement answers that changes something, by itself and at once. It is sent once: where its connection ends,
    /// or the time is over, before an answer came, what became of it is [unknown](DatabaseErrorKind::Unknown). Only where the table
    /// is missing, so that nothing was done, is that made and the statement sent again.
    pub async fn write(&self, table: &Table, sql: &str, values: Values<'_>) -> Result<Vec<Row>, DatabaseError> {
        self.in_time(Call::Write, self.ask(table, sql, values, Call::Write)).await
    }

    /// Listens to a channel, an [`identifier`](crate::identifier), from now on.
    pub async fn listen(&self, channel: &str) -> Result<Listener, DatabaseError> {
        self.in_time(Call::Read, Listener::on(&self.connections, channel)).await
    }

    /// Whether what one connection notifies reaches another, tried out with an empty notification. Not so behind a pooler that
    /// lends a connection for one transaction at a time: the connection that listens is nobody's then, and a warning says so. True
    /// where that cannot be tried out.
    pub async fn notifications_arrive(&self, channel: &str) -> bool {
        let prepared = async {
            let listener = self.listen(channel).await?;
            let using = self.connections.get().await?;
            let told = using.client().batch_execute(&format!("select pg_notify('{channel}', '')")).await;
            using.finish();
            told.map(|()| listener).map_err(|error| self.failed(Call::Read, &error))
        };
        let Ok(mut listener) = self.in_time(Call::Read, prepared).await else { return true };
        let arrived = async { while listener.next().await.is_some_and(|text| !text.is_empty()) {} };
        let arrived = tokio::time::timeout(TRIAL, arrived).await.is_ok();
        if !arrived {
            tracing::warn!(
                "postgres: notifications do not arrive, as behind a pooler of transactions; all goes by timers: let the URL \
                 name the server itself where that is too slow"
            );
        }
        arrived
    }

    async fn ask(&self, table: &Table, sql: &str, values: Values<'_>, call: Call) -> Result<Vec<Row>, DatabaseError> {
        let (mut made, mut tries) = (false, 0);
        loop {
            tries += 1;
            let using = self.connections.get().await?;
            let error = match using.client().query_typed(sql, values).await {
                Ok(rows) if call == Call::Read && rows.first().is_some_and(is_replica) => {
                    let message = "the server has become a replica, which may be behind";
                    DatabaseError::new(DatabaseErrorKind::Unreachable, message)
                }
                Ok(rows) => {
                    using.finish();
                    table.found();
                    return Ok(rows);
                }
                Err(error) => self.failed(call, &error),
            };
            use DatabaseErrorKind::{Conflict, Missing, Unknown, Unreachable};
            if matches!(error.kind(), Unreachable | Unknown) {
                // Whatever is idle leads to the same server.
                self.connections.forget();
                using.close();
            } else {
                using.finish();
            }
            match error.kind() {
                Missing if !made => {
                    self.make(table, &error).await?;
                    made = true;
                }
                Conflict | Unreachable if call == Call::Read && tries < TRIES => {}
                _ => return Err(error),
            }
        }
    }

    async fn make(&self, table: &Table, missing: &DatabaseError) -> Result<(), DatabaseError> {
        let name = table.name();
        if table.was_there() {
            tracing::warn!(table = name, "postgres: the table is gone, with all that was in it, and is made anew");
        }
        let using = self.connections.get().await?;
        let made = using.client().batch_execute(table.create()).await;
        using.finish();
        // Others may make it at the same time.
        let theirs = [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT];
        match made {
            Err(error) if !error.code().is_some_and(|code| theirs.contains(code)) => {
                let why = self.failed(Call::Read, &error);
                Err(DatabaseError::of_making(missing, name, &why, table.create()))
            }
            _ => Ok(()),
        }
    }

    async fn in_time<T>(
        &self,
        call: Call,
        future: impl Future<Output = Result<T, DatabaseError>>,
    ) -> Result<T, DatabaseError> {
        let config = &self.connections.config;
        let late = |_| DatabaseError::lost(call, &config.shown(), &format!("no answer within {:?}", config.timeout));
        // Whatever else is idle most likely leads to the same server.
        tokio::time::timeout(config.timeout, future).await.inspect_err(|_| self.connections.forget()).map_err(late)?
    }

    fn failed(&self, call: Call, error: &tokio_postgres::Error) -> DatabaseError {
        DatabaseError::of(call, &self.connections.config.shown(), error)
    }
}

fn is_replica(row: &Row) -> bool {
    row.try_get(0).unwrap_or(false)
}
