//! What the world keeps for each key.

use std::collections::BTreeMap;

use tenure_core::LeaseKey;

use crate::invariants::bounded_overlap::BoundedOverlap;
use crate::invariants::leases_last::LeasesLast;
use crate::invariants::sink_never_goes_back::SinkNeverGoesBack;
use crate::invariants::terms_grow::TermsGrow;
use crate::sink::Sink;
use crate::tenure::Tenure;

/// One key, the sink that its holders write to, and what the invariants remember of it.
pub(super) struct Lease {
    pub(super) key: LeaseKey,
    pub(super) sink: Sink,
    /// The tenures that the store told of a request to resign, and how many had been granted by then.
    pub(super) asked: BTreeMap<Tenure, u64>,
    /// The place of the latest tenure in the order of grants, whatever the store knows of it now.
    pub(super) granted: u64,
    pub(super) promises: LeasesLast,
    pub(super) terms: TermsGrow,
    pub(super) sink_order: SinkNeverGoesBack,
    pub(super) overlap: BoundedOverlap,
}

impl Lease {
    /// A key that nobody has ever held.
    pub(super) fn new(key: LeaseKey) -> Lease {
        Lease {
            key,
            sink: Sink::default(),
            asked: BTreeMap::new(),
            granted: 0,
            promises: LeasesLast::default(),
            terms: TermsGrow::default(),
            sink_order: SinkNeverGoesBack::default(),
            overlap: BoundedOverlap::default(),
        }
    }
}
