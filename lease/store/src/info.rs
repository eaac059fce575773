//! What a store can do and when it can fail, as data: suites gate on it, users read it.

use std::time::Duration;

use tenure_core::Timing;

/// What a store says of itself. Made with [`StoreInfo::new`] and the methods named like its members.
///
/// ```
/// use std::time::Duration;
/// use tenure_store::StoreInfo;
///
/// static INFO: StoreInfo = StoreInfo::new("example")
///     .ttl_between(Duration::from_millis(10), Duration::from_secs(60))
///     .durable(true)
///     .overlap_faults(&["the server's clock is set forward"]);
/// assert_eq!((INFO.scheme, INFO.durable, INFO.watch), ("example", true, false));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The scheme of its URL, without the colon.
    pub scheme: &'static str,
    /// The shortest ttl that it honours.
    pub min_ttl: Duration,
    /// The longest ttl that it honours.
    pub max_ttl: Duration,
    /// The most items in one call.
    pub batch_limit: usize,
    /// Whether [`crate::LeaseStore::watch`] works; where not, candidates ask at every retry interval.
    pub watch: bool,
    /// Whether records outlive the store's own restart.
    pub durable: bool,
    /// Whether separate processes can share it.
    pub shared: bool,
    /// The faults of this store under which two holders can overlap (at most one ttl), in words for its operator.
    pub overlap_faults: &'static [&'static str],
}

impl StoreInfo {
    /// A store that promises little: any ttl from 10 ms to [`Timing::MAX_TTL`], 10,000 items in a call, and neither hints
    /// nor durability nor other processes. What a later version of this type adds has a default here.
    pub const fn new(scheme: &'static str) -> StoreInfo {
        StoreInfo {
            scheme,
            min_ttl: Duration::from_millis(10),
            max_ttl: Timing::MAX_TTL,
            batch_limit: 10_000,
            watch: false,
            durable: false,
            shared: false,
            overlap_faults: &[],
        }
    }

    /// Sets [`StoreInfo::min_ttl`] and [`StoreInfo::max_ttl`].
    pub const fn ttl_between(mut self, min: Duration, max: Duration) -> StoreInfo {
        self.min_ttl = min;
        self.max_ttl = max;
        self
    }

    /// Sets [`StoreInfo::batch_limit`].
    pub const fn batch_limit(mut self, items: usize) -> StoreInfo {
        self.batch_limit = items;
        self
    }

    /// Sets [`StoreInfo::watch`].
    pub const fn watch(mut self, works: bool) -> StoreInfo {
        self.watch = works;
        self
    }

    /// Sets [`StoreInfo::durable`].
    pub const fn durable(mut self, durable: bool) -> StoreInfo {
        self.durable = durable;
        self
    }

    /// Sets [`StoreInfo::shared`].
    pub const fn shared(mut self, shared: bool) -> StoreInfo {
        self.shared = shared;
        self
    }

    /// Sets [`StoreInfo::overlap_faults`].
    pub const fn overlap_faults(mut self, faults: &'static [&'static str]) -> StoreInfo {
        self.overlap_faults = faults;
        self
    }
}
