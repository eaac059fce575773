//! Where the file comes from: whether it is the one that was always here, or took the place of one that knew more.
//!
//! A file that was restored from a copy, and one that took the place of a file in use, may lack tenures which somebody was
//! promised. It says from which moment on it knows of all of them. Each time that happens begins a new generation; a row
//! whose tenure was granted in the present one proves that its key has been waited for.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tenure_base_sqlite::Birth;
use tenure_core::Time;

use crate::rows::Moment;
use crate::schema::ORIGIN;

/// What a file that may lack tenures knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// How often it has come back with an older state.
    pub(crate) generation: i64,
    /// Since when it knows of every tenure; `None` where it lacks none that could still last.
    pub(crate) complete_since: Option<Time>,
}

/// That a file has taken the place of the one that this process had open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// Of which by which, the same for all who had the former open; `None` where that cannot be said.
    pub(crate) words: Option<String>,
    /// When this process last answered out of the former, at the latest.
    pub(crate) used: Time,
}

impl Takeover {
    /// Whether another process has noted the same, after this one used the former for the last time. A copy of the file
    /// holds that note, too, but was born elsewhere; and where the file's log was removed since, it has another one.
    fn is_noted(&self, db: &Connection, birth: &Birth, boot_id: &str) -> rusqlite::Result<bool> {
        let Some(words) = &self.words else { return Ok(false) };
        let used = i64::try_from(self.used.as_nanos()).unwrap_or(i64::MAX);
        db.query_row(
            "SELECT count(*) FROM origin WHERE birth = ?1 AND boot_id = ?2 AND takeover = ?3 AND since_ns > ?4",
            params![birth.as_str(), boot_id, words, used],
            |row| row.get::<_, i64>(0),
        )
        .map(|count| count > 0)
    }
}

/// Takes note of the file that was just opened: which one it is, and that it may lack tenures where it is a copy, or was
/// `replacing` one that this process had open. Safe when many do so at once.
pub(crate) fn settle<'a>(
    connection: &mut Connection,
    birth: &Birth,
    replacing: Option<&Takeover>,
    now: impl FnOnce() -> (Time, &'a str),
) -> rusqlite::Result<()> {
    let (takeover, replacing) = (replacing, replacing.is_some());
    if !replacing && lasting(connection)? && born(connection)?.as_deref() == Some(birth.as_str()) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = lasting(&transaction)?;
    if !known {
        // Made by a version that did not ask: it may be a copy as well as not.
        transaction.execute_batch(ORIGIN)?;
    }
    let older = match born(&transaction)? {
        // Whoever made the file has not come so far yet, or has ended before.
        None => !known || replacing,
        Some(born) => born != birth.as_str() || replacing,
    };
    let (now, boot_id) = now();
    // What the replaced file has granted was granted before the first one noticed, who has begun the wait.
    let older =
        older && !(known && takeover.map_or(Ok(false), |takeover| takeover.is_noted(&transaction, birth, boot_id))?);
    transaction.execute("UPDATE origin SET birth = ?1", [birth.as_str()])?;
    if older {
        let since = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        transaction.execute(
            "UPDATE origin SET generation = generation + 1, since_ns = ?1, boot_id = ?2, takeover = ?3",
            params![since, boot_id, takeover.and_then(|takeover| takeover.words.as_deref())],
        )?;
    }
    transaction.commit()?;
    // A copy that leaves the log behind shows where it comes from, too. Where somebody reads meanwhile, it is done later.
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// What the file knows of itself; in the transaction of a claim.
pub(crate) fn read(db: &Connection, at: &Moment<'_>) -> rusqlite::Result<Origin> {
    db.prepare_cached("SELECT generation, since_ns, boot_id FROM origin")?.query_row([], |row| {
        let since = row.get::<_, Option<i64>>(1)?.and_then(|nanos| u64::try_from(nanos).ok());
        // What was promised in another boot is over.
        let this_boot = row.get_ref(2)?.as_str_or_null().ok().flatten() == Some(at.boot_id);
        Ok(Origin { generation: row.get(0)?, complete_since: since.filter(|_| this_boot).map(Time::from_nanos) })
    })
}

/// Whether the file has a place for all this: the first versions gave it none.
fn lasting(db: &Connection) -> rusqlite::Result<bool> {
    db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'origin'", [], |row| row.get::<_, i64>(0))
        .map(|count| count > 0)
}

fn born(db: &Connection) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT birth FROM origin", [], |row| row.get(0)).optional().map(Option::flatten)
}
