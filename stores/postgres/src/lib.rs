//! Leases in PostgreSQL: `postgres://USER@HOST/DATABASE`; see [`PostgresConfig`] for every form.
//!
//! A lease is a row of the table `tenure_leases`, for anybody to read. Its age by the server's clock tells when it is over,
//! each write names the version that it replaces, and the writer draws the next one: at random, below some bits that tell whose
//! the record is. Each read, write and scan is one statement by itself, so that a pooler may hand it to any connection.

mod config;
mod records;
mod table;
mod version;

pub use config::PostgresConfig;
pub use records::PostgresRecords;
pub use tenure_base_postgres::{DatabaseConfig, Server, Ssl};

use tenure_records::{RecordDocuments, RecordStore};
use tenure_store::StoreError;

/// A lease store in PostgreSQL.
pub type PostgresStore = RecordStore<PostgresRecords>;

/// Connects, makes the tables where they are missing and that is allowed, and looks whether the server's notifications
/// arrive. Fails where no host can be reached that takes writes, where it refuses the login, or where the tables are missing
/// or may not be read.
pub async fn open(config: PostgresConfig) -> Result<PostgresStore, StoreError> {
    Ok(PostgresStore::new(PostgresRecords::open(config).await?))
}

/// Opens the documents that lie in a table beside the leases, as [`open`] opens these.
pub async fn open_documents(config: PostgresConfig) -> Result<RecordDocuments<PostgresRecords>, StoreError> {
    Ok(RecordDocuments::new(PostgresRecords::open(config).await?))
}
