//! What a store can do and when it can fail, as data: suites gate on it, users read it.

use std::time::Duration;

/// What a store says of itself.
#[derive(Clone, Debug)]
pub struct StoreInfo {
    /// The scheme of its URL, without the colon.
    pub scheme: &'static str,
    /// The shortest ttl that it honours.
    pub min_ttl: Duration,
    /// The longest ttl that it honours.
    pub max_ttl: Duration,
    /// The most items in one call.
    pub batch_limit: usize,
    /// Whether [`crate::LeaseStore::watch`] works; where not, the timer alone wakes candidates.
    pub watch: bool,
    /// Whether records outlive the store's own restart.
    pub durable: bool,
    /// Whether separate processes can share it.
    pub shared: bool,
    /// The faults of this store under which two holders can overlap (at most one ttl), in words for its operator.
    pub overlap_faults: &'static [&'static str],
}
