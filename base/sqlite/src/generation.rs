//! Where a file comes from: whether it is the one that was always here, or took the place of one that knew more.
//!
//! A file that was restored from a copy, and one that took the place of a file in use, may lack what was answered out of the
//! other. It says from which moment on it knows of everything. Each time that happens begins a new generation; a row that
//! was written in the present one proves that its writer knew of it.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tenure_base_time::{MachineClock, Time};

use crate::failure::FileError;
use crate::format::Format;
use crate::identity::{Birth, Incarnation};
use crate::name::FileName;
use crate::open_file::OpenFile;

/// How a file notes its generations. Its format has the table `origin` for that, of one row: `birth` (text), `generation`
/// (integer), `since_ns` (integer), `boot_id` (text) and `takeover` (text); all but the generation are null at first.
#[derive(Clone, Debug)]
pub struct GenerationNotes {
    /// The clock that `since_ns` is of.
    pub clock: MachineClock,
    /// Makes every table of the format that the file lacks, `origin` among them, which a file of the first versions lacks as
    /// well; its number is then that of the highest generation that a row names.
    pub complete: fn(&Connection) -> rusqlite::Result<()>,
}

/// What a file that may lack something knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// How often it has come back with an older state.
    pub number: i64,
    /// Since when it knows of everything, on the machine's clock; `None` where it lacks nothing of this boot.
    pub complete_since: Option<Time>,
}

impl Generation {
    /// What the file knows of itself; in the transaction that depends on it. What another boot lacked is over.
    pub fn read(db: &Connection, boot_id: &str) -> rusqlite::Result<Generation> {
        db.prepare_cached("SELECT generation, since_ns, boot_id FROM origin")?.query_row([], |row| {
            let since = row.get::<_, Option<i64>>(1)?.and_then(|nanos| u64::try_from(nanos).ok());
            let this_boot = row.get_ref(2)?.as_str_or_null().ok().flatten() == Some(boot_id);
            Ok(Generation { number: row.get(0)?, complete_since: since.filter(|_| this_boot).map(Time::from_nanos) })
        })
    }
}

/// Tells a file that took the place of the one that this process had open, and notes it in the file.
#[derive(Debug)]
pub(crate) struct Generations {
    notes: GenerationNotes,
    // The file that was in use last. Another one in its place does not know what that one knew.
    last: Option<Last>,
    // The file that was in use last was found replaced, or its log removed.
    replaced: bool,
}

#[derive(Debug)]
struct Last {
    birth: Birth,
    incarnation: Incarnation,
    used: Time,
}

/// That a file has taken the place of the one that this process had open.
struct Takeover {
    /// Of which by which, the same for all who had the former open; `None` where that cannot be said.
    words: Option<String>,
    /// When this process last answered out of the former, at the latest.
    used: Time,
}

impl Generations {
    pub(crate) fn new(notes: GenerationNotes) -> Generations {
        Generations { notes, last: None, replaced: false }
    }

    /// An answer was given out of the open file.
    pub(crate) fn used(&mut self) {
        if let Some(last) = &mut self.last {
            last.used = self.notes.clock.now();
        }
    }

    /// The open file was found replaced.
    pub(crate) fn replaced(&mut self) {
        self.replaced = true;
    }

    /// Makes anew the tables that somebody has dropped, and begins a new generation where there are any: what was answered out
    /// of them may still be believed in. Answers which; `None` where the file was replaced meanwhile. Safe when many do so at
    /// once: the first one has made them.
    pub(crate) fn remake(
        &self,
        file: &OpenFile,
        format: &Format,
        wait: Duration,
    ) -> Option<rusqlite::Result<Vec<&'static str>>> {
        file.with(wait, |connection| {
            if format.missing(connection)?.is_empty() {
                return Ok(Vec::new());
            }
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let missing = format.missing(&transaction)?;
            if !missing.is_empty() {
                (self.notes.complete)(&transaction)?;
                begin(&transaction, &self.notes.clock, None)?;
            }
            transaction.commit()?;
            Ok(missing)
        })
    }

    /// Takes note of the file that was just opened: which one it is, and that it may lack something where it is a copy, or
    /// took the place of one that this process had open. Safe when many do so at once. `false` where the file was replaced
    /// meanwhile.
    pub(crate) fn note(&mut self, file: &OpenFile, name: &FileName, wait: Duration) -> Result<bool, FileError> {
        let Some(birth) = file.birth() else { return Ok(false) };
        let incarnation = file.incarnation();
        let takeover = self.takeover(&birth, &incarnation);
        match file.with(wait, |connection| note(connection, &birth, takeover.as_ref(), &self.notes)) {
            None => Ok(false),
            Some(Err(error)) => Err(FileError::of(name, error)),
            Some(Ok(())) => {
                self.last = Some(Last { birth, incarnation, used: self.notes.clock.now() });
                self.replaced = false;
                Ok(true)
            }
        }
    }

    fn takeover(&self, birth: &Birth, incarnation: &Incarnation) -> Option<Takeover> {
        let last = self.last.as_ref();
        let replaced = self.replaced || last.is_some_and(|last| last.birth != *birth);
        replaced.then(|| Takeover {
            words: last.and_then(|last| last.incarnation.replaced_by(incarnation)),
            used: last.map_or(Time::ZERO, |last| last.used),
        })
    }
}

impl Takeover {
    /// Whether another process has noted the same, after this one used the former for the last time. A copy of the file
    /// holds that note, too, but was born elsewhere; and where the file's log was removed since, it has another one.
    fn is_noted(&self, db: &Connection, birth: &Birth, boot_id: &str) -> rusqlite::Result<bool> {
        let Some(words) = &self.words else { return Ok(false) };
        db.query_row(
            "SELECT count(*) FROM origin WHERE birth = ?1 AND boot_id = ?2 AND takeover = ?3 AND since_ns > ?4",
            params![birth.as_str(), boot_id, words, nanos(self.used)],
            |row| row.get::<_, i64>(0),
        )
        .map(|count| count > 0)
    }
}

fn note(
    connection: &mut Connection,
    birth: &Birth,
    takeover: Option<&Takeover>,
    notes: &GenerationNotes,
) -> rusqlite::Result<()> {
    if takeover.is_none() && has_table(connection)? && born(connection)?.as_deref() == Some(birth.as_str()) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = has_table(&transaction)?;
    if !known {
        // Made by a version that did not ask: it may be a copy as well as not.
        (notes.complete)(&transaction)?;
    }
    let older = match born(&transaction)? {
        // Whoever made the file has not come so far yet, or has ended before.
        None => !known || takeover.is_some(),
        Some(born) => born != birth.as_str() || takeover.is_some(),
    };
    let boot_id = notes.clock.boot_id();
    // What the replaced file has answered was answered before the first one noticed, who has begun the generation.
    let older =
        older && !(known && takeover.map_or(Ok(false), |takeover| takeover.is_noted(&transaction, birth, boot_id))?);
    transaction.execute("UPDATE origin SET birth = ?1", [birth.as_str()])?;
    if older {
        begin(&transaction, &notes.clock, takeover.and_then(|takeover| takeover.words.as_deref()))?;
    }
    transaction.commit()?;
    // A copy that leaves the log behind shows where it comes from, too. Where somebody reads meanwhile, it is done later.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Begins a generation: from now on the file knows of everything.
fn begin(db: &Connection, clock: &MachineClock, takeover: Option<&str>) -> rusqlite::Result<usize> {
    db.execute(
        "UPDATE origin SET generation = generation + 1, since_ns = ?1, boot_id = ?2, takeover = ?3",
        params![nanos(clock.now()), clock.boot_id(), takeover],
    )
}

fn nanos(at: Time) -> i64 {
    i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)
}

/// Whether the file has a place for all this: the first versions gave it none.
fn has_table(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'origin'", [], |row| row.get::<_, i64>(0))
        .map(|count| count > 0)
}

fn born(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT birth FROM origin", [], |row| row.get(0)).optional().map(Option::flatten)
}
