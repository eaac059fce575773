//! Records in this process's memory, with a clock of their own or without: for tests, and as the simplest server there is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreInfo, Timing};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::content::Content;
use crate::records::{Changes, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};

/// Records in memory. Clones share them.
#[derive(Clone, Debug)]
pub struct MemoryRecords {
    shared: Arc<Shared>,
    has_clock: bool,
}

#[derive(Debug)]
struct Shared {
    places: Mutex<Places>,
    changed: broadcast::Sender<Place>,
}

#[derive(Debug, Default)]
struct Places {
    rows: BTreeMap<Place, Row>,
    // Counts all writes, so that no version ever repeats.
    writes: u64,
}

#[derive(Debug)]
struct Row {
    content: Content,
    version: u64,
    written: Instant,
}

static INFO: StoreInfo =
    StoreInfo::new("memory-records").ttl_between(Duration::from_millis(1), Timing::MAX_TTL).watch(true);

/// How many changes whoever follows may be behind.
const CHANGES: usize = 4_096;

impl MemoryRecords {
    /// Nothing is there. With a clock each read tells how old a record is; without one silence has to tell.
    pub fn new(has_clock: bool) -> MemoryRecords {
        let shared = Shared { places: Mutex::default(), changed: broadcast::Sender::new(CHANGES) };
        MemoryRecords { shared: Arc::new(shared), has_clock }
    }

    /// Puts something in a place without looking at what is there, as another program might; `None` deletes.
    pub fn put(&self, place: &Place, content: Option<Content>) {
        let mut places = self.places();
        places.writes += 1;
        let version = places.writes;
        match content {
            Some(content) => {
                places.rows.insert(place.clone(), Row { content, version, written: Instant::now() });
            }
            None => {
                places.rows.remove(place);
            }
        }
        drop(places);
        let _ = self.shared.changed.send(place.clone());
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.shared.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self, row: Option<&Row>) -> Seen {
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let server_micros = self.has_clock.then(|| u64::try_from(micros).unwrap_or(u64::MAX));
        let Some(row) = row else { return Seen { server_micros, ..Seen::default() } };
        Seen {
            content: Some(row.content.clone()),
            version: Some(version(row.version)),
            age: self.has_clock.then(|| row.written.elapsed()),
            server_micros,
        }
    }
}

fn version(number: u64) -> Version {
    Version::new(number.to_string())
}

#[async_trait]
impl Records for MemoryRecords {
    fn info(&self) -> RecordsInfo {
        RecordsInfo { store: INFO.clone(), call_timeout: Duration::from_secs(5), in_flight: 16, batch: 1_000 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        Ok(self.seen(self.places().rows.get(place)))
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        let mut places = self.places();
        let row = places.rows.get(&write.place);
        if row.map(|row| version(row.version)) != write.expected {
            return Ok(Swap::Conflict(Some(self.seen(row))));
        }
        places.writes += 1;
        let number = places.writes;
        match &write.to {
            Some(content) => {
                let row = Row { content: content.clone(), version: number, written: Instant::now() };
                places.rows.insert(write.place.clone(), row);
            }
            None => {
                places.rows.remove(&write.place);
            }
        }
        drop(places);
        let _ = self.shared.changed.send(write.place.clone());
        Ok(Swap::Done(version(number)))
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let places = self.places();
        let rows = places.rows.iter().filter(|(place, _)| place.kind == kind && prefix.matches(&place.key));
        Ok(rows.map(|(place, row)| (place.key.clone(), self.seen(Some(row)))).collect())
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let (changed, prefix, records) = (self.shared.changed.subscribe(), prefix.clone(), self.clone());
        let changes = stream::unfold((changed, prefix, records), move |(mut changed, prefix, records)| async move {
            loop {
                // Whoever falls behind begins anew.
                let place = changed.recv().await.ok()?;
                if place.kind == kind && prefix.matches(&place.key) {
                    let seen = records.seen(records.places().rows.get(&place));
                    return Some(((place, Some(seen)), (changed, prefix, records)));
                }
            }
        });
        Ok(changes.boxed())
    }
}
