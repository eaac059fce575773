//! Slots as rows of the table `lease`, and the steps of the verbs on them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};
use tenure_base_sqlite::Generation;
use tenure_store::{
    Answers, Bound, Change, Claim, ClaimTime, Claimed, Ends, Held, HolderId, KeyPrefix, LeaseKey, LeaseRecord,
    LeaseTable, Note, Occupant, RecordFormat, Released, Renewed, Slot, StoreError, Tenure, Term, Time, check_ttl,
    foreign,
};

use crate::info::INFO;
use crate::schema;

/// What a step needs to know besides its row: read once a transaction, after its lock was got.
pub(crate) struct Moment<'a> {
    /// Now, on the machine's clock.
    pub(crate) now: Time,
    /// The boot that clock counts from.
    pub(crate) boot_id: &'a str,
    /// The wall clock, for terms and housekeeping.
    pub(crate) wall_micros: u64,
    /// The generation of the file that grants, where something is claimed.
    pub(crate) granting: Option<Generation>,
}

/// The format of a row whose tenure is bound. Versions that know of none read another one than their own as a record that
/// counts as held, and leave it alone; what they would make of it otherwise is a lease that has ended.
const BOUND_FORMAT: u32 = 2;

/// The claims, each in its own step of one transaction.
pub(crate) fn acquire(db: &Connection, at: &Moment<'_>, claims: &[Claim]) -> rusqlite::Result<Answers<Claimed>> {
    let generation = Generation::read(db, at.boot_id)?;
    let moment = ClaimTime { now: at.now, clock_micros: at.wall_micros, complete_since: generation.complete_since };
    let at = &Moment { granting: Some(generation), ..*at };
    if claims.iter().any(|claim| claim.bound.is_some()) {
        schema::make_bindable(db)?;
    }
    let step = |claim: &Claim| {
        step(db, at, &claim.key, |slot| {
            check_ttl(&INFO, &claim.key, claim.ttl)?;
            slot.acquire(moment, claim)
        })
    };
    claims.iter().map(step).collect()
}

/// The renewals, each in its own step of one transaction.
pub(crate) fn renew(db: &Connection, at: &Moment<'_>, held: &[Held]) -> rusqlite::Result<Answers<Renewed>> {
    let step = |held: &Held| {
        step(db, at, &held.key, |slot| {
            check_ttl(&INFO, &held.key, held.ttl)?;
            Ok(slot.renew(at.now, held))
        })
    };
    held.iter().map(step).collect()
}

/// The releases, each in its own step of one transaction.
pub(crate) fn release(db: &Connection, at: &Moment<'_>, held: &[Held]) -> rusqlite::Result<Answers<Released>> {
    held.iter().map(|held| step(db, at, &held.key, |slot| Ok(slot.release(held)))).collect()
}

/// Loads the slot of a key, does something to it, and writes it back where that has changed it.
fn step<T>(
    db: &Connection,
    at: &Moment<'_>,
    key: &LeaseKey,
    act: impl FnOnce(&mut Slot) -> Result<(T, Change), StoreError>,
) -> rusqlite::Result<Result<T, StoreError>> {
    let mut slot = load(db, at, key)?.unwrap_or_default();
    let before = bound(&slot).cloned();
    match act(&mut slot) {
        Ok((answer, change)) => {
            save(db, at, key, &slot, change)?;
            bind(db, key, before.as_ref(), bound(&slot))?;
            Ok(Ok(answer))
        }
        Err(error) => Ok(Err(error)),
    }
}

/// The leases under a prefix that are held now, by key.
pub(crate) fn list(db: &Connection, at: &Moment<'_>, prefix: &KeyPrefix) -> rusqlite::Result<Vec<LeaseRecord>> {
    let mut records = Vec::new();
    // A file in which nothing was ever bound lacks columns.
    scan(db, "lease", "*", prefix, |row| {
        // A key that cannot be read was not written by this code; nobody can name it.
        if let Some(key) = text(row, "key").and_then(|key| LeaseKey::new(key).ok()) {
            records.extend(slot(row, at).record(at.now, &key));
        }
    })?;
    Ok(records)
}

/// The term of the key's last tenure, held or over.
pub(crate) fn last_term(db: &Connection, at: &Moment<'_>, key: &LeaseKey) -> rusqlite::Result<Option<Term>> {
    Ok(load(db, at, key)?.and_then(|slot| slot.term))
}

/// Reads the rows of a table under a prefix, by key. A key range serves, as keys compare by their bytes; no byte of UTF-8 is 0xff, so
/// the last byte of the prefix can be counted up.
pub(crate) fn scan(
    db: &Connection,
    table: &str,
    columns: &str,
    prefix: &KeyPrefix,
    mut visit: impl FnMut(&Row<'_>),
) -> rusqlite::Result<()> {
    let mut end = prefix.as_str().as_bytes().to_vec();
    let bounded = end.last_mut().map(|last| *last += 1).is_some();
    let upper = if bounded { "AND key < CAST(?2 AS TEXT)" } else { "AND ?2 IS NOT NULL" };
    let sql = format!("SELECT {columns} FROM {table} WHERE key >= ?1 {upper} ORDER BY key");
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![prefix.as_str(), end])?;
    while let Some(row) = rows.next()? {
        visit(row);
    }
    Ok(())
}

/// Asks the holder to resign; `false` where nobody holds the key.
pub(crate) fn request_resign(db: &Connection, at: &Moment<'_>, key: &LeaseKey) -> rusqlite::Result<bool> {
    let mut slot = load(db, at, key)?.unwrap_or_default();
    let asked = slot.request_resign(at.now);
    if asked {
        save(db, at, key, &slot, Change::Extended)?;
    }
    Ok(asked)
}

/// Deletes a lease by force and keeps the term record; a foreign record goes altogether. Answers what stood there.
pub(crate) fn remove(db: &Connection, at: &Moment<'_>, key: &LeaseKey) -> rusqlite::Result<Option<LeaseRecord>> {
    let Some(mut slot) = load(db, at, key)? else { return Ok(None) };
    let foreign = matches!(slot.tenure, Occupant::Foreign { .. });
    // What has run out goes too, so that its own late release changes nothing.
    let occupied = slot.tenure != Occupant::Nobody;
    let before = bound(&slot).cloned();
    let stood = slot.remove(at.now, key);
    bind(db, key, before.as_ref(), None)?;
    if foreign {
        db.prepare_cached("DELETE FROM lease WHERE key = ?1")?.execute([key.as_str()])?;
    } else if occupied {
        save(db, at, key, &slot, Change::ChangedHands)?;
    }
    Ok(stood)
}

/// Drops the term records of keys that nobody holds and nobody used for seven days by the wall clock.
pub(crate) fn drop_unused(db: &Connection, at: &Moment<'_>) -> rusqlite::Result<usize> {
    let keep = u64::try_from(LeaseTable::KEEP_UNUSED.as_micros()).unwrap_or(u64::MAX);
    let before = at.wall_micros.saturating_sub(keep);
    db.execute(
        "DELETE FROM lease WHERE format = ?1 AND touched_micros < ?2
            AND (holder IS NULL OR boot_id <> ?3 OR expires_ns <= ?4)",
        params![Slot::FORMAT, signed(before), at.boot_id, signed(at.now.as_nanos())],
    )
}

fn load(db: &Connection, at: &Moment<'_>, key: &LeaseKey) -> rusqlite::Result<Option<Slot>> {
    const SQL: &str = "SELECT * FROM lease WHERE key = ?1";
    db.prepare_cached(SQL)?.query_row([key.as_str()], |row| Ok(slot(row, at))).optional()
}

/// Reads a row. What this code would not have written is foreign: it counts as held, and nothing touches it.
fn slot(row: &Row<'_>, at: &Moment<'_>) -> Slot {
    let version = row.get::<_, i64>("format").ok().and_then(|format| u32::try_from(format).ok());
    let known = version.filter(|version| [Slot::FORMAT, BOUND_FORMAT].contains(version));
    if let Some(slot) = known.and_then(|version| ours(row, at, version)) {
        return slot;
    }
    let newer = version.filter(|version| *version > BOUND_FORMAT);
    let format = newer.map_or(RecordFormat::Foreign, RecordFormat::Tenure);
    let holder = text(row, "holder").unwrap_or_default();
    Slot {
        tenure: Occupant::Foreign { holder: foreign::stand_in(holder), format },
        note: note(row, "note"),
        ..Slot::default()
    }
}

/// Reads a row that this code has written; `None` where it cannot have.
fn ours(row: &Row<'_>, at: &Moment<'_>, version: u32) -> Option<Slot> {
    let nanos = |column| row.get::<_, i64>(column).ok().and_then(|nanos| u64::try_from(nanos).ok());
    let ends = || match version {
        // As long as a tenure of the member, and no boot of this machine ends that for those who read.
        BOUND_FORMAT => Some(Ends::With(Bound {
            member: LeaseKey::new(text(row, "bound_to")?).ok()?,
            term: nanos("bound_term").and_then(Term::new)?,
        })),
        _ => {
            // Another boot's clock says nothing in this one: its leases are over.
            let this_boot = text(row, "boot_id")? == at.boot_id;
            let expires = nanos("expires_ns")?;
            Some(Ends::At(if this_boot { Time::from_nanos(expires) } else { Time::ZERO }))
        }
    };
    let tenure = if is_null(row, "holder") {
        Occupant::Nobody
    } else {
        Occupant::Tenure(Tenure {
            holder: HolderId::new(text(row, "holder")?).ok()?,
            nonce: text(row, "nonce")?.parse().ok()?,
            ttl: Duration::from_nanos(nanos("ttl_ns")?),
            ends: ends()?,
            resign_requested: row.get::<_, i64>("resign_requested").ok()? != 0,
        })
    };
    Some(Slot {
        tenure,
        term: Some(nanos("term").and_then(Term::new)?),
        note: Some(note(row, "note")?),
        previous_note: if is_null(row, "previous_note") { None } else { Some(note(row, "previous_note")?) },
        // Only a tenure that was granted in this generation is known to have waited.
        granted: at.granting.as_ref().and_then(|granting| {
            let same = row.get("generation").is_ok_and(|number: Option<i64>| number == Some(granting.number));
            granting.complete_since.filter(|_| same)
        }),
        // The first versions forgot it with the release.
        promised: Duration::from_nanos(if is_null(row, "ttl_ns") { 0 } else { nanos("ttl_ns")? }),
    })
}

fn note(row: &Row<'_>, column: &str) -> Option<Note> {
    Note::new(text(row, column)?).ok()
}

fn text<'a>(row: &'a Row<'_>, column: &str) -> Option<&'a str> {
    row.get_ref(column).ok()?.as_str().ok()
}

fn is_null(row: &Row<'_>, column: &str) -> bool {
    row.get_ref(column).is_ok_and(|value| value.data_type() == rusqlite::types::Type::Null)
}

/// Writes the slot back where it was changed. A tenure that begins names the generation of the file that grants it.
fn save(db: &Connection, at: &Moment<'_>, key: &LeaseKey, slot: &Slot, change: Change) -> rusqlite::Result<()> {
    let tenure = match &slot.tenure {
        Occupant::Tenure(tenure) => Some(tenure),
        Occupant::Nobody => None,
        Occupant::Foreign { .. } => return Ok(()),
    };
    let note = slot.note.as_ref().map_or("", Note::as_str);
    let ttl = i64::try_from(tenure.map_or(slot.promised, |tenure| tenure.ttl).as_nanos()).unwrap_or(i64::MAX);
    let expires = tenure.and_then(|tenure| match tenure.ends {
        Ends::At(end) => Some(signed(end.as_nanos())),
        Ends::With(_) => None,
    });
    match change {
        Change::Nothing => {}
        Change::Extended => {
            // Does not name the nonce: see the triggers.
            const SQL: &str = "UPDATE lease SET ttl_ns = ?2, expires_ns = ?3, note = ?4, resign_requested = ?5,
                touched_micros = ?6 WHERE key = ?1";
            let asked = tenure.is_some_and(|tenure| tenure.resign_requested);
            db.prepare_cached(SQL)?.execute(params![
                key.as_str(),
                ttl,
                expires,
                note,
                asked,
                signed(at.wall_micros)
            ])?;
        }
        Change::ChangedHands => {
            const SQL: &str = "INSERT INTO lease (key, format, holder, nonce, term, ttl_ns, expires_ns, boot_id, note,
                  previous_note, resign_requested, touched_micros, generation)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12)
                ON CONFLICT (key) DO UPDATE SET format = excluded.format, holder = excluded.holder,
                  nonce = excluded.nonce, term = excluded.term, ttl_ns = excluded.ttl_ns,
                  expires_ns = excluded.expires_ns, boot_id = excluded.boot_id, note = excluded.note,
                  previous_note = excluded.previous_note, resign_requested = 0,
                  touched_micros = excluded.touched_micros,
                  generation = coalesce(excluded.generation, generation)";
            db.prepare_cached(SQL)?.execute(params![
                key.as_str(),
                if bound(slot).is_some() { BOUND_FORMAT } else { Slot::FORMAT },
                tenure.map(|tenure| tenure.holder.as_str()),
                tenure.map(|tenure| tenure.nonce.to_string()),
                slot.term.map(Term::get).map(signed),
                ttl,
                expires,
                tenure.map(|_| at.boot_id),
                note,
                slot.previous_note.as_ref().map(Note::as_str),
                signed(at.wall_micros),
                at.granting.as_ref().map(|granting| granting.number),
            ])?;
        }
    }
    Ok(())
}

/// Writes down what the key's tenure is bound to now, where that is another than before. Rows that nothing is and was bound
/// in are left alone: a file may lack the columns.
fn bind(db: &Connection, key: &LeaseKey, before: Option<&Bound>, now: Option<&Bound>) -> rusqlite::Result<()> {
    if before == now {
        return Ok(());
    }
    const SQL: &str = "UPDATE lease SET bound_to = ?2, bound_term = ?3 WHERE key = ?1";
    let (member, term) = (now.map(|bound| bound.member.as_str()), now.map(|bound| signed(bound.term.get())));
    db.prepare_cached(SQL)?.execute(params![key.as_str(), member, term]).map(drop)
}

fn bound(slot: &Slot) -> Option<&Bound> {
    match &slot.tenure {
        Occupant::Tenure(tenure) => tenure.bound(),
        Occupant::Nobody | Occupant::Foreign { .. } => None,
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
