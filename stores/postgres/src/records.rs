//! Records in the two tables: one statement for each read, write or scan, however many keys it names.

use std::collections::HashSet;
use std::slice::from_ref;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use tenure_base_postgres::{Database, DatabaseError, DatabaseErrorKind, Type, Values};
use tenure_records::{Changes, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreInfo, Timing};

use crate::config::{PostgresConfig, failed};
use crate::table::Rows;

/// The records of a database.
#[derive(Debug)]
pub struct PostgresRecords {
    database: Database,
    leases: Rows,
    documents: Rows,
    info: StoreInfo,
}

static INFO: StoreInfo = StoreInfo::new("postgres")
    .ttl_between(Duration::from_millis(10), Timing::MAX_TTL)
    .durable(true)
    .shared(true)
    .overlap_faults(&[
        "the server's clock is set forward",
        "a failover to a replica that lacks the last commits, or two servers that both take writes",
        "a restart that loses commits (fsync = off; synchronous_commit = off), or an older backup put in place",
        "somebody drops a table, or deletes or changes rows by hand",
    ]);

impl PostgresRecords {
    /// As [`crate::open`].
    pub async fn open(config: PostgresConfig) -> Result<PostgresRecords, StoreError> {
        let (leases, documents) = (Rows::new(&config, Kind::Lease), Rows::new(&config, Kind::Document));
        let database = Database::new(config.database).map_err(failed)?;
        let mut records = PostgresRecords { database, leases, documents, info: INFO.clone() };
        for kind in [Kind::Lease, Kind::Document] {
            records.read_all(kind, &[]).await.map_err(failed)?;
        }
        let watch = records.database.notifications_arrive(&records.leases.channel).await;
        records.info = records.info.watch(watch);
        Ok(records)
    }

    fn rows(&self, kind: Kind) -> &Rows {
        match kind {
            Kind::Lease => &self.leases,
            Kind::Document => &self.documents,
        }
    }

    async fn read_all(&self, kind: Kind, places: &[Place]) -> Result<Vec<Seen>, DatabaseError> {
        let rows = self.rows(kind);
        let keys: Vec<&str> = places.iter().map(|place| place.key.as_str()).collect();
        let answers = self.database.read(&rows.table, &rows.read, &[(&keys, Type::TEXT_ARRAY)]).await?;
        answers.iter().map(|row| rows.seen(row).map(|(_, seen)| seen)).collect()
    }

    async fn write_all(&self, kind: Kind, writes: &[Write]) -> Result<Vec<Swap>, DatabaseError> {
        let rows = self.rows(kind);
        let keys: Vec<&str> = writes.iter().map(|write| write.place.key.as_str()).collect();
        let expected: Vec<Option<i64>> = writes.iter().map(expected).collect::<Result<_, _>>()?;
        let next: Vec<i64> = writes.iter().map(|_| rand::random()).collect();
        let contents: Vec<Option<Vec<u8>>> = writes.iter().map(|write| rows.bytes(write)).collect();
        let values: Values<'_> = &[
            (&keys, Type::TEXT_ARRAY),
            (&expected, Type::INT8_ARRAY),
            (&next, Type::INT8_ARRAY),
            (&contents, Type::BYTEA_ARRAY),
        ];
        let answers = match self.database.write(&rows.table, &rows.write, values).await {
            Err(error) if error.kind() == DatabaseErrorKind::Conflict => Vec::new(),
            answers => answers?,
        };
        let done: HashSet<&str> = answers.iter().filter_map(|row| row.try_get(0).ok()).collect();
        let swap = |(key, next): (&&str, &i64)| match done.contains(key) {
            true => Swap::Done(Version::new(next.to_string())),
            false => Swap::Conflict(None),
        };
        Ok(keys.iter().zip(&next).map(swap).collect())
    }
}

#[async_trait]
impl Records for PostgresRecords {
    fn info(&self) -> RecordsInfo {
        let (call_timeout, in_flight) = (self.database.timeout(), Database::CONNECTIONS);
        RecordsInfo { store: self.info.clone(), call_timeout, in_flight, batch: 1_000 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        one(self.read_all(place.kind, from_ref(place)).await)
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        one(self.write_all(write.place.kind, from_ref(write)).await)
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let (rows, prefix) = (self.rows(kind), prefix.as_str());
        let answers = self.database.read(&rows.table, &rows.scan, &[(&prefix, Type::TEXT)]).await.map_err(failed)?;
        let seen = answers.iter().map(|row| rows.seen(row).map(|(key, seen)| Some((key?, seen))));
        seen.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(failed)
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        Ok(self.database.diagnose(self.info.watch).await)
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let listener = self.database.listen(&self.rows(kind).channel).await.map_err(failed)?;
        let told = stream::unfold(listener, |mut listener| async { Some((listener.next().await?, listener)) });
        let prefix = prefix.clone();
        let place =
            move |text| LeaseKey::new(text).ok().filter(|key| prefix.matches(key)).map(|key| Place { kind, key });
        Ok(told.filter_map(move |text| ready(place(text).map(|place| (place, None)))).boxed())
    }

    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        let mut answers = Vec::with_capacity(places.len());
        for same in places.chunk_by(|one, next| one.kind == next.kind) {
            answers.extend(each(same.len(), self.read_all(same[0].kind, same).await));
        }
        answers
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let mut answers = Vec::with_capacity(writes.len());
        for same in writes.chunk_by(|one, next| one.place.kind == next.place.kind) {
            answers.extend(each(same.len(), self.write_all(same[0].place.kind, same).await));
        }
        answers
    }
}

fn expected(write: &Write) -> Result<Option<i64>, DatabaseError> {
    let number = write.expected.as_ref().map(|version| version.as_str().parse()).transpose();
    number.map_err(|_| DatabaseError::invalid("a version is a number"))
}

fn one<T>(answers: Result<Vec<T>, DatabaseError>) -> Result<T, StoreError> {
    let unfit = || DatabaseError::new(DatabaseErrorKind::Unknown, "not as many answers as questions");
    answers.and_then(|mut answers| answers.pop().ok_or_else(unfit)).map_err(failed)
}

/// The answer for each of so many, which have one fate where they failed.
fn each<T>(count: usize, answers: Result<Vec<T>, DatabaseError>) -> Vec<Result<T, StoreError>> {
    match answers.map_err(failed) {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}
