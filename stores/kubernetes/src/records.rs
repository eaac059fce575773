//! Records as Lease objects: five requests, and which of their answers is which of three kinds of no.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use jiff::Timestamp;
use kube::client::Body;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tenure_records::{Changes, Content, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo, Timing};

use crate::api::{Answer, Api, Verb};
use crate::config::KubernetesConfig;
use crate::object::Object;
use crate::{names, watch};

/// Lease objects in one namespace.
#[derive(Debug)]
pub struct KubernetesRecords {
    api: Arc<Api>,
    prefix: String,
    timeout: Duration,
    /// Which verb is missing for lists and hints; `None` where nothing is.
    missing: Option<Verb>,
}

/// What of a list is read: a page.
#[derive(Deserialize)]
struct List {
    metadata: ListMetadata,
    #[serde(default)]
    items: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListMetadata {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

/// How many objects a page of a list has.
const PAGE: usize = 500;

static INFO: StoreInfo = StoreInfo::new("kubernetes")
    .ttl_between(Duration::from_secs(1), Timing::MAX_TTL)
    .durable(true)
    .shared(true)
    .overlap_faults(&[
        "the etcd behind the API server loses what it acknowledged, or is restored from a backup",
        "a candidate on an old client-go that is configured with a shorter LeaseDuration than the ttl here",
    ]);

impl KubernetesRecords {
    /// Finds the cluster, and what this program may do there: without `get` it fails; without `list` and `watch` there are
    /// no lists and no hints.
    pub(crate) async fn open(config: KubernetesConfig) -> Result<KubernetesRecords, StoreError> {
        let api = Arc::new(Api::connect(&config).await?);
        let mut records = KubernetesRecords { api, prefix: config.prefix, timeout: config.timeout, missing: None };
        let asked = async { tokio::join!(records.probe_get(), records.probe_list(), records.probe_watch()) };
        let late = |_| StoreError::new(StoreErrorKind::Unavailable, "kubernetes: the API server does not answer");
        let (get, list, watch) = tokio::time::timeout(records.call_timeout(), asked).await.map_err(late)?;
        get?;
        for (verb, probed) in [(Verb::Watch, watch), (Verb::List, list)] {
            match probed {
                Ok(()) => {}
                Err(error) if error.kind() == StoreErrorKind::Denied => records.missing = Some(verb),
                Err(error) => return Err(error),
            }
        }
        if let Some(verb) = records.missing {
            let (verb, namespace) = (verb.name(), records.api.namespace());
            let without = if verb == "list" { "neither lists nor hints" } else { "no hints" };
            tracing::warn!(
                "kubernetes: may not {verb} leases in namespace {namespace:?}: there are {without}, and a released key is found \
                 when its lease would have run out; everything else works"
            );
        }
        Ok(records)
    }

    async fn probe_get(&self) -> Result<(), StoreError> {
        let answer = self.api.call(Verb::Get, Some("tenure"), "", Vec::new()).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NOT_FOUND => Ok(()),
            _ => Err(self.api.refusal(Verb::Get, &answer)),
        }
    }

    async fn probe_list(&self) -> Result<(), StoreError> {
        self.page(Kind::Lease, 1, "").await.map(drop)
    }

    async fn probe_watch(&self) -> Result<(), StoreError> {
        // The answer begins at once and ends by itself; its beginning is enough.
        let query = format!("watch=1&timeoutSeconds=1&{}", watch::selector(Kind::Lease));
        let request = self.api.request(Verb::Watch, None, &query, Vec::new())?;
        let sent = self.api.client().await?.send(request.map(Body::from)).await;
        let status = sent.map_err(|error| self.api.failed(Verb::Watch, &error))?.status();
        if status == StatusCode::OK { Ok(()) } else { Err(self.api.refused(Verb::Watch, status, "")) }
    }

    /// A little more than the server is given, so that its own word of the end of its time arrives.
    fn call_timeout(&self) -> Duration {
        self.timeout + Duration::from_secs(1)
    }

    fn name(&self, place: &Place) -> String {
        names::of(&self.prefix, place)
    }

    async fn page(&self, kind: Kind, limit: usize, from: &str) -> Result<List, StoreError> {
        let from = utf8_percent_encode(from, NON_ALPHANUMERIC);
        let query = format!("limit={limit}&continue={from}&{}", watch::selector(kind));
        let answer = self.api.call(Verb::List, None, &query, Vec::new()).await?;
        match answer.status {
            StatusCode::OK => read(Verb::List, &answer),
            StatusCode::GONE => Err(Verb::List.unanswered("too much has changed between two pages".to_owned())),
            _ => Err(self.api.refusal(Verb::List, &answer)),
        }
    }

    fn allowed(&self, needed: &[Verb]) -> Result<(), StoreError> {
        match self.missing.filter(|missing| needed.contains(missing)) {
            Some(missing) => Err(self.api.refused(missing, StatusCode::FORBIDDEN, "asked at the start")),
            None => Ok(()),
        }
    }

    /// One write that replaces or creates an object.
    async fn store(&self, verb: Verb, object: &Object) -> Result<Swap, StoreError> {
        let name = (verb == Verb::Update).then_some(object.metadata.name.as_str());
        let answer = self.api.call(verb, name, "", object.to_body()).await?;
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => Ok(Swap::Done(read::<Object>(verb, &answer)?.version())),
            StatusCode::CONFLICT => Ok(Swap::Conflict(None)),
            StatusCode::NOT_FOUND if verb == Verb::Update && names_a_lease(&answer) => Ok(Swap::Conflict(None)),
            _ => Err(self.api.refusal(verb, &answer)),
        }
    }

    /// Deletes the object, or leaves one without content where deleting is not allowed.
    async fn delete(&self, place: &Place, mut object: Object) -> Result<Swap, StoreError> {
        let (uid, version) = (&object.metadata.uid, &object.metadata.resource_version);
        let only = serde_json::json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid, "resourceVersion": version},
        });
        let name = Some(object.metadata.name.as_str());
        let answer = self.api.call(Verb::Delete, name, "", only.to_string().into_bytes()).await?;
        match answer.status {
            StatusCode::OK | StatusCode::ACCEPTED => Ok(Swap::Done(Version::new(format!("{uid}/deleted")))),
            StatusCode::CONFLICT => Ok(Swap::Conflict(None)),
            StatusCode::NOT_FOUND if names_a_lease(&answer) => Ok(Swap::Conflict(None)),
            StatusCode::FORBIDDEN => {
                object.put(place, None, Timestamp::now())?;
                self.store(Verb::Update, &object).await
            }
            _ => Err(self.api.refusal(Verb::Delete, &answer)),
        }
    }
}

#[async_trait]
impl Records for KubernetesRecords {
    fn info(&self) -> RecordsInfo {
        let store = INFO.clone().watch(self.missing.is_none());
        RecordsInfo { store, call_timeout: self.call_timeout(), in_flight: 16, batch: 1 }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        // Without a resourceVersion the answer is from a quorum of etcd.
        let answer = self.api.call(Verb::Get, Some(&self.name(place)), "", Vec::new()).await?;
        let seen = match answer.status {
            StatusCode::OK => seen(place, &read::<Object>(Verb::Get, &answer)?)?,
            StatusCode::NOT_FOUND if names_a_lease(&answer) => Seen::default(),
            _ => return Err(self.api.refusal(Verb::Get, &answer)),
        };
        Ok(Seen { server_micros: answer.server_micros, ..seen })
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        let Write { place, expected, to } = write;
        match (expected, to) {
            (None, Some(content)) => {
                let mut object = Object::named(self.name(place));
                object.put(place, Some(content), Timestamp::now())?;
                self.store(Verb::Create, &object).await
            }
            (Some(version), Some(content)) => {
                let mut object = Object::at(version)?;
                object.put(place, Some(content), Timestamp::now())?;
                self.store(Verb::Update, &object).await
            }
            (Some(version), None) => self.delete(place, Object::at(version)?).await,
            (None, None) => match self.read(place).await? {
                Seen { version: None, .. } => Ok(Swap::Done(Version::new("absent"))),
                found => Ok(Swap::Conflict(Some(found))),
            },
        }
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        self.allowed(&[Verb::List])?;
        let (mut found, mut from) = (Vec::new(), String::new());
        loop {
            let page = self.page(kind, PAGE, &from).await?;
            let places = page.items.iter().filter_map(|object| Some((placed(kind, &self.prefix, object)?, object)));
            for (place, object) in places.filter(|(place, _)| prefix.matches(&place.key)) {
                let seen = seen(&place, object)?;
                found.push((place.key, seen));
            }
            from = page.metadata.r#continue;
            if from.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        self.allowed(&[Verb::List, Verb::Watch])?;
        let from = self.page(kind, 1, "").await?.metadata.resource_version;
        let (keys, prefix) = (self.prefix.clone(), prefix.clone());
        let told = move |object: &Object, gone: bool| {
            let place = placed(kind, &keys, object).filter(|place| prefix.matches(&place.key))?;
            let seen = if gone { Some(Seen::default()) } else { seen(&place, object).ok() };
            Some((place, seen))
        };
        watch::follow(Arc::clone(&self.api), kind, from, told).await
    }
}

/// What is seen in an object.
fn seen(place: &Place, object: &Object) -> Result<Seen, StoreError> {
    let content: Option<Content> = object.content(place)?;
    Ok(Seen { content, version: Some(object.version()), ..Seen::default() })
}

/// The place that the object is of; `None` where it is another program's, or lies under another prefix.
fn placed(kind: Kind, prefix: &str, object: &Object) -> Option<Place> {
    let place = Place { kind, key: object.key()? };
    (names::of(prefix, &place) == object.metadata.name).then_some(place)
}

/// An answer of success. Where it cannot be read a write is done all the same, and its version is not known.
fn read<T: serde::de::DeserializeOwned>(verb: Verb, answer: &Answer) -> Result<T, StoreError> {
    serde_json::from_slice(&answer.body).map_err(|_| verb.unanswered("the answer is not what it should be".to_owned()))
}

/// Whether what was not found is the object, and not its namespace or the whole API.
fn names_a_lease(answer: &Answer) -> bool {
    let status = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default();
    status["details"]["kind"] == "leases" && status["details"]["name"].is_string()
}
