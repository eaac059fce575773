//! Whose file it is: new, of the sort that is wanted, or somebody else's, which is left as it is.

use std::fmt::Display;

use rusqlite::Connection;

use crate::failure::{FileError, FileErrorKind, OpenError, missing_table};

/// "Tenu": the lease store's mark (PRAGMA application_id). It stands here because such a file may be named for another
/// sort's, and is then called by its name. A message bus bears none, and is known by its tables.
pub const LEASES_ID: i64 = 0x5465_6e75;

/// A sort of file.
#[derive(Debug)]
pub struct Format {
    /// What such a file is, with its article, for errors: "a lease store".
    pub what: &'static str,
    /// The version of the tables that this program reads and writes.
    pub version: i64,
    /// Reads the version that a file has; `None` where it is none of this sort. Called in a read transaction.
    pub version_of: fn(&Connection) -> rusqlite::Result<Option<i64>>,
    /// The statements that make such a file of an empty one. Run in one transaction, they leave `version_of` at `version`.
    pub tables: &'static str,
    /// The tables without which such a file cannot be used: where one is missing, somebody has dropped it.
    pub required: &'static [&'static str],
    /// What is to be done then, and what is lost: the end of the sentence that tells it.
    pub dropped: &'static str,
}

/// Whose a file was found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody's: it has no tables, no application id and no version.
    Nobody,
    /// Of this sort and version.
    Ours,
}

impl Format {
    /// Looks whose the open file is. In one read transaction: otherwise a file that somebody is just making can show its
    /// tables and not yet its mark.
    pub(crate) fn owner(&self, connection: &Connection, shown: &dyn Display) -> Result<Owner, OpenError> {
        let reading = connection.unchecked_transaction()?;
        self.owner_now(&reading, shown)
    }

    /// The tables that somebody has dropped.
    pub(crate) fn missing(&self, connection: &Connection) -> rusqlite::Result<Vec<&'static str>> {
        let mut there = connection.prepare("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
        let mut missing = Vec::new();
        for table in self.required {
            if there.query_row([table], |row| row.get::<_, i64>(0))? == 0 {
                missing.push(*table);
            }
        }
        Ok(missing)
    }

    /// Refuses a file that lacks a table.
    pub(crate) fn check_whole(&self, connection: &Connection, shown: &dyn Display) -> Result<(), OpenError> {
        match self.missing(connection)?.first() {
            Some(table) => Err(OpenError::Refused(self.dropped(shown, table))),
            None => Ok(()),
        }
    }

    /// What SQLite's failure means for a file of this sort, before anything was committed.
    pub(crate) fn failure(&self, shown: &dyn Display, error: rusqlite::Error) -> FileError {
        match self.lacked(&error).map(str::to_owned) {
            Some(table) => self.dropped(shown, &table),
            None => FileError::of(shown, error),
        }
    }

    /// The table of such a file that a statement did not find. A file that notes its generations has one for that, too.
    pub(crate) fn lacked<'a>(&self, error: &'a rusqlite::Error) -> Option<&'a str> {
        missing_table(error).filter(|table| *table == "origin" || self.required.contains(table))
    }

    /// That this table is missing. What was in it may be put back, so trying again may help.
    pub(crate) fn dropped(&self, shown: &dyn Display, table: &str) -> FileError {
        let what = format!("its table {table} is missing: somebody has dropped it; {}", self.dropped);
        FileError::at(shown, FileErrorKind::Unavailable, what)
    }

    /// The same as [`Format::owner`], in the transaction that is open already.
    pub(crate) fn owner_now(&self, connection: &Connection, shown: &dyn Display) -> Result<Owner, OpenError> {
        let Format { what, version, .. } = self;
        match (self.version_of)(connection)? {
            Some(found) if found == *version => return Ok(Owner::Ours),
            Some(found) if found > *version => {
                let said = format!("has format {found}, and this program knows formats up to {version}; update it");
                return Err(refused(shown, said));
            }
            Some(found) => {
                let said =
                    format!("is {what} of format {found}, and this program knows {version} only; name another file");
                return Err(refused(shown, said));
            }
            None => {}
        }
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let marks = (pragma("application_id")?, pragma("user_version")?);
        let tables = tables(connection)?;
        if marks == (0, 0) && tables.is_empty() {
            return Ok(Owner::Nobody);
        }
        let has = |name: &str| tables.iter().any(|table| table == name);
        let ours = match marks.0 {
            LEASES_ID => Some("a lease store"),
            _ if has("envelopes") && (has("bus_state") || has("bus_fence")) => Some("a message bus"),
            _ => None,
        };
        let owner = match ours {
            Some(found) if found == *what => {
                format!("looks like {what}, and does not say of which format: it is damaged or another program's")
            }
            Some(found) => format!("is {found} of Tenure's, not {what}"),
            None if tables.is_empty() => "belongs to another program".to_owned(),
            None => {
                format!("belongs to another program, with tables such as {}", tables[..tables.len().min(3)].join(", "))
            }
        };
        Err(refused(shown, format!("{owner}; name a file of its own")))
    }
}

/// The first tables' names, as far as they can be shown.
fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names = connection.prepare("SELECT substr(name, 1, 40) FROM sqlite_schema ORDER BY rowid LIMIT 16")?;
    let names = names.query_map([], |row| row.get::<_, String>(0).or_else(|_| Ok("?".to_owned())))?;
    names.map(|name| name.map(|name| name.escape_debug().to_string())).collect()
}

fn refused(shown: &dyn Display, what: String) -> OpenError {
    OpenError::Refused(FileError::new(FileErrorKind::Foreign, format!("sqlite:{shown} {what}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        what: "a message bus",
        version: 2,
        version_of: |connection| {
            let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok((version > 0).then_some(version))
        },
        tables: "",
        required: &["kept"],
        dropped: "put it back",
    };

    fn owner(sql: &str) -> Result<Owner, String> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        FORMAT.owner(&connection, &"x.db").map_err(|trouble| match trouble {
            OpenError::Sqlite(error) => error.to_string(),
            OpenError::Refused(error) => error.to_string(),
        })
    }

    /// New, own, of another version, of another sort of ours and of another program are told apart.
    #[test]
    fn files_are_told_apart() {
        assert_eq!(owner(""), Ok(Owner::Nobody));
        assert_eq!(owner("PRAGMA user_version = 2"), Ok(Owner::Ours));
        assert!(owner("PRAGMA user_version = 3").unwrap_err().contains("has format 3"));
        assert!(owner("PRAGMA user_version = 1").unwrap_err().contains("of format 1"));
        let leases = "PRAGMA application_id = 1415933557; CREATE TABLE lease (a)";
        assert!(owner(leases).unwrap_err().contains("is a lease store of Tenure's, not a message bus"));
        let bus = "CREATE TABLE envelopes (a); CREATE TABLE bus_state (a)";
        assert!(owner(bus).unwrap_err().contains("does not say of which format"));
        let other = owner("CREATE TABLE theirs (a); CREATE TABLE \"line\nbreak\" (a)").unwrap_err();
        assert!(other.contains("another program, with tables such as theirs, line\\nbreak;"), "{other}");
        assert!(owner("PRAGMA application_id = 7").unwrap_err().contains("belongs to another program;"));
    }

    /// A table that was dropped is named, whoever meets that, with what to do.
    #[test]
    fn dropped_tables_are_named() {
        let connection = Connection::open_in_memory().unwrap();
        assert_eq!(FORMAT.missing(&connection).unwrap(), ["kept"]);
        let error = connection.execute_batch("SELECT * FROM kept").unwrap_err();
        let told = FORMAT.failure(&"x.db", error);
        assert_eq!(told.to_string(), "sqlite:x.db: its table kept is missing: somebody has dropped it; put it back");
        connection.execute_batch("CREATE TABLE kept (a)").unwrap();
        assert!(FORMAT.missing(&connection).unwrap().is_empty());
        let other = FORMAT.failure(&"x.db", connection.execute_batch("SELEKT").unwrap_err());
        assert!(!other.to_string().contains("dropped"), "{other}");
    }
}
