//! A lease store in Kubernetes: each lease is a Lease object of `coordination.k8s.io`, as client-go's elections write it.
//!
//! Programs that elect with client-go and programs that elect with this store can contend for the same Lease: each waits
//! for the other by the rule of client-go, which counts from what it has seen and not from what is written. What client-go
//! has no field for (term, nonce, note, the exact ttl) stands in annotations. `README.md` says what the API server must
//! allow.

mod config;
mod object;
mod records;

pub use config::KubernetesConfig;
pub use records::KubernetesRecords;
pub use tenure_base_kubernetes::Cluster;

use tenure_records::{RecordDocuments, RecordStore};
use tenure_store::StoreError;

/// The store.
pub type KubernetesStore = RecordStore<KubernetesRecords>;

/// Reads the kubeconfig, or what a pod is given, and asks the API server what this program may do there.
///
/// Fails where no configuration is found, where the API server does not answer or is not the one that the configuration
/// trusts, and where it does not allow to read Leases. Without the rights to list and to watch Leases everything works but
/// lists and hints; a warning says so once.
pub async fn open(config: KubernetesConfig) -> Result<KubernetesStore, StoreError> {
    Ok(RecordStore::new(KubernetesRecords::open(config).await?))
}

/// Opens the documents that lie beside the leases, as [`open`] opens these.
pub async fn open_documents(config: KubernetesConfig) -> Result<RecordDocuments<KubernetesRecords>, StoreError> {
    Ok(RecordDocuments::new(KubernetesRecords::open(config).await?))
}
