//! A lease store in Google Firestore, over its REST interface: [`open`] makes one of a [`FirestoreConfig`].
//!
//! Every lease is one document, and every step one write with a precondition on the document's `updateTime`. A lease's age
//! is the difference of two times that Google tells, so no client's clock decides anything. REST has no push: hints come from
//! looking every two seconds, or candidates go by their timers alone.

mod config;
mod fields;
mod records;

use tenure_records::{RecordDocuments, RecordStore};
use tenure_store::StoreError;

pub use config::FirestoreConfig;
pub use records::FirestoreRecords;

/// Opens the store, and reads once, so that credentials, project and database are known to be right.
pub async fn open(config: &FirestoreConfig) -> Result<RecordStore<FirestoreRecords>, StoreError> {
    Ok(RecordStore::new(records(config).await?))
}

/// Opens the documents that lie beside the leases, as [`open`] opens these.
pub async fn open_documents(config: &FirestoreConfig) -> Result<RecordDocuments<FirestoreRecords>, StoreError> {
    Ok(RecordDocuments::new(records(config).await?))
}

async fn records(config: &FirestoreConfig) -> Result<FirestoreRecords, StoreError> {
    let records = FirestoreRecords::new(config)?;
    records.ping().await?;
    Ok(records)
}
