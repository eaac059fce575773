//! A file that is written: opened with the first use, and anew whenever it was replaced.

use std::fmt;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::failure::{FileError, is_busy};
use crate::format::Format;
use crate::generation::{GenerationNotes, Generations};
use crate::lock_deadline::LockDeadline;
use crate::log_growth::LogWatch;
use crate::name::FileName;
use crate::open_file::{OpenFile, Opening, State};

/// How a [`Writer`] opens its file.
pub struct WriterOptions {
    /// The sort that the file is to be.
    pub format: &'static Format,
    /// What each connection is told once it is open.
    pub prepare: fn(&Connection) -> rusqlite::Result<()>,
    /// Whether [`Writer::open`] makes the file where there is none.
    pub create: bool,
    /// Whether it is made anew where there is none any more.
    pub recreate: bool,
    /// For a file that notes where it comes from ([`crate::Generation`]).
    pub generations: Option<GenerationNotes>,
}

/// How sure a commit is before it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk: one fsync.
    Disk,
    /// It is in the system's hands. It outlives the process, not a power failure.
    System,
}

/// A file that is written by one process beside others.
///
/// Every use asks whether the name still leads to the open file: what is written into one that was moved, removed or
/// replaced, or whose log was, nobody else will see.
pub struct Writer {
    name: FileName,
    options: WriterOptions,
    // `None` after a failure that the connection may not have survived, and after the file was replaced.
    open: Option<OpenFile>,
    // How sure the open connection makes its commits; `None` where it was not told yet.
    durability: Option<Durability>,
    generations: Option<Generations>,
    log: LogWatch,
}

/// How a transaction failed.
enum TransactError {
    /// Before the commit, or the commit was refused: nothing was done.
    Undone(rusqlite::Error),
    /// In the commit: it may be on the disk.
    InDoubt(rusqlite::Error),
}
use TransactError::{InDoubt, Undone};

/// How often an opening or a look starts over because the file was replaced under it.
const REPLACED_TRIES: u32 = 3;

impl Writer {
    /// Opens the file, and makes it where it is told to; waits so long for other openers and writers.
    pub fn open(name: FileName, options: WriterOptions, wait: Duration) -> Result<Writer, FileError> {
        let generations = options.generations.clone().map(Generations::new);
        let create = options.create;
        let mut writer = Writer { name, options, open: None, durability: None, generations, log: LogWatch::default() };
        let deadline = LockDeadline::new(wait);
        for _ in 0..REPLACED_TRIES {
            if writer.open_anew(create, &deadline)? {
                return Ok(writer);
            }
        }
        Err(FileError::replaced(&writer.name))
    }

    /// The file's name.
    pub fn name(&self) -> &FileName {
        &self.name
    }

    /// One write transaction: the lock, the step, the commit. An error leaves nothing done, but for one in the commit itself,
    /// which may count all the same ([`crate::FileErrorKind::OutcomeUnknown`]).
    ///
    /// `None` where the name does not lead to the open file (any more): if anything was written, it is in a file that nobody
    /// else will see, and the next call uses the new one.
    pub fn transact<T>(
        &mut self,
        durability: Durability,
        wait: Duration,
        step: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, FileError> {
        let deadline = LockDeadline::new(wait);
        let Some(open) = self.current(&deadline)? else { return Ok(None) };
        let switch = (self.durability.replace(durability) != Some(durability)).then_some(durability);
        let outcome = open.with(deadline.left(), |connection| transact(connection, switch, step));
        if !matches!(outcome, Some(Ok(_))) {
            // The switch may have been what failed: the next transaction makes it again.
            self.durability = None;
        }
        match outcome {
            // Another part of this process found it replaced.
            None => {
                self.was_replaced();
                Ok(None)
            }
            // It was written where nobody will look, or failed because of that.
            Some(Ok(_) | Err(Undone(_))) if open.state() == State::Replaced => {
                self.replace(open, &deadline);
                Ok(None)
            }
            Some(Ok(value)) => {
                if let Some(generations) = &mut self.generations {
                    generations.used();
                }
                open.look_at_log(&mut self.log);
                self.open = Some(open);
                Ok(Some(value))
            }
            // As if the file were another one: what it knew it knows no more.
            Some(Err(Undone(error))) if self.makes_anew(&error) => {
                drop(open);
                self.open_anew(self.options.recreate, &deadline)?;
                Ok(None)
            }
            Some(Err(Undone(error))) => Err(self.failed(open, error)),
            Some(Err(InDoubt(error))) => Err(FileError::in_doubt(&self.name, error)),
        }
    }

    /// Reads, without a lock that others wait for.
    pub fn read<T>(
        &mut self,
        wait: Duration,
        mut act: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, FileError> {
        let deadline = LockDeadline::new(wait);
        for _ in 0..REPLACED_TRIES {
            let Some(open) = self.current(&deadline)? else { continue };
            match open.with(wait, |connection| act(connection)) {
                None => self.was_replaced(),
                Some(Err(_)) if open.state() == State::Replaced => self.retire(open),
                Some(Err(error)) if self.makes_anew(&error) => {}
                Some(Ok(value)) => {
                    self.open = Some(open);
                    return Ok(value);
                }
                Some(Err(error)) => return Err(self.failed(open, error)),
            }
        }
        Err(FileError::replaced(&self.name))
    }

    /// Takes the open file, opened anew where it has to be; `None` where it was found replaced. A file with a second name
    /// is not used, for whoever opens that shares no lock with us.
    fn current(&mut self, deadline: &LockDeadline) -> Result<Option<OpenFile>, FileError> {
        if self.open.is_none() && !self.open_anew(self.options.recreate, deadline)? {
            return Ok(None);
        }
        let Some(open) = self.open.take() else { return Ok(None) };
        match open.state() {
            State::Current => Ok(Some(open)),
            State::Replaced => {
                self.replace(open, deadline);
                Ok(None)
            }
            State::Linked => {
                let error = open.linked();
                self.open = Some(open);
                Err(error)
            }
        }
    }

    /// Opens the file, and takes note of which one it is; `false` where it was replaced meanwhile.
    fn open_anew(&mut self, create: bool, deadline: &LockDeadline) -> Result<bool, FileError> {
        self.durability = None;
        let WriterOptions { format, prepare, .. } = self.options;
        let file =
            OpenFile::open(&Opening { name: &self.name, format, create, prepare: &prepare, wait: deadline.left() })?;
        match &self.generations {
            Some(generations) => match generations.remake(&file, format, deadline.left()) {
                Some(Ok(made)) if made.is_empty() => {}
                Some(Ok(made)) => tracing::warn!(
                    "sqlite:{}: its {} dropped by somebody, and made anew: what was held is lost, and nothing is granted for as \
                     long as it may still be believed in",
                    self.name,
                    told(&made)
                ),
                Some(Err(error)) => return Err(format.failure(&self.name, error)),
                None => {
                    self.retire(file);
                    return Ok(false);
                }
            },
            None => match file.with(deadline.left(), |connection| format.missing(connection)) {
                Some(Ok(missing)) => {
                    if let Some(table) = missing.first() {
                        return Err(format.dropped(&self.name, table));
                    }
                }
                Some(Err(error)) => return Err(format.failure(&self.name, error)),
                None => {
                    self.retire(file);
                    return Ok(false);
                }
            },
        }
        if let Some(generations) = &mut self.generations
            && !generations.note(&file, &self.name, deadline.left())?
        {
            self.retire(file);
            return Ok(false);
        }
        self.open = Some(file);
        Ok(true)
    }

    /// Closes a file that was replaced, and opens what took its place, so that whoever opens that next finds it marked. What
    /// fails here is tried again by the next call.
    fn replace(&mut self, file: OpenFile, deadline: &LockDeadline) {
        self.retire(file);
        let _ = self.open_anew(self.options.recreate, deadline);
    }

    fn retire(&mut self, file: OpenFile) {
        file.retire();
        self.was_replaced();
    }

    fn was_replaced(&mut self) {
        if let Some(generations) = &mut self.generations {
            generations.replaced();
        }
    }

    /// Where others had it locked, or the disk is full, nothing happened to the connection; after another failure it is made
    /// anew.
    fn failed(&mut self, open: OpenFile, error: rusqlite::Error) -> FileError {
        if is_busy(&error) || error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            self.open = Some(open);
        }
        self.options.format.failure(&self.name, error)
    }

    /// Whether the next opening makes anew what this failure misses.
    fn makes_anew(&self, error: &rusqlite::Error) -> bool {
        self.generations.is_some() && self.options.format.lacked(error).is_some()
    }
}

/// The tables, as the subject of a sentence, with its verb.
fn told(tables: &[&str]) -> String {
    match tables {
        [one] => format!("table {one} was"),
        several => format!("tables {} were", several.join(" and ")),
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("name", &self.name).finish_non_exhaustive()
    }
}

fn transact<T>(
    connection: &mut Connection,
    switch: Option<Durability>,
    step: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<T, TransactError> {
    if let Some(durability) = switch {
        let level = match durability {
            Durability::Disk => "FULL",
            Durability::System => "NORMAL",
        };
        connection.pragma_update(None, "synchronous", level).map_err(Undone)?;
    }
    // Prepared, for these two are said with every transaction.
    let say = |sql| connection.prepare_cached(sql)?.execute([]);
    say("BEGIN IMMEDIATE").map_err(Undone)?;
    let done = step(connection).map_err(Undone).and_then(|value| match say("COMMIT") {
        Ok(_) => Ok(value),
        Err(error) if is_busy(&error) => Err(Undone(error)),
        Err(error) => Err(InDoubt(error)),
    });
    if done.is_err() && !connection.is_autocommit() {
        // Where this fails too, the next use of the connection says so.
        let _ = connection.execute_batch("ROLLBACK");
    }
    done
}
