//! Documents in the file of the leases: where their table comes from, and what becomes of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::path::Path;

use futures_util::StreamExt;
use kit::{claim, fresh, granted, held, open, remove, renew};
use rusqlite::Connection;
use tenure_sqlite::{SqliteConfig, SqliteDocuments};
use tenure_store::{
    Document, DocumentStore, Found, KeyPrefix, LeaseKey, LeaseStore, Renewed, StoreErrorKind, Swapped, Version,
};

/// A file that has leases and no table of documents, as older versions made it, gets the table with the first document, and its
/// leases go on; an older version finds the same format and its own tables as they were.
#[tokio::test]
async fn an_older_file_gets_the_table_with_the_first_document() {
    let (_folder, path) = fresh();
    let store = open(&path).await;
    let term = granted(&store, &claim(1)).await;
    let before = schema(&path);
    assert!(before.iter().all(|(name, _)| !name.starts_with("tenure_document")), "{before:?}");
    let documents = documents(&path).await;
    // Looking makes nothing, and there is nothing to swap or delete.
    assert_eq!(documents.read(&key()).await.unwrap(), None);
    assert_eq!(documents.list(&KeyPrefix::default()).await.unwrap(), []);
    let none = Version::new("1");
    assert_eq!(documents.swap(&key(), &none, b"x").await.unwrap(), Swapped::Conflict(Found::Nothing));
    assert_eq!(documents.delete(&key(), &none).await.unwrap(), Swapped::Conflict(Found::Nothing));
    assert_eq!(schema(&path), before);
    create(&documents, b"first").await;
    let after = schema(&path);
    assert!(before.iter().all(|table| after.contains(table)), "{after:?}");
    let columns = column_names(&path);
    assert_eq!(columns, ["key", "version", "value"]);
    assert_eq!(pragma(&path, "user_version"), 1);
    assert_eq!(renew(&store, &claim(1), term).await, Renewed::Extended { resign_requested: false });
    store.release(&[held(&claim(1), term)]).await.unwrap();
}

/// A file that is only looked at is not changed, not even to get the table; what is in it is shown, and changes are refused.
#[tokio::test]
async fn who_looks_changes_nothing() {
    let (_folder, path) = fresh();
    let missing = SqliteDocuments::open_to_read(SqliteConfig::new(&path)).await.unwrap_err();
    assert!(missing.to_string().contains("no such file"), "{missing}");
    drop(open(&path).await);
    let looking = SqliteDocuments::open_to_read(SqliteConfig::new(&path)).await.unwrap();
    let (before, bytes) = (schema(&path), std::fs::read(&path).unwrap());
    assert_eq!(looking.read(&key()).await.unwrap(), None);
    assert_eq!(looking.list(&KeyPrefix::default()).await.unwrap(), []);
    let refused = looking.create(&key(), b"x").await.unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Denied);
    assert_eq!((schema(&path), std::fs::read(&path).unwrap()), (before, bytes));
    let version = create(&documents(&path).await, b"seen").await;
    let stands = Document { key: key(), version, value: b"seen".to_vec() };
    assert_eq!(looking.list(&KeyPrefix::default()).await.unwrap(), [stands]);
}

/// Where somebody drops the table its documents are gone; the next one makes it anew, and no version of before is taken.
#[tokio::test]
async fn a_dropped_table_is_made_anew() {
    let (_folder, path) = fresh();
    let (one, two) = (documents(&path).await, documents(&path).await);
    for dropped in ["tenure_documents", "tenure_document_changes"] {
        let version = create(&one, b"lost").await;
        let mut watch = two.watch(&KeyPrefix::default()).await.unwrap();
        sql(&path, &format!("DROP TABLE {dropped}"));
        let there = dropped != "tenure_documents";
        assert_eq!(one.read(&key()).await.unwrap().is_some(), there);
        let late = two.swap(&key(), &version, b"late").await.unwrap();
        assert_eq!(matches!(late, Swapped::Done(_)), there, "{dropped}: {late:?}");
        if let Swapped::Done(version) = late {
            one.delete(&key(), &version).await.unwrap();
        }
        let next = create(&two, b"anew").await;
        assert_ne!(next, version);
        assert_eq!(one.read(&key()).await.unwrap().unwrap().value, b"anew");
        let woken = tokio::time::timeout(std::time::Duration::from_secs(10), watch.next()).await;
        assert!(woken.unwrap().is_some(), "{dropped}: the watch has ended");
        one.delete(&key(), &next).await.unwrap();
    }
}

/// A file that takes the place of the one in use has documents of its own, and no version of the other is taken there.
#[tokio::test]
async fn another_file_has_other_documents() {
    let (_folder, path) = fresh();
    let store = documents(&path).await;
    let version = create(&store, b"first").await;
    remove(&path);
    assert_eq!(store.swap(&key(), &version, b"late").await.unwrap(), Swapped::Conflict(Found::Nothing));
    create(&store, b"second").await;
    assert_eq!(documents(&path).await.read(&key()).await.unwrap().unwrap().value, b"second");
}

/// A row that another program wrote, and that is no document, keeps nobody from listing the rest.
#[tokio::test]
async fn a_row_that_is_no_document_is_left_out_of_lists() {
    let (_folder, path) = fresh();
    let documents = documents(&path).await;
    let version = create(&documents, b"ours").await;
    sql(&path, "INSERT INTO tenure_documents VALUES ('a', CAST(x'ff' AS TEXT), x'00'), (char(7), 'control', x'00')");
    for _ in 0..2 {
        let listed = documents.list(&KeyPrefix::default()).await.unwrap();
        assert_eq!(listed, [Document { key: key(), version: version.clone(), value: b"ours".to_vec() }]);
    }
}

/// The file of a message bus, or of another program, is left as it is.
#[tokio::test]
async fn other_files_are_refused() {
    let (_folder, path) = fresh();
    sql(&path, "CREATE TABLE theirs (a)");
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteDocuments::open(SqliteConfig::new(&path)).await.unwrap_err();
    assert!(refused.to_string().contains("another program"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

fn key() -> LeaseKey {
    LeaseKey::new("wanted/channels").unwrap()
}

async fn documents(path: &Path) -> SqliteDocuments {
    SqliteDocuments::open(SqliteConfig::new(path)).await.unwrap()
}

async fn create(documents: &SqliteDocuments, value: &[u8]) -> Version {
    match documents.create(&key(), value).await.unwrap() {
        Swapped::Done(version) => version,
        other => panic!("not created: {other:?}"),
    }
}

fn sql(path: &Path, statements: &str) {
    Connection::open(path).unwrap().execute_batch(statements).unwrap();
}

/// Every table and trigger with its text.
fn schema(path: &Path) -> Vec<(String, Option<String>)> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

fn column_names(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info('tenure_documents')").unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

fn pragma(path: &Path, name: &str) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, name, |row| row.get(0)).unwrap()
}
