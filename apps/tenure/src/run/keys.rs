//! The keys of a run, any one of which is enough, and the leases that they have at the moment.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use tenure::{KeyPrefix, LeaseKey, LeaseStore};
use tenure_core::{LeaseRecord, NameError};
use tenure_store::StoreError;

/// Up to so many keys are looked at one by one, as a list may look through everything that the store has. Of more of them
/// one list is cheaper.
const ONE_BY_ONE: usize = 16;

/// One key, or one for each slot.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    lease: LeaseKey,
    all: Vec<LeaseKey>,
    prefix: KeyPrefix,
}

impl Keys {
    /// The key itself, or `LEASE/0` to `LEASE/N-1`.
    pub(super) fn new(lease: &LeaseKey, slots: Option<u32>) -> Result<Keys, NameError> {
        let (all, prefix) = match slots {
            None => (vec![lease.clone()], KeyPrefix::from(lease)),
            Some(slots) => {
                let slot = |number| LeaseKey::new(format!("{lease}/{number}"));
                let all: Vec<LeaseKey> = (0..slots).map(slot).collect::<Result<_, _>>()?;
                (all, KeyPrefix::new(format!("{lease}/"))?)
            }
        };
        Ok(Keys { lease: lease.clone(), all, prefix })
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

    /// What they all begin with.
    pub(super) fn prefix(&self) -> &KeyPrefix {
        &self.prefix
    }

    /// The leases that are held now; nothing of other keys, whatever they begin with.
    pub(super) async fn records(&self, store: &dyn LeaseStore) -> Result<Vec<LeaseRecord>, StoreError> {
        if self.all.len() <= ONE_BY_ONE {
            let records = try_join_all(self.all.iter().map(|key| store.record(key))).await?;
            return Ok(records.into_iter().flatten().collect());
        }
        let own: HashSet<&LeaseKey> = self.all.iter().collect();
        let mut records = store.list(&self.prefix).await?;
        records.retain(|record| own.contains(&record.key));
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tenure_core::{Claim, HolderId, Nonce, Note};

    /// Only leases of the run's own keys are shown, whichever way they are looked for.
    #[tokio::test]
    async fn only_own_leases_are_shown() {
        let store = tenure_open::open("memory:keys").await.unwrap();
        let held = ["k", "k/0", "k/1", "k/1/more", "k/99", "kk"];
        let claims = held.map(|key| Claim {
            key: LeaseKey::new(key).unwrap(),
            holder: HolderId::new("h").unwrap(),
            nonce: Nonce { process: 1, campaign: 1 },
            ttl: Duration::from_secs(10),
            hold: Duration::ZERO,
            above: None,
            note: Note::default(),
        });
        for answer in store.acquire(&claims).await.unwrap() {
            answer.unwrap();
        }
        for (slots, expected) in [(None, vec!["k"]), (Some(3), vec!["k/0", "k/1"]), (Some(50), vec!["k/0", "k/1"])] {
            let keys = Keys::new(&LeaseKey::new("k").unwrap(), slots).unwrap();
            let records = keys.records(&*store).await.unwrap();
            let shown: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
            assert_eq!(shown, expected, "{slots:?}");
        }
    }
}
