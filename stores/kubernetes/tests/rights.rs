//! What the API server allows, and what becomes of what it does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::io::Write;
use std::sync::{Arc, Mutex};

use kit::*;
use tenure_records::{Content, Kind, Place, Records, Seen, Swap, Write as Put};
use tenure_store::{KeyPrefix, LeaseKey, LeaseStore, Released, Renewed, StoreErrorKind};

/// What was logged.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// With exactly get, create and update a whole election works, and documents with it; lists and hints say which right is
/// missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn get_create_and_update_suffice() {
    let Some(kube) = start("kubernetes rights") else { return };
    kube.allow("get, create, update").unwrap();
    let said = Said::default();
    let writer = said.clone();
    let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let log = tracing::subscriber::set_default(log);
    let store = loop {
        // The authorizer learns of the binding by a watch of its own.
        match open(kube.limited(true).unwrap()).await {
            Ok(store) => break store,
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    drop(log);
    let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
    let warnings: Vec<&str> = said.lines().filter(|line| line.contains("WARN")).collect();
    assert!(matches!(warnings[..], [warning] if warning.contains("may not list leases")), "said once: {said}");
    assert!(!store.info().watch);
    let (mine, rival) = (claim("a/b", 1), claim("a/b", 2));
    let own = held(&mine, granted(&store, &mine).await);
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    assert!(store.request_resign(&mine.key).await.unwrap());
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: true });
    assert_eq!(store.record(&mine.key).await.unwrap().unwrap().term, Some(own.term));
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    assert!(granted(&store, &rival).await > own.term);
    assert!(store.remove(&mine.key).await.unwrap().is_some());
    assert_eq!(store.record(&mine.key).await.unwrap(), None);

    let error = store.list(&KeyPrefix::default()).await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Denied && error.to_string().contains("may not list leases"), "{error}");
    let error = store.watch(&KeyPrefix::default()).await.err().unwrap();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{error}");

    let place = Place::document(&LeaseKey::new("d").unwrap());
    let write = |expected, to: Option<&[u8]>| Put {
        place: place.clone(),
        expected,
        to: to.map(|bytes| Content::Document(bytes.to_vec())),
    };
    let records = store.records();
    let Swap::Done(version) = records.write(&write(None, Some(b"1"))).await.unwrap() else { panic!() };
    assert_eq!(records.write(&write(None, Some(b"2"))).await.unwrap(), Swap::Conflict(None));
    assert_eq!(records.read(&place).await.unwrap().version, Some(version.clone()));
    // Deleting is not allowed, and a mark does instead.
    let Swap::Done(gone) = records.write(&write(Some(version), None)).await.unwrap() else { panic!() };
    let Seen { content, version, .. } = records.read(&place).await.unwrap();
    assert_eq!((content, version), (None, Some(gone.clone())));
    assert!(matches!(records.write(&write(Some(gone), Some(b"3"))).await.unwrap(), Swap::Done(_)));
}

/// Without watch there are lists and no hints; without get nothing begins, and the error says what to grant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_is_named() {
    let Some(kube) = start("kubernetes rights") else { return };
    let error = open(kube.limited(false).unwrap()).await.err().unwrap();
    let text = error.to_string();
    assert!(error.kind() == StoreErrorKind::Denied && text.contains("may not get leases"), "{text}");
    assert!(text.contains("namespace \"default\"") && text.contains("Role"), "{text}");

    kube.allow("get, list, create, update").unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let store = loop {
        match open(kube.limited(true).unwrap()).await {
            Ok(store) if store.list(&KeyPrefix::default()).await.is_ok() => break store,
            other => assert!(tokio::time::Instant::now() < deadline, "{:?}", other.err()),
        }
    };
    assert!(!store.info().watch);
    let mine = claim("a/b", 1);
    granted(&store, &mine).await;
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    assert_eq!(store.records().scan(Kind::Document, &KeyPrefix::default()).await.unwrap(), []);
}

/// A namespace that is not there is an error that names it, and never a conflict or a free key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_namespace_is_an_error() {
    let Some(kube) = start("kubernetes rights") else { return };
    let mut config = with(kube.admin());
    config.cluster.namespace = Some("nowhere".to_owned());
    let store = tenure_kubernetes::open(config).await.unwrap();
    let error = acquire(&store, &claim("k", 1)).await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Invalid && error.to_string().contains("nowhere"), "{error}");
}
