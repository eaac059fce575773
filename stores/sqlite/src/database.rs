//! The store's file on the store's thread: written beside others, or only read; each step is told when it happens.

use std::time::Duration;

use rusqlite::Connection;
use tenure_base_sqlite::{
    Durability, FileError, FileErrorKind, FileName, GenerationNotes, Reader, Writer, WriterOptions,
};
use tenure_base_time::{MachineClock, Time, now, unix_micros};

use crate::rows::{self, Moment};
use crate::schema::{self, FORMAT};

/// The database of one store, on the store's own thread.
pub(crate) struct Database {
    name: FileName,
    clock: MachineClock,
    file: File,
    // When unused term records were last looked for.
    swept: Option<Time>,
}

enum File {
    Write(Box<Writer>),
    Read(Box<Reader>),
}

/// How often a write starts over because the file was replaced under it.
const REPLACED_TRIES: u32 = 3;

/// How often unused term records are looked for.
const SWEEP: Duration = Duration::from_secs(60 * 60);

impl Database {
    /// Opens the file to claim, renew and release, and makes it where it is missing; waits so long for other openers and
    /// writers.
    pub(crate) fn open(name: FileName, clock: MachineClock, wait: Duration) -> Result<Self, FileError> {
        let generations = Some(GenerationNotes { clock: clock.clone(), complete: schema::complete });
        let options = WriterOptions { format: &FORMAT, prepare, create: true, recreate: true, generations };
        let writer = Writer::open(name.clone(), options, wait)?;
        Ok(Database { name, clock, file: File::Write(Box::new(writer)), swept: None })
    }

    /// Opens a file that is there to look at it, and to change nothing.
    pub(crate) fn open_to_read(name: FileName, clock: MachineClock, wait: Duration) -> Result<Self, FileError> {
        let mut reader = Reader::new(name.clone(), &FORMAT);
        reader.read(wait, |_| Ok(()))?;
        Ok(Database { name, clock, file: File::Read(Box::new(reader)), swept: None })
    }

    /// A write that starts over in the new file when the name leads to one: for claims and releases. It is on the disk before
    /// it is answered: a claim that a power failure takes back would give its term out twice.
    pub(crate) fn write<T>(
        &mut self,
        wait: Duration,
        mut step: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, FileError> {
        let deadline = now() + wait;
        for _ in 0..REPLACED_TRIES {
            if let Some(value) = self.write_once(Durability::Disk, deadline.since(now()), &mut step)? {
                return Ok(value);
            }
        }
        Err(FileError::replaced(&self.name))
    }

    /// One write transaction: the lock, then the time, once nobody else can write, then the step. `None` where the name does
    /// not lead to the open file (any more): what was written is in a file that nobody else will see, and the next call opens
    /// the new one.
    pub(crate) fn write_once<T>(
        &mut self,
        durability: Durability,
        wait: Duration,
        mut step: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, FileError> {
        let File::Write(writer) = &mut self.file else {
            let what = "this store was opened to be read; open it to write";
            return Err(FileError::at(&self.name, FileErrorKind::Denied, what));
        };
        let sweep = self.swept.is_none_or(|swept| self.clock.now().since(swept) >= SWEEP);
        let written = writer.transact(durability, wait, |db| {
            let at = moment(&self.clock);
            let value = step(db, &at)?;
            if sweep {
                rows::drop_unused(db, &at)?;
            }
            Ok(value)
        })?;
        if sweep && written.is_some() {
            self.swept = Some(self.clock.now());
        }
        Ok(written)
    }

    /// Reads one consistent state; what there is in an empty file is the default.
    pub(crate) fn read<T: Default>(
        &mut self,
        wait: Duration,
        mut step: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, FileError> {
        let step = |db: &Connection| step(db, &moment(&self.clock));
        match &mut self.file {
            File::Write(writer) => writer.read(wait, step),
            File::Read(reader) => Ok(reader.read(wait, step)?.unwrap_or_default()),
        }
    }
}

fn moment(clock: &MachineClock) -> Moment<'_> {
    Moment { now: clock.now(), boot_id: clock.boot_id(), wall_micros: unix_micros(), granting: None }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}
