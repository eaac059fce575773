//! Records in the two tables: one statement for each read, write or scan, however many keys it names.

use std::slice::from_ref;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::ready;
use futures_util::{StreamExt, stream};
use tenure_base_postgres::{Change, Commit, Database, DatabaseError, Told, Versioned, VersionedRow};
use tenure_records::{Changes, Content, Kind, Occupancy, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo, Timing};

use crate::config::{PostgresConfig, failed};
use crate::table::{content, table, values};
use crate::version::Tag;

/// The records of a database.
#[derive(Debug)]
pub struct PostgresRecords {
    database: Database,
    leases: Versioned,
    documents: Versioned,
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
        "the server's clock was ahead and is set back, and then commits are lost (an older backup, a failover): terms go back",
    ]);

impl PostgresRecords {
    /// As [`crate::open`].
    pub async fn open(config: PostgresConfig) -> Result<PostgresRecords, StoreError> {
        let (leases, documents) = (table(&config, Kind::Lease), table(&config, Kind::Document));
        let database = Database::new(config.database).map_err(failed)?;
        let mut records = PostgresRecords { database, leases, documents, info: INFO.clone() };
        for kind in [Kind::Lease, Kind::Document] {
            records.read_all(kind, &[]).await?;
        }
        let watch = records.leases.notifications_arrive(&records.database).await;
        records.info = records.info.watch(watch);
        Ok(records)
    }

    fn table(&self, kind: Kind) -> &Versioned {
        match kind {
            Kind::Lease => &self.leases,
            Kind::Document => &self.documents,
        }
    }

    async fn read_all(&self, kind: Kind, places: &[Place]) -> Result<Vec<Seen>, StoreError> {
        let keys: Vec<&str> = places.iter().map(|place| place.key.as_str()).collect();
        let rows = self.table(kind).read(&self.database, &keys).await.map_err(failed)?;
        Ok(rows.into_iter().map(|row| seen(kind, row).1).collect())
    }

    async fn write_all(&self, kind: Kind, writes: &[Write]) -> Result<Vec<Swap>, StoreError> {
        let changes = writes.iter().map(change).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        // A release that the server forgets costs whoever waits a ttl, as that of a holder that died before it. That of a bound
        // lease must not be forgotten: nobody waits for its end, for it has none of its own.
        let may_be_forgotten =
            |(write, change): (&Write, &Change<'_>)| releases(write) && !Tag::of_version(change.expected).is_bound;
        let commit = if writes.iter().zip(&changes).all(may_be_forgotten) { Commit::Soon } else { Commit::OnDisk };
        let done = self.table(kind).write(&self.database, &changes, commit).await.map_err(failed)?;
        let swap = |(change, done): (&Change<'_>, bool)| match done {
            true => Swap::Done(Version::new(change.next.to_string())),
            false => Swap::Conflict(None),
        };
        Ok(changes.iter().zip(done).map(swap).collect())
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
        let rows = self.table(kind).scan(&self.database, prefix.as_str()).await.map_err(failed)?;
        let seen = rows.into_iter().map(|row| seen(kind, row));
        Ok(seen.filter_map(|(key, seen)| Some((key?, seen))).collect())
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        Ok(self.database.diagnose(self.info.watch).await)
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let listener = self.table(kind).listen(&self.database).await.map_err(failed)?;
        let heard = stream::unfold(listener, |mut listener| async { Some((listener.next().await?, listener)) });
        let prefix = prefix.clone();
        let told = move |text: String| {
            let Told { key, found } = Told::of(&text);
            let key = LeaseKey::new(key).ok().filter(|key| prefix.matches(key))?;
            let of = |(version, text): (i64, String)| Seen {
                content: Some(content(kind, &key, text.as_bytes())),
                version: Some(Version::new(version.to_string())),
                age: Some(Duration::ZERO),
                ..Seen::default()
            };
            let found = found.map(of);
            Some((Place { kind, key }, found))
        };
        Ok(heard.filter_map(move |text| ready(told(text))).boxed())
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

/// The key of what was read, where something stands there.
fn seen(kind: Kind, row: VersionedRow) -> (Option<LeaseKey>, Seen) {
    let empty = Seen { server_micros: row.server_micros, ..Seen::default() };
    // What is no key was written by hand, and is nobody's lease.
    let found = row.found.and_then(|(key, version, bytes)| Some((LeaseKey::new(key).ok()?, version, bytes)));
    let Some((key, version, bytes)) = found else { return (None, empty) };
    let content = Some(content(kind, &key, &bytes));
    let version = Some(Version::new(version.to_string()));
    (Some(key), Seen { content, version, age: Some(row.age), ..empty })
}

fn change(write: &Write) -> Result<Change<'_>, DatabaseError> {
    let expected = write.expected.as_ref().map(|version| version.as_str().parse()).transpose();
    let expected = expected.map_err(|_| DatabaseError::invalid("a version is a number"))?;
    let (key, tag) = (&write.place.key, Tag::of(write.to.as_ref()));
    // A renewal is no news; that nobody has the key any more is, whoever had written what stood there.
    let is_news = tag == Tag::of(None) || tag.tenure != Tag::of_version(expected).tenure;
    let (values, told) = write.to.as_ref().map(|content| values(key, content)).unzip();
    let told = is_news.then(|| told.unwrap_or_default());
    Ok(Change { key: key.as_str(), expected, next: tag.version(), values, told })
}

/// Whether nobody is to hold what this writes, and a tenure ends by it: what another program wrote has no term, and need not end.
fn releases(write: &Write) -> bool {
    let Some(Content::Lease(record)) = &write.to else { return false };
    record.occupancy == Occupancy::Nobody && record.term.is_some()
}

fn one<T>(answers: Result<Vec<T>, StoreError>) -> Result<T, StoreError> {
    let unfit = || StoreError::new(StoreErrorKind::TimedOut, "postgres: not as many answers as questions");
    answers.and_then(|mut answers| answers.pop().ok_or_else(unfit))
}

/// The answer for each of so many, which have one fate where they failed.
fn each<T>(count: usize, answers: Result<Vec<T>, StoreError>) -> Vec<Result<T, StoreError>> {
    match answers {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}
