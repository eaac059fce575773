//! Documents lie beside the leases: each write compares, also one that changes nothing, and neither meets the other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/kit.rs"]
mod kit;

use by_hand::{ByHand, text};
use futures_util::future::try_join_all;
use kit::*;
use serde_json::json;
use tenure_firestore::{FirestoreConfig, open_documents};
use tenure_records::{Content, Kind, Place, Records, Swap, Version, Write};
use tenure_store::{Document, DocumentStore, KeyPrefix, LeaseStore, StoreErrorKind};
use tenure_test_servers::{FirestorePrograms, or_skip};

fn write(place: &Place, expected: Option<&Version>, to: Option<&[u8]>) -> Write {
    let to = to.map(|bytes| Content::Document(bytes.to_vec()));
    Write { place: place.clone(), expected: expected.cloned(), to }
}

/// A document is made once, replaced at its version alone, also by the same bytes, listed by its prefix, and deleted at its
/// version; a lease of the same key is another thing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_compared_and_swapped() {
    let Some(programs) = or_skip("firestore documents", false, FirestorePrograms::find()) else { return };
    let emulator = programs.start().unwrap();
    let store = open(&format!("firestore://{}?emulator={}", emulator.new_project(), emulator.host())).await.unwrap();
    let records = store.records();
    let place = Place::document(&key("fleet/wanted"));
    let done = async |write: Write| match records.write(&write).await.unwrap() {
        Swap::Done(version) => version,
        conflict => panic!("{conflict:?}"),
    };
    granted(&store, &claim("fleet/wanted", 1)).await;
    granted(&store, &claim("doc/fleet/wanted", 2)).await;
    let first = done(write(&place, None, Some(b"\x00one"))).await;
    assert!(matches!(records.write(&write(&place, None, Some(b"two"))).await.unwrap(), Swap::Conflict(_)));
    let second = done(write(&place, Some(&first), Some(b"\x00one"))).await;
    assert_ne!(first, second, "equal bytes have another version");
    assert!(matches!(records.write(&write(&place, Some(&first), Some(b"two"))).await.unwrap(), Swap::Conflict(_)));
    let seen = records.read(&place).await.unwrap();
    assert_eq!((seen.content, seen.version), (Some(Content::Document(b"\x00one".to_vec())), Some(second.clone())));
    let prefix = KeyPrefix::new("fleet/").unwrap();
    let listed = records.scan(Kind::Document, &prefix).await.unwrap();
    assert!(listed.len() == 1 && listed[0].0 == place.key, "{listed:?}");
    assert_eq!(store.list(&prefix).await.unwrap().len(), 1);

    assert!(matches!(records.write(&write(&place, Some(&first), None)).await.unwrap(), Swap::Conflict(_)));
    done(write(&place, Some(&second), None)).await;
    assert_eq!(records.read(&place).await.unwrap().version, None);
    assert!(matches!(records.write(&write(&place, Some(&second), Some(b"three"))).await.unwrap(), Swap::Conflict(_)));
    let again = done(write(&place, None, Some(b"three"))).await;
    assert!(again != first && again != second);
}

/// A collection's name may hold signs that mean something in a URL.
#[tokio::test]
async fn any_collection_will_do() {
    let Some(programs) = or_skip("firestore collections", false, FirestorePrograms::find()) else { return };
    let emulator = programs.start().unwrap();
    let (project, host) = (emulator.new_project(), emulator.host());
    for collection in ["a%20b", "a%3Fb", "a%23b", "a%2541", "%C3%A9:x"] {
        let store = open(&format!("firestore://{project}?emulator={host}&collection={collection}")).await.unwrap();
        granted(&store, &claim("plain", 1)).await;
        let records = store.records();
        let made = write(&Place::document(&key("wanted")), None, Some(b"x"));
        assert!(matches!(records.write(&made).await.unwrap(), Swap::Done(_)));
        let listed = records.scan(Kind::Document, &KeyPrefix::default()).await.unwrap();
        assert_eq!((listed.len(), store.list(&KeyPrefix::default()).await.unwrap().len()), (1, 1), "{collection}");
    }
}

/// One value that is not ours keeps nobody from the others: it is told to whoever reads it, and left out of lists.
#[tokio::test]
async fn an_odd_value_fails_no_list() {
    let Some(programs) = or_skip("firestore documents", false, FirestorePrograms::find()) else { return };
    let emulator = programs.start().unwrap();
    let (project, host) = (emulator.new_project(), emulator.host());
    let config: FirestoreConfig = format!("firestore://{project}?emulator={host}").parse().unwrap();
    let documents = open_documents(&config).await.unwrap();
    for name in ["a", "b", "c"] {
        documents.create(&key(name), b"1").await.unwrap();
    }
    // `b` in URL-safe Base64.
    ByHand::new(&host, &project).put("tenure/doc/values/Yg", json!({ "key": text("b"), "value": text("x") })).await;
    let listed = documents.list(&KeyPrefix::default()).await.unwrap();
    assert_eq!(listed.iter().map(|document| document.key.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(documents.read(&key("b")).await.unwrap_err().kind(), StoreErrorKind::Corrupt);
}

/// A page of the largest documents that there are is one answer.
#[tokio::test]
async fn large_documents_are_listed() {
    let Some(programs) = or_skip("firestore documents", false, FirestorePrograms::find()) else { return };
    let emulator = programs.start().unwrap();
    let url = format!("firestore://{}?timeout=30s&emulator={}", emulator.new_project(), emulator.host());
    let documents = open_documents(&url.parse().unwrap()).await.unwrap();
    let (value, keys): (_, Vec<_>) =
        (vec![0xff; Document::MAX_BYTES], (0..150).map(|n| key(&format!("{n}"))).collect());
    for some in keys.chunks(10) {
        try_join_all(some.iter().map(|key| documents.create(key, &value))).await.unwrap();
    }
    assert_eq!(documents.list(&KeyPrefix::default()).await.unwrap().len(), keys.len());
}
