//! Changes on a server that tells of none: looked for again and again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tenure_store::{KeyPrefix, LeaseKey, StoreError};

use crate::calls::Calls;
use crate::records::{Changes, Kind, Place, Records, Seen, Version};

/// What changes under keys with this prefix, as two looks one after the other find it: the [`Records::changes`] of a server
/// that tells of none. Ends where a look fails, or takes longer than a scan may ([`Records::scan`]). What changes and changes back between two looks is not noticed.
pub async fn polled_changes<R: Records>(
    records: R,
    every: Duration,
    kind: Kind,
    prefix: KeyPrefix,
) -> Result<Changes, StoreError> {
    let mut looks = Looks { calls: Calls::new(records), kind, prefix, known: HashMap::new() };
    looks.differences().await?;
    let changes = stream::unfold((looks, VecDeque::new()), move |(mut looks, mut told)| async move {
        loop {
            if let Some(change) = told.pop_front() {
                return Some((change, (looks, told)));
            }
            tokio::time::sleep(every).await;
            told.extend(looks.differences().await.ok()?);
        }
    });
    Ok(changes.boxed())
}

struct Looks<R> {
    calls: Calls<R>,
    kind: Kind,
    prefix: KeyPrefix,
    known: HashMap<LeaseKey, Option<Version>>,
}

impl<R: Records> Looks<R> {
    /// What is not as it was at the last look. What was there and is not listed any more may still be there, released: of that
    /// only the place is told.
    async fn differences(&mut self) -> Result<Vec<(Place, Option<Seen>)>, StoreError> {
        let found = self.calls.scan(self.kind, &self.prefix).await?;
        let mut gone = std::mem::take(&mut self.known);
        let mut changes = Vec::new();
        for (key, seen) in found {
            if gone.remove(&key).as_ref() != Some(&seen.version) {
                changes.push((Place { kind: self.kind, key: key.clone() }, Some(seen.clone())));
            }
            self.known.insert(key, seen.version);
        }
        let kind = self.kind;
        changes.extend(gone.into_keys().map(|key| (Place { kind, key }, None)));
        Ok(changes)
    }
}
