//! The two tables: how they are made, asked and written, and what their columns hold.

use std::time::Duration;

use tenure_records::{Bound, Content, Kind, Lasts, Occupancy, Occupant, Record, Seen, Version, Write};
use tenure_store::{HolderId, LeaseKey, Note, RecordFormat, Slot, StoreError, StoreErrorKind, Term, foreign};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::config::{PostgresConfig, invalid};

/// One of the tables, with its statements.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name as statements have it.
    pub(crate) name: String,
    pub(crate) create: String,
    /// By keys: one row for each, in their order.
    pub(crate) read: String,
    /// From a key on, up to another one.
    pub(crate) scan: String,
    /// Each row where its version is the one that is expected; tells the keys that were written.
    pub(crate) write: String,
    kind: Kind,
}

/// A value for each of several rows, column by column.
pub(crate) type Columns = Vec<(Box<dyn ToSql + Sync + Send>, Type)>;

/// Columns besides key and version, with the types of their values.
const LEASE: [(&str, &str); 11] = [
    ("holder", "text"),
    ("term", "bigint"),
    ("nonce", "text"),
    ("note", "text"),
    ("previous_note", "text"),
    ("ttl_ms", "bigint"),
    ("hold_ms", "bigint"),
    ("bound_to", "text"),
    ("bound_term", "bigint"),
    ("resign_requested", "boolean"),
    ("format", "integer"),
];
const DOCUMENT: [(&str, &str); 1] = [("value", "bytea")];

/// Where the columns of content begin in what [`Table::read`] and [`Table::scan`] answer, behind key, version, age, the
/// server's time, and whether it only replays another's log.
const CONTENT: usize = 5;

impl Table {
    pub(crate) fn new(config: &PostgresConfig, kind: Kind) -> Table {
        let table = match kind {
            Kind::Lease => config.table.clone(),
            Kind::Document => format!("{}_documents", config.table.strip_suffix("_leases").unwrap_or(&config.table)),
        };
        let name = match &config.schema {
            Some(schema) => format!("\"{schema}\".\"{table}\""),
            None => format!("\"{table}\""),
        };
        let columns: &[(&str, &str)] = if kind == Kind::Lease { &LEASE } else { &DOCUMENT };
        let each = |write: &dyn Fn(usize, &str, &str) -> String, between: &str| {
            let written: Vec<_> = columns.iter().enumerate().map(|(at, (name, sort))| write(at, name, sort)).collect();
            written.join(between)
        };
        let names = each(&|_, name, _| name.to_owned(), ", ");
        let (definitions, touched, age, before, told) = match kind {
            Kind::Lease => (
                "holder text, term bigint, nonce text, note text, previous_note text, ttl_ms bigint not null, \
                 hold_ms bigint not null, bound_to text, bound_term bigint, resign_requested boolean not null, \
                 touched_at timestamptz not null, format integer not null",
                [", touched_at", ", clock_timestamp()", ", touched_at = clock_timestamp()"],
                "greatest(0, (extract(epoch from (c.now - t.touched_at)) * 1000000)::bigint)",
                ", t.nonce as before",
                // A renewal is no news: tenures are told apart by their nonces.
                format!(", case when locked.before is distinct from u.nonce then pg_notify('{table}', u.key)::text end"),
            ),
            Kind::Document => ("value bytea not null", ["", "", ""], "null::bigint", "", String::new()),
        };
        let answer = format!(
            "t.key, t.version, {age}, (extract(epoch from c.now) * 1000000)::bigint, pg_is_in_recovery(), {}",
            each(&|_, name, _| format!("t.{name}"), ", ")
        );
        Table {
            create: format!(
                "create table if not exists {name} (key text collate \"C\" primary key, version bigint not null, \
                 {definitions}) with (fillfactor = 50)"
            ),
            read: format!(
                "select {answer} from unnest($1::text[]) with ordinality as u(key, place) \
                 cross join (select clock_timestamp() as now) c left join {name} t on t.key = u.key collate \"C\" \
                 order by u.place"
            ),
            scan: format!(
                "select {answer} from {name} t cross join (select clock_timestamp() as now) c \
                 where t.key >= $1 and ($2::text is null or t.key < $2) order by t.key"
            ),
            // Rows are locked in one order, and before any is made, so that no two batches wait for each other.
            write: format!(
                "with u as materialized (select key collate \"C\" as key, expected, version, gone, {names} \
                 from unnest($1::text[], $2::bigint[], $3::bigint[], $4::boolean[], {casts}) \
                 as given(key, expected, version, gone, {names})), \
                 locked as materialized (select t.key{before} from {name} t join u on t.key = u.key \
                 and t.version = u.expected order by t.key for update of t), \
                 swapped as (update {name} t set version = u.version, {sets}{set_touched} from u join locked \
                 on locked.key = u.key where t.key = u.key and t.version = u.expected and not u.gone returning t.key), \
                 gone as (delete from {name} t using u join locked on locked.key = u.key \
                 where t.key = u.key and t.version = u.expected and u.gone returning t.key), \
                 made as (insert into {name} (key, version, {names}{touched_at}) select key, version, {names}{touched_now} \
                 from u where expected is null and not gone and (select count(*) from locked) >= 0 order by key \
                 on conflict (key) do nothing returning key), \
                 done as (select key from swapped union all select key from gone union all select key from made) \
                 select u.key{told} from done join u on u.key = done.key left join locked on locked.key = done.key",
                casts = each(&|at, _, sort| format!("${}::{sort}[]", at + 5), ", "),
                sets = each(&|_, name, _| format!("{name} = u.{name}"), ", "),
                touched_at = touched[0],
                touched_now = touched[1],
                set_touched = touched[2],
            ),
            name,
            kind,
        }
    }

    /// The content of these writes, column by column; the keys and versions stand before it.
    pub(crate) fn content(&self, writes: &[&Write]) -> Result<Columns, StoreError> {
        match self.kind {
            Kind::Lease => {
                let mut rows = Vec::with_capacity(writes.len());
                for write in writes {
                    rows.push(match &write.to {
                        Some(Content::Lease(record)) => Some((record, occupant(record)?)),
                        None => None,
                        Some(Content::Document(_)) => return Err(unfit()),
                    });
                }
                let of = |take: &dyn Fn(&Record) -> Option<String>| -> Vec<Option<String>> {
                    rows.iter().map(|row| row.as_ref().and_then(|(record, _)| take(record))).collect()
                };
                let texts = |take: &dyn Fn(&Occupant) -> String| -> Vec<Option<String>> {
                    rows.iter().map(|row| row.and_then(|(_, occupant)| occupant.map(take))).collect()
                };
                let spans = |take: &dyn Fn(&Occupant) -> Duration| -> Vec<i64> {
                    rows.iter().map(|row| row.and_then(|(_, occupant)| occupant.map(|it| millis(take(it)))).unwrap_or(0)).collect()
                };
                let terms: Vec<Option<i64>> =
                    rows.iter().map(|row| row.and_then(|(record, _)| record.term.map(number_of))).collect();
                let bound = |row: &Option<(&Record, Option<&Occupant>)>| row.and_then(|(_, it)| it.and_then(|it| it.bound.clone()));
                let (members, member_terms): (Vec<Option<String>>, Vec<Option<i64>>) = rows
                    .iter()
                    .map(|row| bound(row).map(|bound| (bound.member.as_str().to_owned(), number_of(bound.term))).unzip())
                    .unzip();
                let asked: Vec<bool> =
                    rows.iter().map(|row| row.is_some_and(|(_, it)| it.is_some_and(|it| it.resign_requested))).collect();
                let format = i32::try_from(Slot::FORMAT).unwrap_or(i32::MAX);
                Ok(vec![
                    (Box::new(texts(&|it| it.holder.as_str().to_owned())), Type::TEXT_ARRAY),
                    (Box::new(terms), Type::INT8_ARRAY),
                    (Box::new(texts(&|it| it.nonce.to_string())), Type::TEXT_ARRAY),
                    (Box::new(of(&|record| record.note.as_ref().map(escaped))), Type::TEXT_ARRAY),
                    (Box::new(of(&|record| record.previous_note.as_ref().map(escaped))), Type::TEXT_ARRAY),
                    (Box::new(spans(&|it| it.ttl)), Type::INT8_ARRAY),
                    (Box::new(spans(&|it| it.hold)), Type::INT8_ARRAY),
                    (Box::new(members), Type::TEXT_ARRAY),
                    (Box::new(member_terms), Type::INT8_ARRAY),
                    (Box::new(asked), Type::BOOL_ARRAY),
                    (Box::new(vec![format; writes.len()]), Type::INT4_ARRAY),
                ])
            }
            Kind::Document => {
                let value = |write: &&Write| match &write.to {
                    Some(Content::Document(bytes)) => Ok(Some(bytes.clone())),
                    None => Ok(None),
                    Some(Content::Lease(_)) => Err(unfit()),
                };
                let values: Vec<Option<Vec<u8>>> = writes.iter().map(value).collect::<Result<_, _>>()?;
                Ok(vec![(Box::new(values), Type::BYTEA_ARRAY)])
            }
        }
    }

    /// The key of a row, where there is one, and what was seen.
    pub(crate) fn seen(&self, row: &Row) -> Result<(Option<String>, Seen), StoreError> {
        self.columns(row).map_err(|error| {
            let message = format!("postgres: the table {} has other columns than the README says: {error}", self.name);
            StoreError::new(StoreErrorKind::Corrupt, message)
        })
    }

    fn columns(&self, row: &Row) -> Result<(Option<String>, Seen), tokio_postgres::Error> {
        let (key, version): (Option<String>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        let (age, now): (Option<i64>, i64) = (row.try_get(2)?, row.try_get(3)?);
        let content = match (&version, self.kind) {
            (None, _) => None,
            (Some(_), Kind::Lease) => Some(Content::Lease(record(row)?)),
            (Some(_), Kind::Document) => Some(Content::Document(row.try_get(CONTENT)?)),
        };
        let seen = Seen {
            content,
            age: version.and(age).map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
            version: version.map(|version| Version::new(version.to_string())),
            server_micros: u64::try_from(now).ok(),
        };
        Ok((key, seen))
    }
}

/// Whether a row was answered by a server that only replays another's log, and so may be behind.
pub(crate) fn is_replica(row: &Row) -> bool {
    row.try_get(CONTENT - 1).unwrap_or(false)
}

fn record(row: &Row) -> Result<Record, tokio_postgres::Error> {
    let text = |at: usize| row.try_get::<_, Option<String>>(CONTENT + at);
    let number = |at: usize| row.try_get::<_, Option<i64>>(CONTENT + at);
    let (holder, nonce, bound_to, bound_term) = (text(0)?, text(2)?, text(7)?, number(8)?);
    let (ttl, hold) = (span(number(5)?), span(number(6)?));
    let (resign_requested, format): (bool, i32) = (row.try_get(CONTENT + 9)?, row.try_get(CONTENT + 10)?);
    let (term, note, previous_note) = (number(1)?, text(3)?, text(4)?);
    let ours = || {
        let occupancy = match (&holder, &nonce) {
            (None, None) => Occupancy::Nobody,
            (Some(holder), Some(nonce)) => {
                let (holder, nonce) = (HolderId::new(holder).ok()?, nonce.parse().ok()?);
                let bound = match (&bound_to, bound_term) {
                    (None, None) => None,
                    (Some(member), Some(term)) => Some(Bound { member: LeaseKey::new(member).ok()?, term: term_of(term)? }),
                    _ => return None,
                };
                Occupancy::Tenure(Occupant { holder, nonce, ttl, hold, resign_requested, bound })
            }
            _ => return None,
        };
        let term = term.map(|term| term_of(term).ok_or(())).transpose().ok()?;
        if term.is_none() && occupancy != Occupancy::Nobody {
            return None;
        }
        let (note, previous_note) = (unescaped(note)?, unescaped(previous_note)?);
        Some(Record { occupancy, term, note, previous_note, beat: 0 })
    };
    let format = u32::try_from(format).unwrap_or(0);
    let known = if format == Slot::FORMAT { ours() } else { None };
    Ok(known.unwrap_or_else(|| {
        // A later version of this program, or another one: its holder is named, and nothing else is believed.
        let format = if nonce.is_some() && format != Slot::FORMAT { RecordFormat::Tenure(format) } else { RecordFormat::Foreign };
        Record::foreign(foreign::stand_in(&holder.unwrap_or_default()), format, Lasts::ForEver)
    }))
}

fn occupant(record: &Record) -> Result<Option<&Occupant>, StoreError> {
    match &record.occupancy {
        Occupancy::Nobody => Ok(None),
        Occupancy::Tenure(occupant) => Ok(Some(occupant)),
        Occupancy::Foreign { .. } => Err(unfit()),
    }
}

fn unfit() -> StoreError {
    invalid("what is to be written does not belong there")
}

/// Whole milliseconds, rounded up: a lease never lasts shorter than was asked for.
fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn term_of(number: i64) -> Option<Term> {
    u64::try_from(number).ok().and_then(Term::new)
}

fn number_of(term: Term) -> i64 {
    // Terms are below 2^52.
    i64::try_from(term.get()).unwrap_or(i64::MAX)
}

fn span(millis: Option<i64>) -> Duration {
    Duration::from_millis(millis.and_then(|millis| u64::try_from(millis).ok()).unwrap_or(0))
}

/// PostgreSQL's texts hold every character but NUL, which is written as two that hardly any note has.
fn escaped(note: &Note) -> String {
    note.as_str().replace('\u{1a}', "\u{1a}1").replace('\0', "\u{1a}0")
}

/// `None` where it is no note.
fn unescaped(text: Option<String>) -> Option<Option<Note>> {
    let note = |text: String| Note::new(text.replace("\u{1a}0", "\0").replace("\u{1a}1", "\u{1a}"));
    text.map(note).transpose().ok()
}
