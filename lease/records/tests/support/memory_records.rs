//! Records in this process's memory, with a clock of their own or without: for tests, and as the simplest server there is.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tenure_records::{Changes, Content, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreInfo, Timing};
use tokio::sync::broadcast;
use tokio::time::Instant;

/// Records in memory. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct MemoryRecords {
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
    saved: BTreeMap<Place, Row>,
    // How often an older state came back, and when one did so last.
    incarnation: u64,
    complete_since: Option<Instant>,
}

impl Places {
    fn put(&mut self, place: &Place, content: Option<Content>) {
        self.writes += 1;
        match content {
            Some(content) => {
                let row = Row { content, version: self.writes, written: Instant::now() };
                self.rows.insert(place.clone(), row);
            }
            None => {
                self.rows.remove(place);
            }
        }
    }
}

#[derive(Clone, Debug)]
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
    pub(crate) fn new(has_clock: bool) -> MemoryRecords {
        let shared = Shared { places: Mutex::default(), changed: broadcast::Sender::new(CHANGES) };
        MemoryRecords { shared: Arc::new(shared), has_clock }
    }

    /// Puts something in a place without looking at what is there, as another program might; `None` deletes.
    pub(crate) fn put(&self, place: &Place, content: Option<Content>) {
        let mut places = self.places();
        places.put(place, content);
        drop(places);
        let _ = self.shared.changed.send(place.clone());
    }

    /// Keeps what stands there now for [`MemoryRecords::come_back`].
    pub(crate) fn save(&self) {
        let mut places = self.places();
        places.saved = places.rows.clone();
    }

    /// Comes back with what was saved last, as a server does that was restored from a backup. With a clock it tells since when.
    pub(crate) fn come_back(&self) {
        let mut places = self.places();
        places.rows = places.saved.clone();
        places.incarnation += 1;
        places.complete_since = Some(Instant::now());
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.shared.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of a row, or of its absence: where an older state is told of, what was seen before it matches nothing.
    fn version(&self, places: &Places, row: Option<&Row>) -> Option<Version> {
        let number = row.map(|row| row.version).or(self.has_clock.then_some(0))?;
        Some(Version::new(format!("{}/{number}", places.incarnation)))
    }

    fn seen(&self, places: &Places, place: &Place) -> Seen {
        let row = places.rows.get(place);
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let since = |then: Instant| self.has_clock.then(|| then.elapsed());
        Seen {
            content: row.map(|row| row.content.clone()),
            version: self.version(places, row),
            age: row.and_then(|row| since(row.written)),
            server_micros: self.has_clock.then(|| u64::try_from(micros).unwrap_or(u64::MAX)),
            complete_for: places.complete_since.and_then(since),
        }
    }
}

#[async_trait]
impl Records for MemoryRecords {
    fn info(&self) -> RecordsInfo {
        RecordsInfo { store: INFO.clone(), call_timeout: Duration::from_secs(5), in_flight: 16, batch: 1_000 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        Ok(self.seen(&self.places(), place))
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        let mut places = self.places();
        if self.version(&places, places.rows.get(&write.place)) != write.expected {
            return Ok(Swap::Conflict(Some(self.seen(&places, &write.place))));
        }
        places.put(&write.place, write.to.clone());
        let number = places.writes;
        let done = Version::new(format!("{}/{number}", places.incarnation));
        drop(places);
        let _ = self.shared.changed.send(write.place.clone());
        Ok(Swap::Done(done))
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let places = self.places();
        let found = places.rows.keys().filter(|place| place.kind == kind && prefix.matches(&place.key));
        Ok(found.map(|place| (place.key.clone(), self.seen(&places, place))).collect())
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let (changed, prefix, records) = (self.shared.changed.subscribe(), prefix.clone(), self.clone());
        let changes = stream::unfold((changed, prefix, records), move |(mut changed, prefix, records)| async move {
            loop {
                // Whoever falls behind begins anew.
                let place = changed.recv().await.ok()?;
                if place.kind == kind && prefix.matches(&place.key) {
                    let seen = records.seen(&records.places(), &place);
                    return Some(((place, Some(seen)), (changed, prefix, records)));
                }
            }
        });
        Ok(changes.boxed())
    }
}
