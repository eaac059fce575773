//! Records in the two tables: one statement for each read, write or scan, however many keys it names.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tenure_records::{Changes, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo, Timing};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::config::{PostgresConfig, invalid};
use crate::connections::{CONNECTIONS, Connections};
use crate::failure::{Call, Failure};
use crate::table::{Table, is_replica};
use crate::watch;

/// The records of a database.
#[derive(Debug)]
pub struct PostgresRecords {
    connections: Arc<Connections>,
    leases: Table,
    documents: Table,
    info: StoreInfo,
    /// Whether the tables were there once.
    opened: AtomicBool,
}

static INFO: StoreInfo = StoreInfo::new("postgres")
    .ttl_between(std::time::Duration::from_millis(10), Timing::MAX_TTL)
    .durable(true)
    .shared(true)
    .overlap_faults(&[
        "the server's clock is set forward",
        "a failover to a replica that lacks the last commits, or two servers that both take writes",
        "a restart that loses commits (fsync = off; synchronous_commit = off), or an older backup put in place",
        "somebody drops a table, or deletes or changes rows by hand",
    ]);

/// How often a read, which changes nothing, is asked at most.
const TRIES: usize = 3;

impl PostgresRecords {
    /// As [`crate::open`].
    pub async fn open(config: PostgresConfig) -> Result<PostgresRecords, StoreError> {
        let (leases, documents) = (Table::new(&config, Kind::Lease), Table::new(&config, Kind::Document));
        let timeout = config.timeout;
        let connections = Arc::new(Connections::new(config)?);
        let opened = AtomicBool::new(false);
        let mut records = PostgresRecords { connections, leases, documents, info: INFO.clone(), opened };
        for table in [&records.leases, &records.documents] {
            let nothing: &[String] = &[];
            let values: [(&(dyn ToSql + Sync), Type); 1] = [(&nothing, Type::TEXT_ARRAY)];
            let asked = tokio::time::timeout(timeout, records.ask(table, &table.read, &values, Call::Read)).await;
            let late =
                |_| StoreError::new(StoreErrorKind::Unavailable, format!("postgres: no answer within {timeout:?}"));
            asked.map_err(late)?.map_err(Failure::into_error)?;
        }
        records.opened.store(true, Ordering::Relaxed);
        records.info = records.info.watch(watch::arrives(&records.connections).await);
        Ok(records)
    }

    fn table(&self, kind: Kind) -> &Table {
        match kind {
            Kind::Lease => &self.leases,
            Kind::Document => &self.documents,
        }
    }

    /// The rows that a statement answers. A table that is missing is made first, and a read that others disturbed, or whose
    /// connection had ended, is asked again: nothing was done then.
    async fn ask(
        &self,
        table: &Table,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
        call: Call,
    ) -> Result<Vec<Row>, Failure> {
        let (mut made, mut tries) = (false, 0);
        loop {
            tries += 1;
            let using = self.connections.get().await.map_err(Failure::Other)?;
            let answer = using.client().query_typed(sql, values).await;
            let failure = match answer {
                Ok(rows) if rows.first().is_some_and(|row| call == Call::Read && is_replica(row)) => {
                    let message = "postgres: the server has become a replica, which may be behind";
                    Failure::Connection(StoreError::new(StoreErrorKind::Unavailable, message))
                }
                Ok(rows) => {
                    using.finish();
                    return Ok(rows);
                }
                Err(error) => Failure::of(call, &self.connections.config.shown(), &error),
            };
            match failure {
                Failure::Connection(_) => {
                    self.connections.forget();
                    using.close();
                }
                _ => using.finish(),
            }
            match failure {
                Failure::NoTable(error) if !made => {
                    self.make(table, error).await?;
                    made = true;
                }
                Failure::Conflict | Failure::Connection(_) if call == Call::Read && tries < TRIES => {}
                failure => return Err(failure),
            }
        }
    }

    async fn make(&self, table: &Table, missing: StoreError) -> Result<(), Failure> {
        if self.opened.load(Ordering::Relaxed) {
            tracing::warn!(table = %table.name, "postgres: the table is gone, with all that was in it, and is made anew");
        }
        let using = self.connections.get().await.map_err(Failure::Other)?;
        let made = using.client().batch_execute(&table.create).await;
        using.finish();
        match made {
            Ok(()) => Ok(()),
            // Others make it at the same time.
            Err(error)
                if error.code().is_some_and(|code| {
                    [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_OBJECT].contains(code)
                }) =>
            {
                Ok(())
            }
            Err(error) => {
                let why = Failure::of(Call::Connect, &self.connections.config.shown(), &error).into_error();
                let mend = format!("let somebody who may do so run: {}", table.create);
                let message = format!("{missing}; the table {} cannot be made: {why}; {mend}", table.name);
                Err(Failure::Other(StoreError::new(why.kind(), message)))
            }
        }
    }

    async fn read_same(&self, places: &[Place]) -> Result<Vec<Seen>, StoreError> {
        let Some(first) = places.first() else { return Ok(Vec::new()) };
        let table = self.table(first.kind);
        let keys: Vec<&str> = places.iter().map(|place| place.key.as_str()).collect();
        let rows = self.ask(table, &table.read, &[(&keys, Type::TEXT_ARRAY)], Call::Read).await;
        let rows = rows.map_err(Failure::into_error)?;
        rows.iter().map(|row| table.seen(row).map(|(_, seen)| seen)).collect()
    }

    async fn write_same(&self, writes: &[Write]) -> Result<Vec<Swap>, Failure> {
        let Some(first) = writes.first() else { return Ok(Vec::new()) };
        let table = self.table(first.place.kind);
        let (mut expected, mut versions) = (Vec::with_capacity(writes.len()), Vec::with_capacity(writes.len()));
        for write in writes {
            let old = write.expected.as_ref().map(|version| version.as_str().parse::<i64>());
            expected.push(old.transpose().map_err(|_| Failure::Other(invalid("a version is a number")))?);
            versions.push(random().map_err(Failure::Other)?);
        }
        let keys: Vec<&str> = writes.iter().map(|write| write.place.key.as_str()).collect();
        let content = |write: &Write| write.to.as_ref().map(|content| table.bytes(&write.place.key, content));
        let contents: Vec<Option<Vec<u8>>> = writes.iter().map(content).collect();
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&keys, Type::TEXT_ARRAY),
            (&expected, Type::INT8_ARRAY),
            (&versions, Type::INT8_ARRAY),
            (&contents, Type::BYTEA_ARRAY),
        ];
        let rows = self.ask(table, &table.write, &values, Call::Write).await?;
        let done: HashSet<&str> = rows.iter().filter_map(|row| row.try_get(0).ok()).collect();
        let swap = |(key, version): (&&str, &i64)| match done.contains(key) {
            true => Swap::Done(Version::new(version.to_string())),
            false => Swap::Conflict(None),
        };
        Ok(keys.iter().zip(&versions).map(swap).collect())
    }
}

#[async_trait]
impl Records for PostgresRecords {
    fn info(&self) -> RecordsInfo {
        let call_timeout = self.connections.config.timeout;
        RecordsInfo { store: self.info.clone(), call_timeout, in_flight: CONNECTIONS, batch: 1_000 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        let mut seen = self.read_same(std::slice::from_ref(place)).await?;
        seen.pop().ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, "postgres: no row for a key"))
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        match self.write_same(std::slice::from_ref(write)).await {
            Ok(mut swaps) => Ok(swaps.pop().unwrap_or(Swap::Conflict(None))),
            Err(Failure::Conflict) => Ok(Swap::Conflict(None)),
            Err(failure) => Err(failure.into_error()),
        }
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let table = self.table(kind);
        let (from, to) = (prefix.as_str(), behind(prefix.as_str()));
        let values: [(&(dyn ToSql + Sync), Type); 2] = [(&from, Type::TEXT), (&to, Type::TEXT)];
        let rows = self.ask(table, &table.scan, &values, Call::Read).await.map_err(Failure::into_error)?;
        let seen = rows.iter().map(|row| table.seen(row).map(|(key, seen)| key.map(|key| (key, seen))));
        seen.filter_map(Result::transpose).collect()
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        match kind {
            Kind::Lease => watch::changes(&self.connections, prefix).await,
            Kind::Document => {
                Err(StoreError::new(StoreErrorKind::Unsupported, "postgres: nobody is told of changed documents"))
            }
        }
    }

    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        let mut answers = Vec::with_capacity(places.len());
        for same in places.chunk_by(|one, next| one.kind == next.kind) {
            match self.read_same(same).await {
                Ok(seen) => answers.extend(seen.into_iter().map(Ok)),
                Err(error) => answers.extend(same.iter().map(|_| Err(error.clone()))),
            }
        }
        answers
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let mut answers = Vec::with_capacity(writes.len());
        for same in writes.chunk_by(|one, next| one.place.kind == next.place.kind) {
            match self.write_same(same).await {
                Ok(swaps) => answers.extend(swaps.into_iter().map(Ok)),
                Err(Failure::Conflict) => answers.extend(same.iter().map(|_| Ok(Swap::Conflict(None)))),
                Err(failure) => {
                    let error = failure.into_error();
                    answers.extend(same.iter().map(|_| Err(error.clone())));
                }
            }
        }
        answers
    }
}

fn random() -> Result<i64, StoreError> {
    let random = getrandom::u64().map_err(|error| {
        StoreError::new(StoreErrorKind::Unavailable, format!("postgres: no random number can be had: {error}"))
    })?;
    Ok(i64::try_from(random >> 1).unwrap_or(i64::MAX))
}

/// The first text behind all that begin with `prefix`, in the order of their bytes; `None` where there is none.
fn behind(prefix: &str) -> Option<String> {
    let mut signs: Vec<char> = prefix.chars().collect();
    while let Some(last) = signs.pop() {
        // The numbers between the two are no characters.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            signs.push(next);
            return Some(signs.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The end of a prefix is behind every key that begins with it, and before every other one behind it.
    #[test]
    fn a_prefix_ends() {
        assert_eq!(behind("a/").as_deref(), Some("a0"));
        assert_eq!(behind("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(behind("a\u{10ffff}\u{10ffff}").as_deref(), Some("b"));
        assert_eq!((behind(""), behind("\u{10ffff}")), (None, None));
    }
}
