//! A PostgreSQL client that says what became of a statement: the ground that lease store and message bus stand on.
//!
//! - [`DatabaseConfig`] is what PostgreSQL's own programs are told: several hosts in one URL, `PG*` variables, password files,
//!   TLS. Of several hosts the first that takes writes is used, and a replica is not believed, also when that changes.
//! - A [`Database`] has few connections, its own and never the application's. Each statement stands alone, without a transaction
//!   around it, without a prepared statement and without a setting of the session, so that a pooler may hand each to another
//!   connection. A call that is dropped, or takes too long, is cancelled at the server.
//! - **A write is sent once.** A failed one is [`Unknown`](DatabaseErrorKind::Unknown) where it may have been done or may be done
//!   later, and any other kind where nothing was done. No reconnection turns the one into the other.
//! - [`Versioned`] rows change only where they still have the version that was seen, many in one statement. A change is answered
//!   once it is on disk, or [soon](Commit::Soon) where it may be forgotten, as if it had not been asked for.
//! - A [`Table`] is made on first use. Where the user may not do that the error says which statement an administrator runs.
//! - A [`Listener`] hears the server's notifications, and [`Database::notifications_arrive`] tells whether any would come.
//!
//! ```no_run
//! use tenure_base_postgres::{Database, DatabaseConfig, DatabaseErrorKind, IS_REPLICA, Table, Type, UrlForm};
//!
//! const FORM: UrlForm = UrlForm {
//!     name: "postgres",
//!     example: "postgres://USER@HOST/DATABASE",
//!     port: 0,
//!     options: &["sslmode", "sslrootcert", "sslcert", "sslkey", "schema"],
//! };
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (config, own) = DatabaseConfig::parse("postgres://app@one,two/jobs?schema=ops", &FORM)?;
//! let database = Database::new(config.with_environment()?)?;
//! let schema = own.first().map(|(_, value)| value.as_str());
//! let table = Table::new(schema, "counts", "name text primary key, count bigint not null");
//! let added = format!("update {} set count = count + $1 where name = $2 returning count", table.name());
//! match database.write(&table, &added, &[(&1_i64, Type::INT8), (&"jobs", Type::TEXT)]).await {
//!     Ok(rows) => println!("{} rows", rows.len()),
//!     Err(error) if error.kind() == DatabaseErrorKind::Unknown => println!("look before you add again: {error}"),
//!     Err(error) => println!("nothing was added: {error}"),
//! }
//! let counts = format!("select {IS_REPLICA}, name, count from {}", table.name());
//! for row in database.read(&table, &counts, &[]).await? {
//!     println!("{}: {}", row.try_get::<_, &str>(1)?, row.try_get::<_, i64>(2)?);
//! }
//! # Ok(())
//! # }
//! ```

mod config;
mod connections;
mod database;
mod diagnosis;
mod error;
mod listener;
mod pgpass;
mod table;
mod versioned;

pub use config::{DatabaseConfig, Server, Ssl, URL_OPTIONS};
pub use database::{Database, IS_REPLICA, Values};
pub use error::{DatabaseError, DatabaseErrorKind};
pub use listener::Listener;
pub use table::{Table, identifier};
pub use tenure_base_net::server_url::UrlForm;
pub use tenure_base_net::tls::ClientTls;
pub use tokio_postgres::Row;
pub use tokio_postgres::types::Type;
pub use versioned::{Change, Columns, Commit, Told, Versioned, VersionedRow};
