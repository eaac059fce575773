//! Every verb ends in time over a server that is slow, however much it is asked for and however often others are quicker.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/memory_records.rs"]
mod memory_records;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use memory_records::MemoryRecords;
use tenure_records::{
    Changes, Kind, Place, RecordDocuments, RecordStore, Records, RecordsInfo, Seen, Swap, Write, polled_changes,
};
use tenure_store::{
    Claim, Claimed, DocumentStore, HolderId, KeyPrefix, LeaseKey, LeaseStore, Nonce, StoreError, StoreErrorKind,
};
use tokio::time::{Instant, sleep, timeout};

/// Longer than anything here is waited for.
const NEVER: Duration = Duration::from_secs(3_600);

/// A server in memory that takes its time for each request.
#[derive(Clone, Debug)]
struct Slow {
    records: MemoryRecords,
    call: Duration,
    read: Duration,
    write: Duration,
    scan: Duration,
    /// Others are quicker, whoever writes.
    is_busy: bool,
    scans: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    /// Of how many requests to write it answers the first.
    answers: usize,
}

/// A server with this time-out of a call, two requests at a time, and 128 items in each.
fn slow(call: Duration) -> Slow {
    let (scans, writes) = (Arc::default(), Arc::default());
    let (read, write, scan) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (records, answers) = (MemoryRecords::new(true), usize::MAX);
    Slow { records, call, read, write, scan, is_busy: false, scans, writes, answers }
}

#[async_trait]
impl Records for Slow {
    fn info(&self) -> RecordsInfo {
        RecordsInfo { call_timeout: self.call, in_flight: 2, batch: 128, ..self.records.info() }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        sleep(self.read).await;
        self.records.read(place).await
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        sleep(self.write).await;
        if self.is_busy {
            return Ok(Swap::Conflict(None));
        }
        self.records.write(write).await
    }

    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        sleep(self.read).await;
        self.records.read_many(places).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let before = self.writes.fetch_add(1, Ordering::SeqCst);
        sleep(if before < self.answers { self.write } else { NEVER }).await;
        self.records.write_many(writes).await
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        sleep(self.scan).await;
        self.records.scan(kind, prefix).await
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        self.records.changes(kind, prefix).await
    }
}

fn claims(count: usize) -> Vec<Claim> {
    let holder = HolderId::new("h").unwrap();
    let claim = |number| {
        let key = LeaseKey::new(format!("k/{number:04}")).unwrap();
        Claim::new(key, holder.clone(), Nonce { process: 1, campaign: 1 }, Duration::from_secs(60))
    };
    (0..count).map(claim).collect()
}

/// How many were granted, have an unknown outcome, and were not done for certain; they come in this order.
fn counted(answers: &[Result<Claimed, StoreError>]) -> [usize; 3] {
    let kinds = answers.iter().map(|answer| match answer {
        Ok(Claimed::Granted { .. }) => 0,
        Err(error) if error.is_outcome_unknown() => 1,
        Err(error) if error.kind() == StoreErrorKind::Unavailable => 2,
        other => panic!("{other:?}"),
    });
    let kinds: Vec<usize> = kinds.collect();
    assert!(kinds.is_sorted(), "{kinds:?}");
    [0, 1, 2].map(|kind| kinds.iter().filter(|one| **one == kind).count())
}

/// A batch that takes many requests one after the other goes on as long as the server answers, a group of keys at a time. Where
/// it answers no more the groups before are done all the way, and those behind were not sent.
#[tokio::test]
async fn a_long_batch_goes_on_while_it_is_answered() {
    let call = Duration::from_secs(1);
    let server = Slow { read: call * 2 / 5, write: call * 2 / 5, ..slow(call) };
    let (store, claims) = (RecordStore::new(server.clone()), claims(2_000));
    let begun = Instant::now();
    assert_eq!(counted(&store.acquire(&claims[..1_000]).await.unwrap()), [1_000, 0, 0]);
    assert!(begun.elapsed() > call && begun.elapsed() < call * 5, "{:?}", begun.elapsed());

    let stops = Slow { answers: server.writes.load(Ordering::SeqCst) + 4, ..server };
    let (store, begun) = (RecordStore::new(stops), Instant::now());
    assert_eq!(counted(&store.acquire(&claims[1_000..]).await.unwrap()), [512, 256, 232]);
    assert!(begun.elapsed() < call * 4, "{:?}", begun.elapsed());
}

/// Of what is not answered in time the writes that were sent are unknown; nothing is sent any more, and that is not done for certain.
#[tokio::test]
async fn what_was_not_sent_is_not_unknown() {
    let call = Duration::from_secs(1);
    let server = Slow { write: NEVER, ..slow(call) };
    let (store, begun) = (RecordStore::new(server.clone()), Instant::now());
    let answers = store.acquire(&claims(1_000)).await.unwrap();
    assert_eq!(counted(&answers), [0, 256, 744]);
    assert_eq!(server.writes.load(Ordering::SeqCst), 2);
    assert!(begun.elapsed() < call * 2, "{:?}", begun.elapsed());
}

/// Whoever is too late again and again gives up in time, and knows that nothing was done.
#[tokio::test]
async fn conflicts_end_in_time() {
    let call = Duration::from_secs(1);
    let server = Slow { read: call * 3 / 5, write: call * 3 / 5, is_busy: true, ..slow(call) };
    let (store, documents) = (RecordStore::new(server.clone()), RecordDocuments::new(server));
    let begun = Instant::now();
    let claims = claims(1);
    let (claimed, created) = tokio::join!(store.acquire(&claims), documents.create(&claims[0].key, b"1"));
    assert_eq!(counted(&claimed.unwrap()), [0, 0, 1]);
    assert_eq!(created.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(begun.elapsed() < call * 2, "{:?}", begun.elapsed());
}

/// A scan of many pages takes longer than a call may: lists and watches wait for it, and not for ever.
#[tokio::test]
async fn scans_have_their_own_time() {
    let call = Duration::from_millis(200);
    let patient = Slow { scan: call * 3, ..slow(call) };
    let (store, documents) = (RecordStore::new(patient.clone()), RecordDocuments::new(patient));
    counted(&store.acquire(&claims(1)).await.unwrap());
    documents.create(&LeaseKey::new("d").unwrap(), b"1").await.unwrap();
    let all = KeyPrefix::default();
    let (leases, listed) = tokio::join!(store.list(&all), documents.list(&all));
    assert_eq!((leases.unwrap().len(), listed.unwrap().len()), (1, 1));
    assert!(store.watch(&all).await.is_ok());

    let stuck = Slow { scan: NEVER, ..slow(call) };
    let (store, documents) = (RecordStore::new(stuck.clone()), RecordDocuments::new(stuck));
    let begun = Instant::now();
    let ended = timeout(call * 20, async { tokio::join!(store.list(&all), documents.list(&all)) }).await;
    let (leases, listed) = ended.expect("both to end");
    assert_eq!(leases.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(listed.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(begun.elapsed() >= call * 10, "{:?}", begun.elapsed());
}

/// A server may give its calls all the time there is.
#[tokio::test]
async fn calls_may_have_no_bound() {
    let server = slow(Duration::MAX);
    let (store, documents) = (RecordStore::new(server.clone()), RecordDocuments::new(server));
    assert_eq!(counted(&store.acquire(&claims(3)).await.unwrap()), [3, 0, 0]);
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 3);
    assert!(store.watch(&KeyPrefix::default()).await.is_ok());
    assert_eq!(documents.read(&LeaseKey::new("d").unwrap()).await.unwrap(), None);
}

/// Whoever looks for changes and gets no answer ends, so that the subscription is made anew.
#[tokio::test]
async fn a_look_that_is_not_answered_ends_the_changes() {
    let call = Duration::from_millis(100);
    let mut server = slow(call);
    let (all, every) = (KeyPrefix::default(), Duration::from_millis(1));
    server.scan = NEVER;
    let ended = timeout(call * 20, polled_changes(server.clone(), every, Kind::Lease, all.clone())).await;
    assert_eq!(ended.expect("the first look to end").err().unwrap().kind(), StoreErrorKind::Unavailable);

    // The first look is answered at once, the second one never.
    server.scans = Arc::default();
    let looks = Arc::clone(&server.scans);
    let changes = polled_changes(Once(server), every, Kind::Lease, all).await;
    let ended = timeout(call * 20, changes.unwrap().next()).await;
    assert!(ended.expect("the changes to end").is_none());
    assert_eq!(looks.load(Ordering::SeqCst), 2, "the first look and the second");
}

/// Answers the first scan at once.
#[derive(Debug)]
struct Once(Slow);

#[async_trait]
impl Records for Once {
    fn info(&self) -> RecordsInfo {
        self.0.info()
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        self.0.read(place).await
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        self.0.write(write).await
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        if self.0.scans.load(Ordering::SeqCst) == 0 {
            self.0.scans.fetch_add(1, Ordering::SeqCst);
            return self.0.records.scan(kind, prefix).await;
        }
        self.0.scan(kind, prefix).await
    }
}
