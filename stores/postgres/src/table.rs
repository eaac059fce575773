//! The two tables: how they are made, asked and written.
//!
//! A record goes to the server and comes back as the JSON that other servers keep as it is; the server itself takes it
//! apart into columns and puts it together.

use std::time::Duration;

use tenure_base_postgres::{DatabaseError, IS_REPLICA, Row, Table};
use tenure_records::{Content, Kind, Seen, Version, Write};
use tenure_store::LeaseKey;

use crate::config::PostgresConfig;

/// One of the tables, with its statements.
#[derive(Debug)]
pub(crate) struct Rows {
    pub(crate) table: Table,
    /// Where the server tells of keys that changed hands, or of documents that changed.
    pub(crate) channel: String,
    /// By keys ($1): one row for each, in their order.
    pub(crate) read: String,
    /// By the prefix of keys ($1): a row for each, or one without a key.
    pub(crate) scan: String,
    /// The keys ($1) whose version is the one that is expected ($2) get a new one ($3) and content ($4), or go where that is
    /// null; tells which did.
    pub(crate) write: String,
    kind: Kind,
}

impl Rows {
    pub(crate) fn new(config: &PostgresConfig, kind: Kind) -> Rows {
        let channel = match kind {
            Kind::Lease => config.table.clone(),
            Kind::Document => format!("{}_documents", config.table.strip_suffix("_leases").unwrap_or(&config.table)),
        };
        // The columns that content is spread over, content from a row `t`, a row from the `content` that is given, what of a
        // row shows who has it, and whether that changes: a renewal is no news, tenures are told apart by holder and nonce.
        let (columns, fields, content, given, has, is_news) = match kind {
            Kind::Lease => (
                "holder text, term bigint, nonce text, note text, previous_note text, ttl_ms bigint not null, \
                 hold_ms bigint not null, bound_to text, bound_term bigint, resign_requested boolean not null, \
                 format integer not null",
                "holder, term, nonce, note, previous_note, ttl_ms, hold_ms, bound_to, bound_term, resign_requested, format",
                "convert_to((select row_to_json(r) from (select t.*, 0 as beat) r)::text, 'UTF8')",
                "json_populate_record(null::{table}, convert_from(u.content, 'UTF8')::json)",
                "concat_ws(' ', t.holder, t.nonce)",
                "concat_ws(' ', r.holder, r.nonce) is distinct from locked.has",
            ),
            Kind::Document => ("value bytea not null", "value", "t.value", "(select u.content as value)", "0", "true"),
        };
        let columns = format!(
            "key text collate \"C\" primary key, version bigint not null, touched_at timestamptz not null, {columns}"
        );
        let table = Table::new(config.schema.as_deref(), &channel, &columns);
        let (name, given) = (table.name(), given.replace("{table}", table.name()));
        let answer = format!(
            "select {IS_REPLICA}, t.key, t.version, \
             greatest(0, (extract(epoch from (c.now - t.touched_at)) * 1000000)::bigint), \
             (extract(epoch from c.now) * 1000000)::bigint, {content} from (select clock_timestamp() as now) c"
        );
        Rows {
            read: format!(
                "{answer} cross join unnest($1::text[]) with ordinality as u(key, place) \
                 left join {name} t on t.key = u.key collate \"C\" order by u.place"
            ),
            // The first condition finds the beginning in the index, also where the second one cannot be looked up there.
            scan: format!("{answer} left join {name} t on t.key >= $1 and starts_with(t.key, $1) order by t.key"),
            // Rows are locked in one order, and before any is made, so that no two batches wait for each other.
            write: format!(
                "with u as materialized (select key collate \"C\" as key, expected, next, content \
                 from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bytea[]) as given(key, expected, next, content)), \
                 locked as materialized (select t.key, {has} as has from {name} t \
                 join u on t.key = u.key and t.version = u.expected order by t.key for update of t), \
                 swapped as (update {name} t set (version, touched_at, {fields}) = \
                 (select u.next, clock_timestamp(), {fields} from {given} r) from u join locked on locked.key = u.key \
                 where t.key = u.key and t.version = u.expected and u.content is not null returning t.key), \
                 gone as (delete from {name} t using u join locked on locked.key = u.key \
                 where t.key = u.key and t.version = u.expected and u.content is null returning t.key), \
                 made as (insert into {name} (key, version, touched_at, {fields}) \
                 select u.key, u.next, clock_timestamp(), {fields} from u cross join lateral {given} r \
                 where u.expected is null and u.content is not null and (select count(*) from locked) >= 0 order by u.key \
                 on conflict (key) do nothing returning key), \
                 done as (select key from swapped union all select key from gone union all select key from made) \
                 select u.key, case when {is_news} then pg_notify('{channel}', u.key)::text end \
                 from done join u on u.key = done.key cross join lateral {given} r left join locked on locked.key = done.key"
            ),
            table,
            channel,
            kind,
        }
    }

    /// What [`Rows::write`] takes for what is to stand there.
    pub(crate) fn bytes(&self, write: &Write) -> Option<Vec<u8>> {
        let bytes = write.to.as_ref()?.to_bytes(&write.place.key);
        Some(match self.kind {
            Kind::Lease => swapped(&bytes, [(r"\u001a", r"\u001a1"), (r"\u0000", r"\u001a0")]),
            Kind::Document => bytes,
        })
    }

    /// The key in a row of [`Rows::read`] or [`Rows::scan`], where something stands there, and what was seen.
    pub(crate) fn seen(&self, row: &Row) -> Result<(Option<LeaseKey>, Seen), DatabaseError> {
        let (key, version): (Option<&str>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        let (age, now): (Option<i64>, i64) = (row.try_get(3)?, row.try_get(4)?);
        let empty = Seen { server_micros: u64::try_from(now).ok(), ..Seen::default() };
        // What is no key was written by hand, and is nobody's lease.
        let Some((key, version)) = key.and_then(|key| LeaseKey::new(key).ok()).zip(version) else {
            return Ok((None, empty));
        };
        let bytes: &[u8] = row.try_get(5)?;
        let content = match self.kind {
            Kind::Lease => Content::lease(&key, &swapped(bytes, [(r"\u001a0", r"\u0000"), (r"\u001a1", r"\u001a")])),
            Kind::Document => Content::Document(bytes.to_vec()),
        };
        let seen = Seen {
            content: Some(content),
            version: Some(Version::new(version.to_string())),
            age: age.map(|micros| Duration::from_micros(u64::try_from(micros).unwrap_or(0))),
            ..empty
        };
        Ok((Some(key), seen))
    }
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
