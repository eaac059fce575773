//! Documents as rows of the table `tenure_documents`, which is made with the first of them: a file of an older version gets it
//! then, and an older version that uses the file goes on without looking at it.

use rusqlite::{Connection, OptionalExtension, Row, params};
use tenure_store::{Document, DocumentList, Found, KeyPrefix, LeaseKey, StoreError, Swapped, Version};

use crate::info::INFO;
use crate::rows;

/// The table. A second one counts its changes, by triggers, so that whoever watches need not look through it each time that a
/// lease is renewed.
pub(crate) const TABLE: &str = "tenure_documents";

const TABLES: &str = include_str!("schema/documents.sql");

/// How often a document of this file was changed; `None` where it has no table for them.
pub(crate) fn count(db: &Connection) -> rusqlite::Result<Option<i64>> {
    if !there(db, TABLE)? || !there(db, "tenure_document_changes")? {
        return Ok(None);
    }
    db.prepare_cached("SELECT count FROM tenure_document_changes")?.query_row([], |row| row.get(0)).optional()
}

/// The document; `None` where there is none.
pub(crate) fn read(db: &Connection, key: &LeaseKey) -> rusqlite::Result<Option<Document>> {
    if !there(db, TABLE)? {
        return Ok(None);
    }
    let mut statement = db.prepare_cached("SELECT version, value FROM tenure_documents WHERE key = ?1")?;
    statement.query_row([key.as_str()], |row| document(key.clone(), row, 0)).optional()
}

/// Leaves `to` where the document stands at the version that is expected; `None` is no document. Answers also whether the table
/// was made for it. Versions are random, so that none repeats in a file that has forgotten what it had.
pub(crate) fn change(
    db: &Connection,
    key: &LeaseKey,
    expected: Option<&Version>,
    to: Option<&[u8]>,
) -> rusqlite::Result<(Swapped<Version>, bool)> {
    let found = read(db, key)?;
    if found.as_ref().map(|document| &document.version) != expected {
        return Ok((Swapped::Conflict(Found::from(found)), false));
    }
    // It is missing before the first document, and where somebody has dropped it; the triggers need both.
    let made = !there(db, TABLE)?;
    if count(db)?.is_none() {
        db.execute_batch(TABLES)?;
    }
    const WRITE: &str = "INSERT INTO tenure_documents (key, version, value) VALUES (?1, lower(hex(randomblob(16))), ?2)
        ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value RETURNING version";
    const DELETE: &str = "DELETE FROM tenure_documents WHERE key = ?1 RETURNING version";
    let version: String = match to {
        Some(value) => db.prepare_cached(WRITE)?.query_row(params![key.as_str(), value], |row| row.get(0))?,
        None => db.prepare_cached(DELETE)?.query_row([key.as_str()], |row| row.get(0))?,
    };
    Ok((Swapped::Done(Version::new(version)), made))
}

/// The documents under a prefix, by key; or that they are too many. `left_out` is told of each that cannot be read.
pub(crate) fn list(
    db: &Connection,
    prefix: &KeyPrefix,
    left_out: impl Fn(&LeaseKey),
) -> rusqlite::Result<Result<Vec<Document>, StoreError>> {
    let mut list = Ok(DocumentList::new(INFO.scheme, prefix));
    if there(db, TABLE)? {
        rows::scan(db, TABLE, "key, version, value", prefix, |row| {
            let key = row.get_ref(0).ok().and_then(|key| LeaseKey::new(key.as_str().ok()?).ok());
            // A key that cannot be read was not written by this code; nobody can name it.
            let Some(key) = key else { return };
            let Ok(document) = document(key.clone(), row, 1) else { return left_out(&key) };
            if let Ok(documents) = &mut list
                && let Err(error) = documents.add(document)
            {
                list = Err(error);
            }
        })?;
    }
    Ok(list.map(DocumentList::finish))
}

fn document(key: LeaseKey, row: &Row<'_>, at: usize) -> rusqlite::Result<Document> {
    Ok(Document { key, version: Version::new(row.get::<_, String>(at)?), value: row.get(at + 1)? })
}

fn there(db: &Connection, table: &str) -> rusqlite::Result<bool> {
    let mut statement = db.prepare_cached("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    statement.query_row([table], |row| row.get::<_, i64>(0)).map(|count| count > 0)
}
