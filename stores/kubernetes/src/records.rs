//! Records as Lease objects: what each call of the API server is for them.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use jiff::Timestamp;
use tenure_base_kubernetes::{Changed, Client, KubernetesErrorKind, Object, leases, object_name};
use tenure_records::{Changes, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreInfo, Timing};

use crate::config::{KubernetesConfig, failed};
use crate::object::{at, content, key, put, selector, version_of};

/// Lease objects in one namespace.
#[derive(Debug)]
pub struct KubernetesRecords {
    client: Client,
    prefix: String,
}

static INFO: StoreInfo = StoreInfo::new("kubernetes")
    .ttl_between(Duration::from_secs(1), Timing::MAX_TTL)
    .durable(true)
    .shared(true)
    .overlap_faults(&[
        "the etcd behind the API server loses what it acknowledged, or is restored; or somebody deletes or edits the Lease",
        "the API server's wall clock was ahead and is set back, and then its etcd is restored: two tenures may have one term",
        "a candidate on an old client-go that is configured with a shorter LeaseDuration than the ttl here",
    ]);

impl KubernetesRecords {
    /// Finds the cluster, and what this program may do there: without `get` it fails; without `list` and `watch` there are
    /// no lists and no hints.
    pub(crate) async fn open(config: KubernetesConfig) -> Result<KubernetesRecords, StoreError> {
        let client = Client::connect(&config.cluster, leases(), &selector(Kind::Lease)).await.map_err(failed)?;
        if let Some(verb) = client.missing() {
            let (verb, namespace) = (verb.name(), client.namespace());
            let without = if verb == "list" { "neither lists nor hints" } else { "no hints" };
            tracing::warn!(
                "kubernetes: may not {verb} leases in namespace {namespace:?}: there are {without}; all else works"
            );
        }
        Ok(KubernetesRecords { client, prefix: config.prefix })
    }
}

#[async_trait]
impl Records for KubernetesRecords {
    fn info(&self) -> RecordsInfo {
        let store = INFO.clone().watch(self.client.missing().is_none());
        RecordsInfo { store, call_timeout: self.client.call_timeout(), in_flight: 16, batch: 1 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        let found = self.client.get(&name(&self.prefix, place)).await.map_err(failed)?;
        let seen = found.object.map(|object| seen(place, &object)).transpose()?;
        Ok(Seen { server_micros: found.server_micros, ..seen.unwrap_or_default() })
    }

    async fn write(&self, Write { place, expected, to }: &Write) -> Result<Swap, StoreError> {
        let name = name(&self.prefix, place);
        let mut object = expected.as_ref().map_or_else(|| Ok(Object::new(&name, &leases())), at)?;
        // A version of another place is of another object, and matches nothing here.
        object.metadata.name = Some(name);
        let deleted = Version::new(format!("{}/deleted", object.metadata.uid.as_deref().unwrap_or_default()));
        let changed = match (expected, to) {
            (_, Some(content)) => {
                put(&mut object, place, Some(content), Timestamp::now())?;
                match expected {
                    Some(_) => self.client.replace(&object).await,
                    None => self.client.create(&object).await,
                }
            }
            (Some(_), None) => match self.client.delete(&object).await {
                Ok(Changed::Done(_)) => return Ok(Swap::Done(deleted)),
                // An object without content does instead.
                Err(error) if error.kind() == KubernetesErrorKind::Forbidden => {
                    put(&mut object, place, None, Timestamp::now())?;
                    self.client.replace(&object).await
                }
                changed => changed,
            },
            (None, None) => {
                return Ok(match self.read(place).await? {
                    Seen { version: None, .. } => Swap::Done(Version::new("absent")),
                    found => Swap::Conflict(Some(found)),
                });
            }
        };
        Ok(match changed.map_err(failed)? {
            Changed::Done(object) => Swap::Done(version_of(&object)),
            Changed::Conflict => Swap::Conflict(None),
        })
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let selector = selector(kind);
        let found = self.client.list(&selector, |object| {
            let place = placed(kind, &self.prefix, &object).filter(|place| prefix.matches(&place.key))?;
            Some(seen(&place, &object).map(|seen| (place.key, seen)))
        });
        found.await.map_err(failed)?.into_iter().collect()
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        self.client.diagnose().await.map_err(failed)
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let changes = self.client.watch(&selector(kind)).await.map_err(failed)?;
        let (keys, prefix) = (self.prefix.clone(), prefix.clone());
        let told = changes.filter_map(move |change| {
            let place = placed(kind, &keys, &change.object).filter(|place| prefix.matches(&place.key));
            std::future::ready(place.map(|place| {
                let seen = if change.deleted { Some(Seen::default()) } else { seen(&place, &change.object).ok() };
                (place, seen)
            }))
        });
        Ok(told.boxed())
    }
}

/// The name of the object of this place.
fn name(prefix: &str, place: &Place) -> String {
    object_name(&format!("{prefix}{}", place.path()))
}

/// The place that the object is of; `None` where it is another program's, or lies under another prefix.
fn placed(kind: Kind, prefix: &str, object: &Object) -> Option<Place> {
    let place = Place { kind, key: key(object)? };
    (object.metadata.name.as_deref() == Some(name(prefix, &place).as_str())).then_some(place)
}

/// What is seen in an object.
fn seen(place: &Place, object: &Object) -> Result<Seen, StoreError> {
    Ok(Seen { content: content(place, object)?, version: Some(version_of(object)), ..Seen::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that is a name is the Lease of that name, behind the prefix; a document is never the Lease of its key.
    #[test]
    fn no_two_places_share_an_object() {
        let key = LeaseKey::new("x").unwrap();
        let (lease, document) = (Place::lease(&key), Place::document(&key));
        assert_eq!((name("", &lease).as_str(), name("team-", &lease).as_str()), ("x", "team-x"));
        assert!(name("", &document).starts_with("doc-x--"));
        assert_ne!(name("", &document), name("", &Place::lease(&LeaseKey::new("doc/x").unwrap())));
    }
}
