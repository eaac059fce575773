//! The tables, and how a file is known to be ours.

use rusqlite::{Connection, TransactionBehavior};
use tenure_store::{StoreError, StoreErrorKind};

/// "Tenu": tells our files from other programs' (PRAGMA application_id).
pub(crate) const APPLICATION_ID: i64 = 0x5465_6e75;

/// The version of the tables (PRAGMA user_version).
pub(crate) const VERSION: i64 = 1;

/// `lease.term` and `lease.note` belong to the present tenure or, where `holder` is null, to the last one: the term
/// record. Times are nanoseconds of the machine's boottime clock in the boot `boot_id`. `touched_micros` is wall clock
/// time, for housekeeping only. The triggers count changes of hands, whoever makes them, so that watchers can tell
/// them from mere renewals.
const TABLES: &str = "
CREATE TABLE lease (
  key              TEXT PRIMARY KEY NOT NULL,
  format           INTEGER NOT NULL,
  holder           TEXT,
  nonce            TEXT,
  term             INTEGER NOT NULL,
  ttl_ns           INTEGER,
  expires_ns       INTEGER,
  boot_id          TEXT,
  note             TEXT NOT NULL,
  previous_note    TEXT,
  resign_requested INTEGER NOT NULL DEFAULT 0,
  touched_micros   INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE change (one INTEGER PRIMARY KEY CHECK (one = 1), hands INTEGER NOT NULL) STRICT;
INSERT INTO change VALUES (1, 0);
CREATE TRIGGER lease_begun AFTER INSERT ON lease BEGIN UPDATE change SET hands = hands + 1; END;
CREATE TRIGGER lease_moved AFTER UPDATE OF nonce ON lease BEGIN UPDATE change SET hands = hands + 1; END;
CREATE TRIGGER lease_gone AFTER DELETE ON lease BEGIN UPDATE change SET hands = hands + 1; END;
";

/// Why a schema could not be made sure of.
pub(crate) enum SchemaError {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// The file is not ours, or too new.
    Refused(StoreError),
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> Self {
        SchemaError::Sqlite(error)
    }
}

/// Creates the tables in an empty file; refuses files of other programs and of newer versions.
pub(crate) fn ensure(connection: &mut Connection, shown: &str) -> Result<(), SchemaError> {
    // 1. Most often the tables are there, which takes no write lock to see. One transaction reads it all: otherwise a
    //    file that somebody is just creating can show its tables and not yet its mark.
    let reading = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
    if is_ours(&reading, shown)? {
        return Ok(());
    }
    drop(reading);
    // 2. Of several creators one comes first; the others see its tables here.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_ours(&transaction, shown)? {
        return Ok(());
    }
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(())
}

/// Whether the tables are there; `false` for an empty file.
fn is_ours(connection: &Connection, shown: &str) -> Result<bool, SchemaError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, version) = (pragma("application_id")?, pragma("user_version")?);
    if application == APPLICATION_ID && version == VERSION {
        return Ok(true);
    }
    if application == APPLICATION_ID && version > VERSION {
        return Err(refused(format!(
            "sqlite:{shown} has format {version}, and this program knows formats up to {VERSION}; update it"
        )));
    }
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(false);
    }
    Err(refused(format!("sqlite:{shown} belongs to another program; name a file of its own")))
}

fn refused(message: String) -> SchemaError {
    SchemaError::Refused(StoreError::new(StoreErrorKind::Corrupt, message))
}
