//! The tables, and how a file is known to be ours.

use tenure_base_sqlite::{Format, LEASES_ID};

/// A file of leases: known by its application id, its version in PRAGMA user_version.
pub(crate) static FORMAT: Format = Format {
    what: "a lease store",
    version: 1,
    version_of: |connection| {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        if pragma("application_id")? == LEASES_ID { pragma("user_version").map(Some) } else { Ok(None) }
    },
    tables: TABLES,
};

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
PRAGMA application_id = 0x54656e75;
PRAGMA user_version = 1;
";
