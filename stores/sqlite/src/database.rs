//! The store's file on the store's thread: written by transactions that know when it was replaced, or only read.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tenure_base_sqlite::{Birth, FileError, FileName, Incarnation, OpenFile, Opening, Reader, State, is_busy};
use tenure_core::Time;
use tenure_store::{StoreError, StoreErrorKind, StoreInfo};

use crate::clock::{MachineClock, wall_micros};
use crate::failure::{nothing_done, outcome_unknown, read_only};
use crate::origin::{self, Takeover};
use crate::rows::{self, Moment};
use crate::schema::FORMAT;

/// How sure a write must be before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// On the disk: claims and releases. A claim that a power failure takes back would give its term out twice.
    Full,
    /// In the system's hands: renewals. A power failure ends the boot, and with it every lease.
    Normal,
}

/// What a store is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To claim, renew and release; makes the file where it is missing.
    Write,
    /// To look, and to change nothing.
    Read,
}

/// The database of one store, on the store's own thread.
pub(crate) struct Database {
    name: FileName,
    clock: MachineClock,
    info: &'static StoreInfo,
    file: File,
    // How sure the open connection makes its commits.
    sync: Sync,
    swept: Option<Time>,
    // The file that was in use last. Another one in its place does not know what that one knew.
    last: Option<Last>,
    // The file that was in use last was found replaced, or its log removed.
    replaced: bool,
}

struct Last {
    birth: Birth,
    incarnation: Incarnation,
    used: Time,
}

enum File {
    /// `None` after a failure that the connection may not have survived, and after the file was replaced.
    Write(Option<OpenFile>),
    Read(Reader),
}

/// How a transaction failed.
enum TransactError {
    /// Before the commit, or the commit was refused: nothing was done.
    Undone(rusqlite::Error),
    /// In the commit: it may be on the disk.
    InDoubt(rusqlite::Error),
}
use TransactError::{InDoubt, Undone};

/// How often a call starts over because the file was replaced under it.
const REPLACED_TRIES: u32 = 3;

/// How often unused term records are looked for.
const SWEEP: Duration = Duration::from_secs(60 * 60);

impl Database {
    /// Opens the file, and creates it where it may; waits for other openers and writers until `deadline`.
    pub(crate) fn open(
        name: FileName,
        purpose: Purpose,
        clock: MachineClock,
        info: &'static StoreInfo,
        deadline: Time,
    ) -> Result<Self, StoreError> {
        let patience = deadline.since(clock.now());
        let file = File::Write(None);
        let mut database =
            Database { name, clock, info, file, sync: Sync::Full, swept: None, last: None, replaced: false };
        database.file = match purpose {
            Purpose::Write => {
                let open = |_| database.open_anew(deadline.since(database.clock.now())).transpose();
                let opened = (0..REPLACED_TRIES).find_map(open);
                File::Write(Some(opened.unwrap_or_else(|| Err(nothing_done(FileError::replaced(&database.name))))?))
            }
            Purpose::Read => {
                let mut reader = Reader::new(database.name.clone(), &FORMAT);
                reader.read(patience, |_| Ok(())).map_err(nothing_done)?;
                File::Read(reader)
            }
        };
        Ok(database)
    }

    /// A write that starts over in the new file when the name leads to one: for claims and releases.
    pub(crate) fn write<T>(
        &mut self,
        deadline: Time,
        mut act: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        for _ in 0..REPLACED_TRIES {
            if let Some(value) = self.write_once(Sync::Full, deadline, &mut act)? {
                return Ok(value);
            }
        }
        let message = format!("sqlite:{} is being replaced again and again; find out by whom", self.name);
        Err(StoreError::new(StoreErrorKind::Unavailable, message))
    }

    /// One write transaction. `None` where the name does not lead to the open file (any more): what was written is in a
    /// file that nobody else will see, and the next call opens the new one.
    pub(crate) fn write_once<T>(
        &mut self,
        sync: Sync,
        deadline: Time,
        act: &mut impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let sweep = self.sweep_due();
        let patience = deadline.since(self.clock.now());
        let Some(open) = self.current(patience)? else { return Ok(None) };
        let switch = (std::mem::replace(&mut self.sync, sync) != sync).then_some(sync);
        let outcome = open.with(deadline.since(self.clock.now()), |connection| {
            transact(
                connection,
                switch,
                || self.moment(),
                |connection, at| {
                    let value = act(connection, at)?;
                    if sweep {
                        rows::drop_unused(connection, at)?;
                    }
                    Ok(value)
                },
            )
        });
        match outcome {
            // Another part of this process found it replaced.
            None => {
                self.replaced = true;
                Ok(None)
            }
            // It was written where nobody will look, or failed because of that.
            Some(Ok(_) | Err(Undone(_))) if open.state() == State::Replaced => {
                self.retire(open);
                self.take_over(deadline.since(self.clock.now()));
                Ok(None)
            }
            Some(Ok(value)) => {
                if let Some(last) = &mut self.last {
                    last.used = self.clock.now();
                }
                if sweep {
                    self.swept = Some(self.clock.now());
                }
                self.keep(open);
                Ok(Some(value))
            }
            Some(Err(Undone(error))) => Err(self.failed(open, error)),
            Some(Err(InDoubt(error))) => Err(outcome_unknown(&self.name, error)),
        }
    }

    /// Reads one consistent state; what there is in an empty file is the default.
    pub(crate) fn read<T: Default>(
        &mut self,
        deadline: Time,
        mut act: impl FnMut(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let patience = deadline.since(self.clock.now());
        let moment = || moment(&self.clock, self.info);
        if let File::Read(reader) = &mut self.file {
            let read = reader.read(patience, |connection| act(connection, &moment()));
            return read.map(Option::unwrap_or_default).map_err(nothing_done);
        }
        for _ in 0..REPLACED_TRIES {
            let Some(open) = self.current(patience)? else { continue };
            match open.with(patience, |connection| act(connection, &self.moment())) {
                None => self.replaced = true,
                Some(Err(_)) if open.state() == State::Replaced => self.retire(open),
                Some(Ok(value)) => {
                    self.keep(open);
                    return Ok(value);
                }
                Some(Err(error)) => return Err(self.failed(open, error)),
            }
        }
        Err(nothing_done(FileError::replaced(&self.name)))
    }

    /// Takes the open file, opened anew where it has to be; `None` where it was found replaced. A file with a second name
    /// is not used, for whoever opens that shares no lock with us.
    fn current(&mut self, patience: Duration) -> Result<Option<OpenFile>, StoreError> {
        let File::Write(open) = &mut self.file else { return Err(read_only(&self.name)) };
        let file = match open.take() {
            Some(file) => file,
            None => match self.open_anew(patience)? {
                Some(file) => file,
                None => return Ok(None),
            },
        };
        match file.state() {
            State::Current => Ok(Some(file)),
            State::Replaced => {
                self.retire(file);
                self.take_over(patience);
                Ok(None)
            }
            State::Linked => {
                let error = nothing_done(file.linked());
                self.keep(file);
                Err(error)
            }
        }
    }

    /// Opens the file, and takes note of which one it is; `None` where it was replaced meanwhile.
    fn open_anew(&mut self, patience: Duration) -> Result<Option<OpenFile>, StoreError> {
        self.sync = Sync::Full;
        let file = open(&self.name, patience)?;
        let Some(birth) = file.birth() else {
            self.retire(file);
            return Ok(None);
        };
        let incarnation = file.incarnation();
        let takeover = self.takeover(&birth, &incarnation);
        let now = || (self.clock.now(), self.clock.boot_id());
        match file.with(patience, |connection| origin::settle(connection, &birth, takeover.as_ref(), now)) {
            None => Ok(None),
            Some(Err(error)) => Err(nothing_done(FileError::of(&self.name, error))),
            Some(Ok(())) => {
                self.last = Some(Last { birth, incarnation, used: self.clock.now() });
                self.replaced = false;
                Ok(Some(file))
            }
        }
    }

    /// Whether the file that was opened takes the place of the one that was in use last.
    fn takeover(&self, birth: &Birth, incarnation: &Incarnation) -> Option<Takeover> {
        let last = self.last.as_ref();
        let replaced = self.replaced || last.is_some_and(|last| last.birth != *birth);
        replaced.then(|| Takeover {
            words: last.and_then(|last| last.incarnation.replaced_by(incarnation)),
            used: last.map_or(Time::ZERO, |last| last.used),
        })
    }

    /// Opens what took the place of the file, so that whoever opens it next finds it marked. What fails here is tried again
    /// by the next call.
    fn take_over(&mut self, patience: Duration) {
        if let Ok(Some(file)) = self.open_anew(patience) {
            self.keep(file);
        }
    }

    /// Closes a file that was replaced. What takes its place does not know what it knew.
    fn retire(&mut self, file: OpenFile) {
        file.retire();
        self.replaced = true;
    }

    /// Busy means that nothing happened to the connection; after another failure it is made anew.
    fn failed(&mut self, open: OpenFile, error: rusqlite::Error) -> StoreError {
        if is_busy(&error) {
            self.keep(open);
        }
        nothing_done(FileError::of(&self.name, error))
    }

    fn keep(&mut self, open: OpenFile) {
        self.file = File::Write(Some(open));
    }

    fn moment(&self) -> Moment<'_> {
        moment(&self.clock, self.info)
    }

    fn sweep_due(&self) -> bool {
        self.swept.is_none_or(|swept| self.clock.now().since(swept) >= SWEEP)
    }
}

fn moment<'a>(clock: &'a MachineClock, info: &'a StoreInfo) -> Moment<'a> {
    Moment { now: clock.now(), boot_id: clock.boot_id(), wall_micros: wall_micros(), info }
}

/// Opens the file to write, and makes it and its tables where they are missing. Safe when many do so at once.
fn open(name: &FileName, patience: Duration) -> Result<OpenFile, StoreError> {
    let prepare = |connection: &Connection| {
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
        connection.set_prepared_statement_cache_capacity(32);
        Ok(())
    };
    OpenFile::open(&Opening { name, format: &FORMAT, create: true, prepare: &prepare, patience }).map_err(nothing_done)
}

/// One write transaction: the lock, then the time, once nobody else can write, then the steps and the commit.
fn transact<'a, T>(
    connection: &mut Connection,
    switch: Option<Sync>,
    moment: impl FnOnce() -> Moment<'a>,
    act: impl FnOnce(&Connection, &Moment<'_>) -> rusqlite::Result<T>,
) -> Result<T, TransactError> {
    if let Some(sync) = switch {
        let level = match sync {
            Sync::Full => "FULL",
            Sync::Normal => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", level).map_err(Undone)?;
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Undone)?;
    let value = act(&transaction, &moment()).map_err(Undone)?;
    transaction.commit().map_err(|error| if is_busy(&error) { Undone(error) } else { InDoubt(error) })?;
    Ok(value)
}
