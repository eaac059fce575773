//! The records of several keys, and the release of those that dead processes hold.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use tenure_core::{Held, KeyPrefix, LeaseKey, LeaseRecord};
use tenure_store::{LeaseStore, StoreError};

/// Up to so many keys are read one by one, as a list may scan everything that the store has. For more of them one list is
/// cheaper.
const ONE_BY_ONE: usize = 16;

/// The records of these keys, of those that are held now. Not one atomic view: keys are read one after the other.
pub async fn records_of(store: &dyn LeaseStore, keys: &[LeaseKey]) -> Result<Vec<LeaseRecord>, StoreError> {
    if keys.len() <= ONE_BY_ONE {
        let records = try_join_all(keys.iter().map(|key| store.record(key))).await?;
        return Ok(records.into_iter().flatten().collect());
    }
    let wanted: HashSet<&LeaseKey> = keys.iter().collect();
    let mut records = store.list(&common_prefix(keys)).await?;
    records.retain(|record| wanted.contains(&record.key));
    Ok(records)
}

/// Releases those of `records` whose nonce has a process half for which `is_dead`; returns how many those were.
pub(crate) async fn release_of_processes(
    store: &dyn LeaseStore,
    records: Vec<LeaseRecord>,
    is_dead: impl Fn(u64) -> bool,
    ttl: Duration,
) -> Result<usize, StoreError> {
    let held = |record: LeaseRecord| {
        let nonce = record.nonce.filter(|nonce| is_dead(nonce.process))?;
        Some(Held { key: record.key, nonce, term: record.term?, ttl, note: record.note })
    };
    let held: Vec<Held> = records.into_iter().filter_map(held).collect();
    if !held.is_empty() {
        for answer in store.release(&held).await? {
            answer?;
        }
    }
    Ok(held.len())
}

/// The longest text that all keys begin with.
fn common_prefix(keys: &[LeaseKey]) -> KeyPrefix {
    let mut keys = keys.iter().map(LeaseKey::as_str);
    let first = keys.next().unwrap_or_default();
    let common = keys.fold(first, |common, key| {
        let same = common.char_indices().zip(key.chars()).find(|((_, ours), theirs)| ours != theirs);
        &common[..same.map_or(common.len().min(key.len()), |((at, _), _)| at)]
    });
    KeyPrefix::new(common).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{Claim, HolderId, Nonce};
    use tenure_store::MemoryStore;

    /// Only the records of the wanted keys are returned, whichever way they are read.
    #[tokio::test]
    async fn only_the_wanted_keys_are_returned() {
        let store = MemoryStore::new();
        let claims = ["k", "k/0", "k/1", "k/1/more", "k/99", "kk"].map(|key| {
            Claim::new(
                LeaseKey::new(key).unwrap(),
                HolderId::new("h").unwrap(),
                Nonce { process: 1, campaign: 1 },
                Duration::from_secs(10),
            )
        });
        for answer in store.acquire(&claims).await.unwrap() {
            answer.unwrap();
        }
        for (slots, expected) in [(None, vec!["k"]), (Some(3), vec!["k/0", "k/1"]), (Some(50), vec!["k/0", "k/1"])] {
            let slot = |number: usize| LeaseKey::new(format!("k/{number}")).unwrap();
            let keys = slots.map_or(vec![LeaseKey::new("k").unwrap()], |slots| (0..slots).map(slot).collect());
            let records = records_of(&store, &keys).await.unwrap();
            let keys: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
            assert_eq!(keys, expected, "{slots:?}");
        }
    }

    /// The prefix is cut between characters.
    #[test]
    fn the_common_prefix_is_the_longest() {
        let prefix = |keys: &[&str]| {
            let keys: Vec<LeaseKey> = keys.iter().map(|key| LeaseKey::new(*key).unwrap()).collect();
            common_prefix(&keys).as_str().to_owned()
        };
        assert_eq!(prefix(&["k/0", "k/1", "k/10"]), "k/");
        assert_eq!(prefix(&["aä", "aö"]), "a");
        assert_eq!(prefix(&["a", "ab"]), "a");
        assert_eq!(prefix(&["a", "b"]), "");
    }
}
