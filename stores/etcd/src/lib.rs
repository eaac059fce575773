//! Leases in etcd, over its JSON gateway: one server or a cluster, from version 3.4 on.
//!
//! ```no_run
//! use tenure_etcd::EtcdConfig;
//!
//! # async fn example() -> Result<(), tenure_store::StoreError> {
//! let config: EtcdConfig = "etcd://one:2379,two:2379,three:2379".parse()?;
//! let store = tenure_etcd::open(config.with_environment()?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A lease is the value of one key, written where its `mod_revision` is the one that was seen; etcd's own leases are not
//! used, so nothing of a process is left to be kept alive or to be forgotten. When a lease is over is told by silence: a
//! candidate that has just started waits one ttl before it takes a key whose holder has vanished.

mod answers;
mod config;
mod records;

use tenure_records::{RecordDocuments, RecordStore};
use tenure_store::StoreError;

pub use config::EtcdConfig;
pub use records::EtcdRecords;

/// Opens the store: one read must be answered, which shows that the gateway is there, that the login is right and that a
/// majority of the cluster is up.
pub async fn open(config: EtcdConfig) -> Result<RecordStore<EtcdRecords>, StoreError> {
    Ok(RecordStore::new(EtcdRecords::open(config).await?))
}

/// Opens the documents that lie beside the leases, as [`open`] opens these.
pub async fn open_documents(config: EtcdConfig) -> Result<RecordDocuments<EtcdRecords>, StoreError> {
    Ok(RecordDocuments::new(EtcdRecords::open(config).await?))
}
