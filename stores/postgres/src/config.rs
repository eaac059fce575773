//! What a PostgreSQL store is opened with: the database, and the tables in it.

use std::str::FromStr;

use tenure_base_postgres::{DatabaseConfig, DatabaseError, DatabaseErrorKind, UrlForm, identifier};
use tenure_store::{StoreError, StoreErrorKind};

/// Where the leases are.
///
/// `postgres://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/DATABASE][?OPTIONS]`, or with `postgresql:`. The first host that
/// takes writes is used; a percent-encoded path in place of a host is a socket's folder. Options: `sslmode`, `sslrootcert`,
/// `sslcert` and `sslkey` as PostgreSQL's own programs have them, but see [`Ssl`](crate::Ssl) (`ca`, `cert` and `key` as other
/// stores have them do the same); `table` (default `tenure_leases`; documents lie beside it) and `schema` (default: the first of
/// the search path), `timeout` (50ms to 60s, default 3s).
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The database, and the way there.
    pub database: DatabaseConfig,
    /// The schema of the tables.
    pub schema: Option<String>,
    /// The table of the leases.
    pub table: String,
}

const FORM: UrlForm = UrlForm {
    name: "postgres",
    example: "postgres://USER@HOST[:PORT][,HOST...]/DATABASE",
    port: 0,
    options: &["sslmode", "sslrootcert", "sslcert", "sslkey", "table", "schema"],
};

impl FromStr for PostgresConfig {
    type Err = StoreError;

    fn from_str(url: &str) -> Result<PostgresConfig, StoreError> {
        let (database, own) = DatabaseConfig::parse(url, &FORM).map_err(failed)?;
        let mut config = PostgresConfig { database, schema: None, table: "tenure_leases".to_owned() };
        for (name, value) in own {
            let value = identifier(&name, &value).map_err(failed)?;
            if name == "table" { config.table = value } else { config.schema = Some(value) }
        }
        Ok(config)
    }
}

impl PostgresConfig {
    /// As [`DatabaseConfig::with_environment`].
    pub fn with_environment(self) -> Result<PostgresConfig, StoreError> {
        Ok(PostgresConfig { database: self.database.with_environment().map_err(failed)?, ..self })
    }

    /// Reads the files of certificates and keys; fails where one is not usable.
    pub fn check_files(&self) -> Result<(), StoreError> {
        self.database.check_files().map_err(failed)
    }
}

/// What a failure of the database means for a store.
pub(crate) fn failed(error: DatabaseError) -> StoreError {
    let kind = match error.kind() {
        DatabaseErrorKind::Unknown => StoreErrorKind::TimedOut,
        DatabaseErrorKind::Denied => StoreErrorKind::Denied,
        DatabaseErrorKind::Invalid => StoreErrorKind::Invalid,
        DatabaseErrorKind::Missing | DatabaseErrorKind::Refused => StoreErrorKind::Unsupported,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables are named in the URL, and what is wrong with it is said without what may be a password.
    #[test]
    fn urls_name_the_tables() {
        let config: PostgresConfig = "postgres://h/db?schema=ops&table=t&timeout=1s".parse().unwrap();
        assert_eq!((config.schema.as_deref(), config.table.as_str()), (Some("ops"), "t"));
        assert_eq!("postgresql://".parse::<PostgresConfig>().unwrap().table, "tenure_leases");
        for (url, words) in [
            ("postgres:db", "postgres://USER@HOST"),
            ("postgres://me:hunter2:x/db", "HOST:PORT"),
            ("postgres://h/db?sslmode=yes", "verify-full"),
            ("postgres://h/db?hunter2=1", "sslmode, sslrootcert, sslcert, sslkey, table, schema"),
            ("postgres://h/db?table=a;b", "table is 1 to 50 letters"),
            ("postgres://h/db?schema=", "schema is 1 to 50 letters"),
            ("postgres://h/db?timeout=5ms", "50ms"),
        ] {
            let error = url.parse::<PostgresConfig>().unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Invalid);
            assert!(error.to_string().contains(words) && !error.to_string().contains("hunter2"), "{url}: {error}");
        }
    }
}
