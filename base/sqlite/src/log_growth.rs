//! The log beside a file, and who keeps it from being put into the file: a transaction that somebody leaves open.
//!
//! SQLite puts the log into the file and begins it anew as long as nobody reads from an older part of it. One reader that
//! never ends lets it grow until the disk is full.

use std::fmt;
use std::time::Duration;

use rusqlite::Connection;
use tenure_base_time::{Time, now};

use crate::failure::FileError;
use crate::location::{Location, look};
use crate::name::FileName;
use crate::node::Node;

/// A log that is larger has been kept from its file for long: SQLite begins to put it there at 4 MB.
pub const LARGE_LOG: u64 = 32 * 1024 * 1024;

/// How often a writer looks at its log.
const INTERVAL: Duration = Duration::from_secs(2);

/// A log that has grown large.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeLog {
    /// The file, as it was named.
    pub shown: String,
    /// The log's size.
    pub bytes: u64,
    /// The processes that had a transaction open on it at two looks, as far as the system tells.
    pub readers: Vec<Reading>,
}

/// A process that reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub comm: String,
}

impl LargeLog {
    /// The log of the file that the name leads to now, where it is larger than [`LARGE_LOG`]. Asks the file system alone; takes
    /// as long as two looks, some milliseconds apart. Fails as opening the file would.
    pub fn find(name: &FileName) -> Result<Option<LargeLog>, FileError> {
        let location = Location::find(name)?;
        Ok(LargeLog::at(&location).filter(|log| log.bytes > LARGE_LOG))
    }

    fn at(location: &Location) -> Option<LargeLog> {
        let bytes = look(&location.companion("-wal")).ok().flatten()?.len();
        let readers = if bytes > LARGE_LOG { readers(location) } else { Vec::new() };
        Some(LargeLog { shown: location.to_string(), bytes, readers })
    }
}

impl fmt::Display for LargeLog {
    /// What is wrong and how to mend it, in a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LargeLog { shown, bytes, readers } = self;
        write!(
            f,
            "sqlite:{shown}: its log (-wal) has grown to {} MB and cannot be put into the file while ",
            bytes / 1_000_000
        )?;
        match readers.as_slice() {
            [] => {
                write!(f, "somebody keeps a transaction open; end that process, which `fuser` on the -wal file names")
            }
            [Reading { pid, comm }] => {
                write!(f, "process {pid} ({comm}) keeps a transaction open; end that transaction, or the process")
            }
            several => {
                let pids: Vec<String> = several.iter().map(|Reading { pid, comm }| format!("{pid} ({comm})")).collect();
                write!(f, "processes {} keep transactions open; end those, or the processes", pids.join(", "))
            }
        }
    }
}

/// What a writer knows of its log from one look to the next.
#[derive(Debug, Default)]
pub(crate) struct LogWatch {
    next: Option<Time>,
    // How much of a large log was in the file at the last look.
    checkpointed: Option<i64>,
    warned: bool,
}

impl LogWatch {
    /// Looks, where it is time to, after something was written; warns once of a log that does not get smaller.
    pub(crate) fn look(&mut self, location: &Location, connection: &Connection) {
        let at = now();
        if self.next.is_some_and(|next| at < next) {
            return;
        }
        self.next = Some(at + INTERVAL);
        let large = look(&location.companion("-wal")).ok().flatten().is_some_and(|found| found.len() > LARGE_LOG);
        let state = if large { checkpoint(connection).ok() } else { None };
        match state {
            Some((log, done)) if done < log && self.checkpointed == Some(done) => {
                if !std::mem::replace(&mut self.warned, true)
                    && let Some(log) = LargeLog::at(location)
                {
                    tracing::warn!("{log}");
                }
            }
            // The next look shows whether it gets on.
            Some((log, done)) if done < log => self.checkpointed = Some(done),
            _ => (self.checkpointed, self.warned) = (None, false),
        }
    }
}

/// Puts into the file what can be without waiting for anybody: how long the log is, and how much of it is in the file now.
fn checkpoint(connection: &Connection) -> rusqlite::Result<(i64, i64)> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(1)?, row.get(2)?)))
}

/// The processes that have a transaction open now and had it a moment ago: those that only read in passing are gone by then.
fn readers(location: &Location) -> Vec<Reading> {
    let Some(index) = look(&location.companion("-shm")).ok().flatten().map(|found| Node::of(&found)) else {
        return Vec::new();
    };
    let before = read_locks(index);
    std::thread::sleep(Duration::from_millis(50));
    let mut pids: Vec<u32> = read_locks(index).into_iter().filter(|pid| before.contains(pid)).collect();
    pids.sort_unstable();
    pids.dedup();
    let comm = |pid| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_else(|_| "?".to_owned());
    pids.into_iter().map(|pid| Reading { pid, comm: comm(pid).trim_end().escape_debug().to_string() }).collect()
}

/// Who holds one of SQLite's read locks: bytes 123 to 127 of the log's index.
fn read_locks(index: Node) -> Vec<u32> {
    // Elsewhere than on Linux there is no such file, and nobody is known.
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let reader = |line: &str| {
        // `1: POSIX ADVISORY READ 4711 fe:00:1234 124 124`
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "POSIX", _, "READ", pid, file, first, _] = fields.as_slice() else { return None };
        let is_read_mark = first.parse().is_ok_and(|first: u64| (123..=127).contains(&first));
        (is_read_mark && index.is_named(file)).then(|| pid.parse().ok()).flatten()
    };
    locks.lines().filter_map(reader).collect()
}
