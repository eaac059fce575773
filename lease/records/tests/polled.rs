//! Changes that are looked for on a server that tells of none.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/memory_records.rs"]
mod memory_records;

use std::time::Duration;

use futures_util::StreamExt;
use memory_records::MemoryRecords;
use tenure_records::{Content, Kind, Place, polled_changes};
use tenure_store::{KeyPrefix, LeaseKey};

/// What is new, what has changed and what is gone is told, once each; what stands is not.
#[tokio::test]
async fn differences_are_told_once() {
    let records = MemoryRecords::new(false);
    let place = |name: &str| Place::document(&LeaseKey::new(name).unwrap());
    let put = |name: &str, text: Option<&str>| {
        records.put(&place(name), text.map(|text| Content::Document(text.as_bytes().to_vec())));
    };
    put("a/stays", Some("1"));
    put("a/changes", Some("1"));
    put("a/goes", Some("1"));
    let every = Duration::from_millis(20);
    let prefix = KeyPrefix::new("a/").unwrap();
    let mut changes = polled_changes(records.clone(), every, Kind::Document, prefix).await.unwrap();
    put("a/changes", Some("2"));
    put("a/goes", None);
    put("a/new", Some("1"));
    put("b/other", Some("1"));
    let mut told = Vec::new();
    for _ in 0..3 {
        let (place, seen) = changes.next().await.unwrap();
        told.push((place.key.to_string(), seen.and_then(|seen| seen.content)));
    }
    told.sort_by(|one, other| one.0.cmp(&other.0));
    let document = |text: &str| Some(Content::Document(text.as_bytes().to_vec()));
    let expected = [("a/changes", document("2")), ("a/goes", None), ("a/new", document("1"))];
    assert_eq!(told, expected.map(|(name, content)| (name.to_owned(), content)));
    let more = tokio::time::timeout(every * 5, changes.next()).await;
    assert!(more.is_err(), "{more:?}");
}
