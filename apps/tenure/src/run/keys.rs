//! The keys of a run, any one of which is enough.

use tenure::LeaseKey;
use tenure_core::NameError;

/// One key, or one for each slot.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    lease: LeaseKey,
    all: Vec<LeaseKey>,
}

impl Keys {
    /// The key itself, or `LEASE/0` to `LEASE/N-1`.
    pub(super) fn new(lease: &LeaseKey, slots: Option<u32>) -> Result<Keys, NameError> {
        let slot = |number| LeaseKey::new(format!("{lease}/{number}"));
        let all = match slots {
            None => vec![lease.clone()],
            Some(slots) => (0..slots).map(slot).collect::<Result<_, _>>()?,
        };
        Ok(Keys { lease: lease.clone(), all })
    }

    /// What the user calls it, without the number of a slot.
    pub(super) fn lease(&self) -> &LeaseKey {
        &self.lease
    }

    /// How many slots there are, where there are slots.
    pub(super) fn slots(&self) -> Option<usize> {
        (self.all[0] != self.lease).then_some(self.all.len())
    }

    /// Every one of them; at least one.
    pub(super) fn all(&self) -> &[LeaseKey] {
        &self.all
    }
}
