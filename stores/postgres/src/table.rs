//! The two tables: how they are made, asked and written.
//!
//! A record goes to the server and comes back as the JSON that other servers keep as it is; the server itself takes it
//! apart into columns and puts it together.

use std::time::Duration;

use tenure_records::{Content, Kind, Seen, Version};
use tenure_store::{LeaseKey, StoreError, StoreErrorKind};
use tokio_postgres::Row;

use crate::config::PostgresConfig;

/// One of the tables, with its statements.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its name as statements have it.
    pub(crate) name: String,
    pub(crate) create: String,
    /// By keys ($1): one row for each, in their order.
    pub(crate) read: String,
    /// From a key on ($1), up to another one ($2).
    pub(crate) scan: String,
    /// The keys ($1) whose version is the one that is expected ($2) get a new one ($3) and content ($4), or go where that is
    /// null; tells which did.
    pub(crate) write: String,
    kind: Kind,
}

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
        let shape = match kind {
            Kind::Lease => Shape {
                columns: "holder text, term bigint, nonce text, note text, previous_note text, ttl_ms bigint not null, \
                          hold_ms bigint not null, bound_to text, bound_term bigint, resign_requested boolean not null, \
                          touched_at timestamptz not null, format integer not null",
                fields: "holder, term, nonce, note, previous_note, ttl_ms, hold_ms, bound_to, bound_term, \
                         resign_requested, format",
                content: "convert_to((select row_to_json(r) from (select t.*, 0 as beat) r)::text, 'UTF8')",
                given: format!("json_populate_record(null::{name}, convert_from(given.content, 'UTF8')::json)"),
                age: "greatest(0, (extract(epoch from (c.now - t.touched_at)) * 1000000)::bigint)",
                touched: ["touched_at, ", "clock_timestamp(), ", "touched_at = clock_timestamp(), "],
                before: ", t.nonce as before",
                // A renewal is no news: tenures are told apart by their nonces.
                told: format!(
                    ", case when locked.before is distinct from u.nonce then pg_notify('{table}', u.key)::text end"
                ),
            },
            Kind::Document => Shape {
                columns: "value bytea not null",
                fields: "value",
                content: "t.value",
                given: "(select given.content as value)".to_owned(),
                age: "null::bigint",
                touched: [""; 3],
                before: "",
                told: String::new(),
            },
        };
        let Shape { columns, fields, content, given, age, touched, before, told } = shape;
        let each = |field: &dyn Fn(&str) -> String| fields.split(", ").map(field).collect::<Vec<_>>().join(", ");
        let answer = format!(
            "t.key, t.version, {age}, (extract(epoch from c.now) * 1000000)::bigint, pg_is_in_recovery(), {content}"
        );
        Table {
            create: format!(
                "create table if not exists {name} (key text collate \"C\" primary key, version bigint not null, {columns}) \
                 with (fillfactor = 50)"
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
                "with u as materialized (select given.key collate \"C\" as key, given.expected, given.version, \
                 given.content is null as gone, {taken} from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[]) \
                 as given(key, expected, version, content) left join lateral {given} r on true), \
                 locked as materialized (select t.key{before} from {name} t join u on t.key = u.key \
                 and t.version = u.expected order by t.key for update of t), \
                 swapped as (update {name} t set {set_touched}version = u.version, {sets} from u join locked \
                 on locked.key = u.key where t.key = u.key and t.version = u.expected and not u.gone returning t.key), \
                 gone as (delete from {name} t using u join locked on locked.key = u.key \
                 where t.key = u.key and t.version = u.expected and u.gone returning t.key), \
                 made as (insert into {name} (key, version, {touched_at}{fields}) select key, version, {touched_now}{fields} \
                 from u where expected is null and not gone and (select count(*) from locked) >= 0 order by key \
                 on conflict (key) do nothing returning key), \
                 done as (select key from swapped union all select key from gone union all select key from made) \
                 select u.key{told} from done join u on u.key = done.key left join locked on locked.key = done.key",
                taken = each(&|field| format!("r.{field}")),
                sets = each(&|field| format!("{field} = u.{field}")),
                touched_at = touched[0],
                touched_now = touched[1],
                set_touched = touched[2],
            ),
            name,
            kind,
        }
    }

    /// What [`Table::write`] takes for this content.
    pub(crate) fn bytes(&self, key: &LeaseKey, content: &Content) -> Vec<u8> {
        let bytes = content.to_bytes(key);
        match self.kind {
            Kind::Lease => swapped(&bytes, [(r"\u001a", r"\u001a1"), (r"\u0000", r"\u001a0")]),
            Kind::Document => bytes,
        }
    }

    /// The key in a row of [`Table::read`] or [`Table::scan`], where something stands there, and what was seen.
    pub(crate) fn seen(&self, row: &Row) -> Result<(Option<LeaseKey>, Seen), StoreError> {
        self.columns(row).map_err(|error| {
            let message = format!("postgres: the table {} has other columns than the README says: {error}", self.name);
            StoreError::new(StoreErrorKind::Corrupt, message)
        })
    }

    fn columns(&self, row: &Row) -> Result<(Option<LeaseKey>, Seen), tokio_postgres::Error> {
        let (key, version): (Option<&str>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        let (age, now): (Option<i64>, i64) = (row.try_get(2)?, row.try_get(3)?);
        // What is no key was written by hand, and is nobody's lease.
        let key = key.and_then(|key| LeaseKey::new(key).ok());
        let Some((key, version)) = key.zip(version) else {
            return Ok((None, Seen { server_micros: u64::try_from(now).ok(), ..Seen::default() }));
        };
        let bytes: &[u8] = row.try_get(CONTENT)?;
        let content = match self.kind {
            Kind::Lease => Content::lease(&key, &swapped(bytes, [(r"\u001a0", r"\u0000"), (r"\u001a1", r"\u001a")])),
            Kind::Document => Content::Document(bytes.to_vec()),
        };
        let seen = Seen {
            content: Some(content),
            version: Some(Version::new(version.to_string())),
            age: age.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
            server_micros: u64::try_from(now).ok(),
            complete_for: None,
        };
        Ok((Some(key), seen))
    }
}

/// Whether a row was answered by a server that only replays another's log, and so may be behind.
pub(crate) fn is_replica(row: &Row) -> bool {
    row.try_get(CONTENT - 1).unwrap_or(false)
}

/// Where content stands in an answer, behind key, version, age, the server's time, and whether it is a replica.
const CONTENT: usize = 5;

/// What one kind of table has of its own.
struct Shape {
    columns: &'static str,
    /// The columns that content is spread over.
    fields: &'static str,
    /// Content from a row `t`.
    content: &'static str,
    /// A row of the fields from what is `given`.
    given: String,
    age: &'static str,
    /// The moment of the write, where it is kept: in a list of columns, of values, of changes.
    touched: [&'static str; 3],
    before: &'static str,
    told: String,
}

/// PostgreSQL's texts hold every character but NUL. In its place stand two that hardly any note has; replaced are JSON's
/// escapes of these, which do not begin with the second of two backslashes.
fn swapped(json: &[u8], pairs: [(&str, &str); 2]) -> Vec<u8> {
    let json = String::from_utf8_lossy(json);
    let pieces =
        json.split(r"\\").map(|piece| pairs.iter().fold(piece.to_owned(), |text, (from, to)| text.replace(from, to)));
    pieces.collect::<Vec<_>>().join(r"\\").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written for NUL is read as NUL again, and everything that looks like it stays what it was.
    #[test]
    fn nul_is_carried() {
        let write = |json: &str| swapped(json.as_bytes(), [(r"\u001a", r"\u001a1"), (r"\u0000", r"\u001a0")]);
        for (json, written) in [
            (r#""a\u0000b""#, r#""a\u001a0b""#),
            (r#""\u001a""#, r#""\u001a1""#),
            (r#""\u001a0\u0000\u001a1""#, r#""\u001a10\u001a0\u001a11""#),
            (r#""\\u0000 \\\u0000""#, r#""\\u0000 \\\u001a0""#),
            (r#""plain""#, r#""plain""#),
        ] {
            assert_eq!(String::from_utf8(write(json)).unwrap(), written);
            let read = swapped(written.as_bytes(), [(r"\u001a0", r"\u0000"), (r"\u001a1", r"\u001a")]);
            assert_eq!(String::from_utf8(read).unwrap(), json);
        }
    }
}
