//! The keys of the slots.

use alloc::format;
use alloc::sync::Arc;

use crate::{KeyPrefix, LeaseKey, NameError};

/// One key for each slot, numbered from zero, and what they all begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotKeys {
    lease: LeaseKey,
    keys: Arc<[LeaseKey]>,
    prefix: KeyPrefix,
}

impl SlotKeys {
    /// The most slots. Each is a lease that every waiting candidate looks at.
    pub const MOST: u32 = 10_000;

    /// One slot, whose key is `lease` itself: a plain election.
    pub fn one(lease: LeaseKey) -> SlotKeys {
        SlotKeys { keys: Arc::from([lease.clone()]), prefix: KeyPrefix::from(&lease), lease }
    }

    /// The keys `lease/0` to `lease/COUNT-1`. All candidates must be given the same count.
    ///
    /// Fails where there are none of them or more than [`SlotKeys::MOST`], and where the longest key is too long.
    pub fn numbered(lease: LeaseKey, count: u32) -> Result<SlotKeys, NameError> {
        if count == 0 || count > SlotKeys::MOST {
            return Err(NameError::Slots { count, most: SlotKeys::MOST });
        }
        let keys = (0..count).map(|slot| LeaseKey::new(format!("{lease}/{slot}"))).collect::<Result<_, _>>()?;
        Ok(SlotKeys { keys, prefix: KeyPrefix::new(format!("{lease}/"))?, lease })
    }

    /// What the user calls it, without the number of a slot.
    pub fn lease(&self) -> &LeaseKey {
        &self.lease
    }

    /// The key of each slot; at least one.
    pub fn all(&self) -> &Arc<[LeaseKey]> {
        &self.keys
    }

    /// What they all begin with. Keys of nobody's slot may begin with it too.
    pub fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slots are numbered from zero under the lease's name, and bounded.
    #[test]
    fn keys_are_numbered_and_bounded() {
        let lease = LeaseKey::new("k").unwrap();
        let keys = SlotKeys::numbered(lease.clone(), 2).unwrap();
        assert_eq!(keys.all().iter().map(LeaseKey::as_str).collect::<alloc::vec::Vec<_>>(), ["k/0", "k/1"]);
        assert!(keys.all().iter().all(|key| keys.prefix().matches(key)));
        for count in [0, SlotKeys::MOST + 1] {
            let error = SlotKeys::numbered(lease.clone(), count).unwrap_err();
            assert_eq!(format!("{error}"), format!("{count} slots; from 1 to 10000 are allowed"));
        }
        assert_eq!(**SlotKeys::one(lease.clone()).all(), [lease]);
    }
}
