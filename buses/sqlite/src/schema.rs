//! The tables, and how a file is opened as a bus.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tenure_bus::{BusError, BusErrorKind};
use tokio::time::Instant;

use crate::config::{SqliteBusConfig, SyncMode, invalid};
use crate::failure::{failure, is_busy};

/// The version of the tables below. Another one is refused: it must not be written to by guesswork.
const FORMAT: i64 = 1;

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

/// Opens the file to write to it, creating it where `create` says so. Several processes may do this at once.
pub(crate) fn open(config: &SqliteBusConfig, create: bool) -> Result<Connection, BusError> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if create {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    refuse_network(&config.path)?;
    let wrong = |error| failure(&config.path, "opening it", error);
    let mut connection = Connection::open_with_flags(&config.path, flags).map_err(wrong)?;
    connection.busy_timeout(config.busy_timeout).map_err(wrong)?;
    retry_busy(config.busy_timeout, || prepare(&mut connection, config.sync)).map_err(wrong)?;
    check_format(&connection, &config.path)?;
    Ok(connection)
}

/// Opens the file to read from it only. It must be a bus already.
pub(crate) fn open_to_read(config: &SqliteBusConfig) -> Result<Connection, BusError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let wrong = |error| failure(&config.path, "opening it to follow", error);
    let connection = Connection::open_with_flags(&config.path, flags).map_err(wrong)?;
    connection.busy_timeout(config.busy_timeout).map_err(wrong)?;
    check_format(&connection, &config.path)?;
    Ok(connection)
}

/// What the path names now: two equal answers mean the same file.
///
/// Asked of the path, never of an opened file: closing any descriptor of a SQLite file gives up the locks that this
/// process holds on it.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Wall-clock milliseconds since 1970; zero where the clock stands before that.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

fn prepare(connection: &mut Connection, sync: SyncMode) -> rusqlite::Result<()> {
    // Turning WAL on answers "busy" at once where another process does the same, whatever the busy time-out says;
    // hence the retry around this.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    let sync = match sync {
        SyncMode::Full => "FULL",
        SyncMode::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", sync)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(32);
    if is_bus(connection)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    if !is_bus(&transaction)? {
        transaction.execute_batch(TABLES)?;
    }
    transaction.commit()
}

fn is_bus(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'bus_state'", [], |row| row.get(0))
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), BusError> {
    let wrong = |error| failure(path, "reading its format", error);
    if !is_bus(connection).map_err(wrong)? {
        return Err(invalid(format!("sqlite bus {}: holds no bus: publish to it first", path.display())));
    }
    let format: i64 = connection
        .query_row("SELECT format FROM bus_state", [], |row| row.get(0))
        .map_err(|error| failure(path, "reading its format (is bus_state empty or of another program?)", error))?;
    if format != FORMAT {
        return Err(invalid(format!(
            "sqlite bus {}: has format {format}, this program knows {FORMAT} only: use the program that wrote it, or \
             another file",
            path.display()
        )));
    }
    Ok(())
}

/// Repeats what answers "busy" until it has been so for `limit`.
fn retry_busy<T>(limit: Duration, mut step: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        match step() {
            Err(error) if is_busy(&error) && Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            other => return other,
        }
    }
}

/// WAL needs memory shared between the processes, which a network file system does not give: it would lose messages.
fn refuse_network(path: &Path) -> Result<(), BusError> {
    const KINDS: [(u32, &str); 8] = [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (0xfe53_4d42, "SMB2"),
        (0x00c3_6400, "Ceph"),
        (0x5346_414f, "AFS"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
    ];
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A directory that cannot be asked about cannot be opened either; SQLite says why.
    let Ok(found) = rustix::fs::statfs(directory) else { return Ok(()) };
    let kind = found.f_type as u32;
    match KINDS.iter().find(|(magic, _)| *magic == kind) {
        Some((_, name)) => Err(BusError::new(
            BusErrorKind::Invalid,
            format!("sqlite bus {}: lies on a network file system ({name}): use a local disk", path.display()),
        )),
        None => Ok(()),
    }
}
