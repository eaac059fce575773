//! The checks that every store makes before it sends a batch: no key twice, not too many items, a ttl it honours.

use std::collections::HashSet;
use std::time::Duration;

use tenure_core::LeaseKey;

use crate::error::{StoreError, StoreErrorKind};
use crate::info::StoreInfo;

/// Refuses a batch that is too large for the store or names a key twice: the outer error, nothing was sent.
pub fn check_batch<'a>(info: &StoreInfo, keys: impl ExactSizeIterator<Item = &'a LeaseKey>) -> Result<(), StoreError> {
    let (count, limit) = (keys.len(), info.batch_limit);
    if count > limit {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format!("a batch of {count} items; {}: takes at most {limit}, split it", info.scheme),
        ));
    }
    let mut seen = HashSet::with_capacity(if count > 1 { count } else { 0 });
    for key in keys {
        if count > 1 && !seen.insert(key) {
            return Err(StoreError::new(
                StoreErrorKind::Invalid,
                format!("key {key:?} is twice in one batch; send it once"),
            ));
        }
    }
    Ok(())
}

/// Refuses a ttl that the store does not honour: the inner error of that item alone.
pub fn check_ttl(info: &StoreInfo, key: &LeaseKey, ttl: Duration) -> Result<(), StoreError> {
    if ttl < info.min_ttl || ttl > info.max_ttl {
        return Err(StoreError::new(
            StoreErrorKind::Invalid,
            format!("key {key:?}: a ttl of {ttl:?}; {}: honours {:?} to {:?}", info.scheme, info.min_ttl, info.max_ttl),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn info() -> StoreInfo {
        StoreInfo::new("test").ttl_between(Duration::from_millis(10), Duration::from_secs(10)).batch_limit(2)
    }

    /// A repeated key is named; one too many is counted; what is left passes.
    #[test]
    fn batches_with_a_repeated_key_or_too_many_are_refused() {
        let [a, b, c] = ["a", "b", "c"].map(|key| LeaseKey::new(key).unwrap());
        assert!(check_batch(&info(), [].iter()).is_ok());
        assert!(check_batch(&info(), [a.clone(), b.clone()].iter()).is_ok());
        let twice = check_batch(&info(), [a.clone(), a.clone()].iter()).unwrap_err();
        assert_eq!(twice.kind(), StoreErrorKind::Invalid);
        assert!(twice.to_string().contains("\"a\""));
        assert!(check_batch(&info(), [a, b, c].iter()).unwrap_err().to_string().contains("at most 2"));
    }

    /// The limits belong to the range.
    #[test]
    fn a_ttl_is_held_to_the_limits() {
        let key = LeaseKey::new("k").unwrap();
        assert!(check_ttl(&info(), &key, Duration::from_millis(10)).is_ok());
        assert!(check_ttl(&info(), &key, Duration::from_secs(10)).is_ok());
        assert!(check_ttl(&info(), &key, Duration::from_millis(9)).is_err());
        assert!(check_ttl(&info(), &key, Duration::from_secs(11)).is_err());
    }
}
