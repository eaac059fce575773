//! Documents over a server that makes it hard: it leaves marks in place of what was deleted, does not say what stood in the
//! way, answers nobody while it is stopped and does then what it was told meanwhile, and ends its streams of changes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, StreamExt, stream};
use tenure_conformance::{BuildError, Options, Stoppable, StoreBuilder, suite_with};
use tenure_records::{
    Changes, Content, Kind, Place, RecordDocuments, RecordStore, Records, RecordsInfo, Seen, Swap, Version, Write,
};
use tenure_store::{DocumentStore, KeyPrefix, LeaseKey, LeaseStore, StoreError, StoreErrorKind, StoreInfo, Swapped};
use tokio::sync::{broadcast, watch};
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Debug)]
struct Hard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rows: Mutex<HashMap<Place, (Option<Content>, usize)>>,
    count: AtomicUsize,
    stopped: watch::Sender<bool>,
    changed: Mutex<broadcast::Sender<Place>>,
}

static INFO: StoreInfo = StoreInfo::new("hard").watch(true);

impl Hard {
    fn new() -> Hard {
        let changed = Mutex::new(broadcast::Sender::new(64));
        let (rows, count, stopped) = (Mutex::default(), AtomicUsize::new(1), watch::Sender::new(false));
        Hard(Arc::new(Shared { rows, count, stopped, changed }))
    }

    /// Ends every stream of changes; whoever subscribes next hears what is changed from then on.
    fn break_off(&self) {
        *self.0.changed.lock().unwrap() = broadcast::Sender::new(64);
    }

    fn seen(row: Option<&(Option<Content>, usize)>) -> Seen {
        let Some((content, number)) = row else { return Seen::default() };
        Seen { content: content.clone(), version: Some(Version::new(number.to_string())), ..Seen::default() }
    }

    fn apply(&self, write: &Write) -> Swap {
        let mut rows = self.0.rows.lock().unwrap();
        if Hard::seen(rows.get(&write.place)).version != write.expected {
            return Swap::Conflict(None);
        }
        let number = self.0.count.fetch_add(1, Ordering::SeqCst);
        rows.insert(write.place.clone(), (write.to.clone(), number));
        drop(rows);
        let _ = self.0.changed.lock().unwrap().send(write.place.clone());
        Swap::Done(Version::new(number.to_string()))
    }

    async fn goes_on(&self) {
        let _ = self.0.stopped.subscribe().wait_for(|stopped| !stopped).await;
    }
}

#[async_trait]
impl Records for Hard {
    fn info(&self) -> RecordsInfo {
        RecordsInfo { store: INFO.clone(), call_timeout: Duration::from_secs(2), in_flight: 4, batch: 1 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        self.goes_on().await;
        Ok(Hard::seen(self.0.rows.lock().unwrap().get(place)))
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        // It goes on without whoever asked.
        let (server, write) = (self.clone(), write.clone());
        let done = tokio::spawn(async move {
            server.goes_on().await;
            server.apply(&write)
        });
        Ok(done.await.unwrap())
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        self.goes_on().await;
        let rows = self.0.rows.lock().unwrap();
        let rows = rows.iter().filter(|(place, _)| place.kind == kind && prefix.matches(&place.key));
        Ok(rows.map(|(place, row)| (place.key.clone(), Hard::seen(Some(row)))).collect())
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let (changed, prefix) = (self.0.changed.lock().unwrap().subscribe(), prefix.clone());
        let changes = stream::unfold((changed, prefix), move |(mut changed, prefix)| async move {
            loop {
                let place: Place = changed.recv().await.ok()?;
                if place.kind == kind && prefix.matches(&place.key) {
                    return Some(((place, None), (changed, prefix)));
                }
            }
        });
        Ok(changes.boxed())
    }
}

impl StoreBuilder for Hard {
    fn name(&self) -> &str {
        "a hard server"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        ready(Ok(Arc::new(RecordStore::new(self.clone())) as Arc<dyn LeaseStore>)).boxed()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        Some(ready(Ok(Arc::new(RecordDocuments::new(self.clone())) as Arc<dyn DocumentStore>)).boxed())
    }

    fn stoppable(&self) -> Option<&dyn Stoppable> {
        Some(self)
    }
}

impl Stoppable for Hard {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.0.stopped.send_replace(true);
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.0.stopped.send_replace(false);
        ready(Ok(())).boxed()
    }
}

/// Every case about documents, those of a stopped store among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_on_a_hard_server_pass() {
    let options = Options { only: "documents::".to_owned(), ..Options::default() };
    let report = suite_with(&Hard::new(), options).await;
    assert!(report.to_string().ends_with("12 passed, 0 failed, 1 skipped"), "{report}");
}

/// While the server does not answer a read is unavailable and the outcome of a change unknown; what it was told it does later.
#[tokio::test]
async fn calls_end_in_time() {
    let (server, key) = (Hard::new(), LeaseKey::new("k").unwrap());
    let documents = RecordDocuments::new(server.clone());
    server.0.stopped.send_replace(true);
    assert_eq!(documents.read(&key).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert_eq!(documents.create(&key, b"late").await.unwrap_err().kind(), StoreErrorKind::TimedOut);
    server.0.stopped.send_replace(false);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while documents.read(&key).await.unwrap().is_none() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A stream of changes that ends costs a hint without a key, and hints go on.
#[tokio::test]
async fn watches_outlive_their_subscription() {
    let (server, key) = (Hard::new(), LeaseKey::new("k").unwrap());
    let documents = RecordDocuments::new(server.clone());
    let mut watch = documents.watch(&KeyPrefix::default()).await.unwrap();
    let next = async |watch: &mut tenure_store::WakeStream| {
        tokio::time::timeout(Duration::from_secs(10), watch.next()).await.unwrap().unwrap().key
    };
    let Swapped::Done(version) = documents.create(&key, b"1").await.unwrap() else { panic!("not created") };
    assert_eq!(next(&mut watch).await, Some(key.clone()));
    server.break_off();
    assert_eq!(next(&mut watch).await, None);
    documents.delete(&key, &version).await.unwrap();
    assert_eq!(next(&mut watch).await, Some(key));
}

/// What another program has put in a document's place is told to whoever asks for it, and left alone; lists go without it,
/// with one warning that names its key.
#[tokio::test]
async fn what_is_no_document_is_told() {
    let log = Log::default();
    let writer = log.clone();
    let _guard = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).set_default();
    let (server, key, good) = (Hard::new(), LeaseKey::new("odd").unwrap(), LeaseKey::new("other").unwrap());
    let lease = Content::lease(&key, b"Instance-7");
    server.apply(&Write { place: Place::document(&key), expected: None, to: Some(lease) });
    let documents = RecordDocuments::new(server);
    let Swapped::Done(_) = documents.create(&good, b"x").await.unwrap() else { panic!("not created") };
    for prefix in ["", "o", "other", "odd"] {
        let listed = documents.list(&KeyPrefix::new(prefix).unwrap()).await.unwrap();
        let keys: Vec<&LeaseKey> = listed.iter().map(|document| &document.key).collect();
        let expected: &[&LeaseKey] = if prefix == "odd" { &[] } else { &[&good] };
        assert_eq!(keys, expected, "{prefix:?}");
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.matches("WARN").count() == 1 && log.contains("\"odd\"") && log.contains("left out"), "{log}");
    assert_eq!(documents.read(&key).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
    assert_eq!(documents.create(&key, b"x").await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
