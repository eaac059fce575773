//! The tables of a bus's file, and how such a file is opened.

use rusqlite::{Connection, OptionalExtension};
use tenure_base_sqlite::{FileError, FileName, Format, Writer, WriterOptions};
use tenure_base_time::unix_millis;

use crate::config::SqliteBusConfig;

/// The format of a bus's file, which is recognized by its table `bus_state`. A file of another format is refused rather
/// than written to by guesswork.
pub(crate) static FORMAT: Format = Format {
    what: "a message bus",
    version: 1,
    version_of: format_of,
    tables: TABLES,
    required: &["envelopes", "bus_fence", "bus_removed"],
    // Made anew in silence it would have forgotten every id, or every term.
    dropped: "put the file back from a copy, or move it away and start anew to begin another bus",
};

/// `envelopes.pos` grows by one per message and is never given out twice, also after removals: `bus_state.last_pos`
/// remembers. `body` stands last, so that reading the other columns does not touch the pages of long bodies.
const TABLES: &str = "
CREATE TABLE envelopes (
    pos     INTEGER PRIMARY KEY,
    id      TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    kind    TEXT NOT NULL,
    channel TEXT NOT NULL,
    term    INTEGER,
    at_ms   INTEGER NOT NULL,
    body    TEXT NOT NULL
) STRICT;
CREATE VIEW chat AS
    SELECT pos, strftime('%Y-%m-%dT%H:%M:%fZ', at_ms / 1000.0, 'unixepoch') AS at, channel, kind, term, subject, id, body
    FROM envelopes;
CREATE TABLE bus_fence (
    key  TEXT PRIMARY KEY,
    term INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE bus_removed (
    id      TEXT PRIMARY KEY,
    pos     INTEGER NOT NULL,
    gone_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE bus_state (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    format       INTEGER NOT NULL,
    last_pos     INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    stored       INTEGER NOT NULL,
    deduplicated INTEGER NOT NULL,
    refused      INTEGER NOT NULL
) STRICT;
INSERT INTO bus_state VALUES (1, 1, 0, 0, 0, 0, 0);
";

/// How many bytes a row takes on disk beside its body, roughly: the other columns and the index of ids.
pub(crate) const ROW_BYTES: i64 = 200;

/// Opens the file for writing, and creates it where `create` is set. Several processes may do this at once. A file that
/// is gone later is never created again, because that would forget every id and every term unnoticed.
pub(crate) fn open(config: &SqliteBusConfig, name: &FileName, create: bool) -> Result<Writer, FileError> {
    let prepare = |connection: &Connection| {
        connection.pragma_update(None, "cache_size", -16_384)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(())
    };
    let options = WriterOptions { format: &FORMAT, prepare, create, recreate: false, generations: None };
    Writer::open(name.clone(), options, config.busy_timeout)
}

/// Wall-clock milliseconds since 1970, as SQLite's integer.
pub(crate) fn wall_clock_ms() -> i64 {
    i64::try_from(unix_millis()).unwrap_or(i64::MAX)
}

/// The format that the table states; `None` where there is no such table, or another program's of that name.
fn format_of(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let columns = "SELECT count(*) FROM pragma_table_info('bus_state') WHERE name IN ('one', 'format')";
    let columns: i64 = connection.query_row(columns, [], |row| row.get(0))?;
    if columns != 2 {
        return Ok(None);
    }
    connection.query_row("SELECT CAST(format AS INTEGER) FROM bus_state", [], |row| row.get(0)).optional()
}
