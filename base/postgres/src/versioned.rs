//! Rows under keys, each of which changes only where it still has the version that was seen.

use std::collections::HashSet;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::database::{Database, IS_REPLICA, Values};
use crate::error::{DatabaseError, DatabaseErrorKind};
use crate::listener::Listener;
use crate::table::Table;

/// A table of such rows: key, version, the time of the last write by the server's clock, and columns of the program's own. A
/// batch is one statement, a single change one that is planned quickly; neither is prepared.
#[derive(Debug)]
pub struct Versioned {
    table: Table,
    /// Where the server tells of changes.
    channel: String,
    /// By keys ($1): one row for each, in their order.
    read: String,
    /// By the prefix of keys ($1): a row for each, or one without a key.
    scan: String,
    /// The key ($1) whose version is the one that is expected ($2) gets a new one ($3) and values ($4); what is told ($5), and
    /// whether it is answered soon ($6).
    swap: String,
    /// The keys ($1) whose version is the one that is expected ($2) get a new one ($3) and values ($4, each an array in JSON), or
    /// go where these are null; then as above.
    write: String,
}

/// What the rows of a table hold besides key, version and time: pieces of SQL, of the program's own and never of a user's.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a> {
    /// The definitions of the columns.
    pub definitions: &'a str,
    /// Their names.
    pub names: &'a str,
    /// What each gets, in the order of their names: an expression over the texts of a change's values, `{values}[1]` the first.
    pub given: &'a str,
    /// The bytes that a row `t` holds, to be read.
    pub content: &'a str,
}

/// When a change is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Once it is as safe as the server's settings make it.
    OnDisk,
    /// At once. A server that dies within the next second or so may come back without it, as if it had not been asked for; with
    /// it goes nothing that was answered before, or was answered [on disk](Commit::OnDisk) after it.
    Soon,
}

/// One change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// Where.
    pub key: &'a str,
    /// The version that must stand there; `None` where no row may.
    pub expected: Option<i64>,
    /// The version that stands there then: one that has never stood there.
    pub next: i64,
    /// The values of the columns then, as texts; `None` deletes the row.
    pub values: Option<Vec<Option<String>>>,
    /// What the server tells whoever listens, besides key and version: some 7,000 bytes at most. `None` tells nobody.
    pub told: Option<String>,
}

/// A row as it was read, or that there was none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionedRow {
    /// Its key, its version and its content.
    pub found: Option<(String, i64, Vec<u8>)>,
    /// For how long at least it has stood there unchanged, by the server's clock.
    pub age: Duration,
    /// The server's clock in microseconds since 1970.
    pub server_micros: Option<u64>,
}

/// A change that the server told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where.
    pub key: String,
    /// The version that stood there then and what was told along, where something was.
    pub found: Option<(i64, String)>,
}

impl Versioned {
    /// The table of this name, which is its channel too. Name and schema must be [`identifier`](crate::identifier)s.
    pub fn new(schema: Option<&str>, name: &str, columns: &Columns<'_>) -> Versioned {
        let Columns { definitions, names, given, content } = *columns;
        let definitions = format!(
            "key text collate \"C\" primary key, version bigint not null, touched_at timestamptz not null, {definitions}"
        );
        let (channel, table) = (name, Table::new(schema, name, &definitions));
        let name = table.name();
        let (swapped, written) = (given.replace("{values}", "($4::text[])"), given.replace("{values}", "u.values"));
        let tell = |told: &str| format!("case when {told} is not null then pg_notify('{channel}', {told})::text end");
        let (tell_one, tell_each) = (tell("$5"), tell("u.told"));
        let soon = "case when $6 then set_config('synchronous_commit', 'off', true) end";
        let answer = format!(
            "select {IS_REPLICA}, t.key, t.version, \
             greatest(0, (extract(epoch from (c.now - t.touched_at)) * 1000000)::bigint), \
             (extract(epoch from c.now) * 1000000)::bigint, {content} from (select clock_timestamp() as now) c"
        );
        Versioned {
            read: format!(
                "{answer} cross join unnest($1::text[]) with ordinality as u(key, place) \
                 left join {name} t on t.key = u.key collate \"C\" order by u.place"
            ),
            // The first condition finds the beginning in the index, also where the second one cannot be looked up there.
            scan: format!("{answer} left join {name} t on t.key >= $1 and starts_with(t.key, $1) order by t.key"),
            // What need not be asked of the row is not: half of what this takes is planning.
            swap: format!(
                "update {name} t set (version, touched_at, {names}) = ($3, clock_timestamp(), {swapped}) \
                 where t.key = $1 and t.version = $2 returning t.key, {tell_one}, {soon}"
            ),
            // Rows are locked in one order, and before any is made, so that no two batches wait for each other.
            write: format!(
                "with u as materialized (select key collate \"C\" as key, expected, version, told, \
                 case when content is not null then array(select json_array_elements_text(content::json)) end as values \
                 from unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) \
                 as given(key, expected, version, content, told)), \
                 old as materialized (select t.key from {name} t \
                 join u on t.key = u.key and t.version = u.expected order by t.key for update of t), \
                 swapped as (update {name} t set (version, touched_at, {names}) = \
                 (u.version, clock_timestamp(), {written}) from u join old on old.key = u.key \
                 where t.key = u.key and t.version = u.expected and u.values is not null returning t.key), \
                 gone as (delete from {name} t using u join old on old.key = u.key \
                 where t.key = u.key and t.version = u.expected and u.values is null returning t.key), \
                 made as (insert into {name} (key, version, touched_at, {names}) \
                 select u.key, u.version, clock_timestamp(), {written} from u \
                 where u.expected is null and u.values is not null and (select count(*) from old) >= 0 order by u.key \
                 on conflict (key) do nothing returning key), \
                 done as (select key from swapped union all select key from gone union all select key from made) \
                 select u.key, {tell_each}, {soon} from done join u on u.key = done.key"
            ),
            channel: channel.to_owned(),
            table,
        }
    }

    /// What stands under each of these keys, in their order.
    pub async fn read(&self, database: &Database, keys: &[&str]) -> Result<Vec<VersionedRow>, DatabaseError> {
        let rows = database.read(&self.table, &self.read, &[(&keys, Type::TEXT_ARRAY)]).await?;
        rows.iter().map(seen).collect()
    }

    /// What stands under every key that begins so.
    pub async fn scan(&self, database: &Database, prefix: &str) -> Result<Vec<VersionedRow>, DatabaseError> {
        let rows = database.read(&self.table, &self.scan, &[(&prefix, Type::TEXT)]).await?;
        rows.iter().map(seen).filter(|row| row.as_ref().map_or(true, |row| row.found.is_some())).collect()
    }

    /// Does these changes at once, each for itself; answers which were done. No two may be of one key. A failure is as that of
    /// [`Database::write`].
    pub async fn write(
        &self,
        database: &Database,
        changes: &[Change<'_>],
        commit: Commit,
    ) -> Result<Vec<bool>, DatabaseError> {
        let soon = commit == Commit::Soon;
        let answers = match changes {
            [change @ Change { key, expected: Some(expected), next, values: Some(given), .. }] => {
                let told = change.notification();
                let values: Values<'_> = &[
                    (key, Type::TEXT),
                    (expected, Type::INT8),
                    (next, Type::INT8),
                    (given, Type::TEXT_ARRAY),
                    (&told, Type::TEXT),
                    (&soon, Type::BOOL),
                ];
                database.write(&self.table, &self.swap, values).await
            }
            changes => {
                let keys: Vec<&str> = changes.iter().map(|change| change.key).collect();
                let expected: Vec<Option<i64>> = changes.iter().map(|change| change.expected).collect();
                let next: Vec<i64> = changes.iter().map(|change| change.next).collect();
                // No literals of arrays: what their nulls mean is a setting.
                let array = |values: &Vec<Option<String>>| serde_json::json!(values).to_string();
                let given: Vec<Option<String>> =
                    changes.iter().map(|change| change.values.as_ref().map(array)).collect();
                let told: Vec<Option<String>> = changes.iter().map(Change::notification).collect();
                let values: Values<'_> = &[
                    (&keys, Type::TEXT_ARRAY),
                    (&expected, Type::INT8_ARRAY),
                    (&next, Type::INT8_ARRAY),
                    (&given, Type::TEXT_ARRAY),
                    (&told, Type::TEXT_ARRAY),
                    (&soon, Type::BOOL),
                ];
                database.write(&self.table, &self.write, values).await
            }
        };
        let answers = match answers {
            Err(error) if error.kind() == DatabaseErrorKind::Conflict => Vec::new(),
            answers => answers?,
        };
        let done: HashSet<&str> = answers.iter().filter_map(|row| row.try_get(0).ok()).collect();
        Ok(changes.iter().map(|change| done.contains(change.key)).collect())
    }

    /// Listens to what changes from now on; [`Told::of`] reads what is heard.
    pub async fn listen(&self, database: &Database) -> Result<Listener, DatabaseError> {
        database.listen(&self.channel).await
    }

    /// As [`Database::notifications_arrive`].
    pub async fn notifications_arrive(&self, database: &Database) -> bool {
        database.notifications_arrive(&self.channel).await
    }
}

impl Change<'_> {
    /// What the server sends whoever listens; see [`Told::of`].
    fn notification(&self) -> Option<String> {
        let told = self.told.as_ref()?;
        let (key, version) = (self.key, self.next);
        Some(if told.is_empty() { format!("{key}\n{version}") } else { format!("{key}\n{version}\n{told}") })
    }
}

impl Told {
    /// What a notification says.
    pub fn of(notification: &str) -> Told {
        let mut parts = notification.splitn(3, '\n');
        let key = parts.next().unwrap_or_default().to_owned();
        let version = parts.next().and_then(|version| version.parse().ok());
        Told { key, found: version.zip(parts.next().map(str::to_owned)) }
    }
}

fn seen(row: &Row) -> Result<VersionedRow, DatabaseError> {
    let (key, version): (Option<String>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
    let (age, now): (Option<i64>, i64) = (row.try_get(3)?, row.try_get(4)?);
    let found = match key.zip(version) {
        Some((key, version)) => Some((key, version, row.try_get(5)?)),
        None => None,
    };
    let age = Duration::from_micros(age.and_then(|micros| u64::try_from(micros).ok()).unwrap_or(0));
    Ok(VersionedRow { found, age, server_micros: u64::try_from(now).ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key may come alone, and content may have lines of its own.
    #[test]
    fn notifications_are_read() {
        let told = |key: &str, found: Option<(i64, &str)>| Told {
            key: key.to_owned(),
            found: found.map(|(version, text)| (version, text.to_owned())),
        };
        assert_eq!(Told::of("k"), told("k", None));
        assert_eq!(Told::of("k\n-7"), told("k", None));
        assert_eq!(Told::of("k\n-7\n{}\n"), told("k", Some((-7, "{}\n"))));
        assert_eq!(Told::of("k\nx\n{}"), told("k", None));
        assert_eq!(Told::of(""), told("", None));
    }
}
