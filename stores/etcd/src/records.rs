//! Records in etcd: one key each, written in a transaction that compares its `mod_revision`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tenure_base_net::spoken::{Spoken, spoken};
use tenure_records::{Changes, Content, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo, Timing};

use crate::config::EtcdConfig;
use crate::http::{Asked, Cluster, error, number};
use crate::watch;

/// Records in etcd.
#[derive(Clone, Debug)]
pub struct EtcdRecords {
    cluster: Arc<Cluster>,
    prefix: String,
    call_timeout: Duration,
}

static INFO: StoreInfo = StoreInfo::new("etcd")
    .ttl_between(Duration::from_millis(100), Timing::MAX_TTL)
    .watch(true)
    .durable(true)
    .shared(true)
    .overlap_faults(&[
        "the cluster is restored from a backup, or forced into a new one, and so has lost what was written since",
        "the URL names members of several clusters",
    ]);

/// How many parts a transaction of etcd takes (`--max-txn-ops`), less the one that stands around them.
const PARTS: usize = 127;
/// How many bytes of values one transaction carries: etcd takes 1.5 MiB altogether (`--max-request-bytes`).
const BYTES: usize = 1 << 20;
/// How many keys one page of a scan has.
const PAGE: usize = 500;

impl EtcdRecords {
    /// Connects: one read below the prefix must be answered.
    pub async fn open(config: EtcdConfig) -> Result<EtcdRecords, StoreError> {
        let cluster = Arc::new(Cluster::new(&config)?);
        // A read asks every member, a write may be sent to the last one.
        let call_timeout = config.timeout * u32::try_from(config.servers.len() + 2).unwrap_or(u32::MAX);
        let records = EtcdRecords { cluster, prefix: config.prefix, call_timeout };
        let (first, end) = records.range(Kind::Lease, "");
        let probe = json!({ "key": encoded(&first), "range_end": end, "limit": 1, "keys_only": true });
        let Err(failed) = records.cluster.ask("v3/kv/range", &probe, Asked::Read).await else { return Ok(records) };
        // etcd closes a connection without TLS and says nothing.
        let plain = config.servers.first().filter(|_| config.tls.is_none() && failed.is_retryable());
        if let Some(first) = plain
            && spoken(&first.host, first.port).await == Some(Spoken::Tls)
        {
            let how = "write etcds://, or name its authority with ?ca=FILE";
            return Err(error(StoreErrorKind::Invalid, format!("{first} speaks TLS; {how}")));
        }
        Err(failed)
    }

    fn key(&self, place: &Place) -> String {
        encoded(format!("{}{}", self.prefix, place.path()).as_bytes())
    }

    /// The first key of a prefix, and what comes after its last one.
    fn range(&self, kind: Kind, prefix: &str) -> (Vec<u8>, String) {
        let first = format!("{}{}", self.prefix, kind.path_prefix(prefix)).into_bytes();
        let mut end = first.clone();
        // The last byte of UTF-8 is never 0xff.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        (first, encoded(&end))
    }

    /// What a key and its value are, where they are of this kind.
    fn found(&self, kind: Kind, pair: &Value, epoch: u64) -> Option<(Place, Seen)> {
        let key = decoded(&pair["key"])?;
        let place = Place::of_path(kind, std::str::from_utf8(&key).ok()?.strip_prefix(&self.prefix)?)?;
        let seen = seen(&place, pair, epoch);
        Some((place, seen))
    }

    /// One write as a transaction. `None` where it expects a version from before the cluster went back: nothing has that.
    fn txn(&self, write: &Write, epoch: u64) -> Option<Value> {
        let key = self.key(&write.place);
        let expected = match &write.expected {
            Some(version) => version.as_str().strip_suffix(&suffix(epoch))?,
            None => "0",
        };
        let done = match &write.to {
            Some(content) => {
                let value = encoded(&content.to_bytes(&write.place.key));
                json!({ "request_put": { "key": key, "value": value } })
            }
            None => json!({ "request_delete_range": { "key": key } }),
        };
        Some(json!({
            "compare": [{ "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": expected }],
            "success": [done],
            "failure": [{ "request_range": { "key": key } }],
        }))
    }

    /// Sends these writes in one transaction, each of which decides on its own.
    async fn swap(&self, writes: &[&Write]) -> Vec<Result<Swap, StoreError>> {
        let epoch = self.cluster.standing.borrow().epoch;
        let parts: Vec<_> = writes.iter().map(|write| self.txn(write, epoch)).collect();
        let sent: Vec<_> = parts.iter().flatten().map(|txn| json!({ "request_txn": txn })).collect();
        if sent.is_empty() {
            return writes.iter().map(|_| Ok(Swap::Conflict(None))).collect();
        }
        let count = sent.len();
        let answer = self.cluster.ask("v3/kv/txn", &json!({ "success": sent }), Asked::Write).await;
        let answer = answer.and_then(|(answer, epoch)| match answer["responses"].as_array() {
            Some(responses) if responses.len() == count => {
                Ok((number(&answer["header"]["revision"]), responses.clone(), epoch))
            }
            _ => Err(error(StoreErrorKind::TimedOut, "a transaction was answered with other parts than it had")),
        });
        let mut at = 0;
        let swaps = writes.iter().zip(&parts).map(|(write, part)| {
            if part.is_none() {
                return Ok(Swap::Conflict(None));
            }
            let (revision, responses, epoch) = answer.as_ref().map_err(Clone::clone)?;
            let inner = &responses[at]["response_txn"];
            at += 1;
            Ok(match inner["succeeded"].as_bool() {
                // The heads of inner answers are empty: whatever one transaction writes has its one revision.
                Some(true) => Swap::Done(version(*revision, *epoch)),
                _ => match &inner["responses"][0]["response_range"] {
                    Value::Null => Swap::Conflict(None),
                    range => Swap::Conflict(Some(seen(&write.place, &range["kvs"][0], *epoch))),
                },
            })
        });
        swaps.collect()
    }
}

#[async_trait]
impl Records for EtcdRecords {
    fn info(&self) -> RecordsInfo {
        RecordsInfo { store: INFO.clone(), call_timeout: self.call_timeout, in_flight: 16, batch: PARTS }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        let (answer, epoch) = self.cluster.ask("v3/kv/range", &json!({ "key": self.key(place) }), Asked::Read).await?;
        Ok(seen(place, &answer["kvs"][0], epoch))
    }

    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        let parts: Vec<_> = places.iter().map(|place| json!({ "request_range": { "key": self.key(place) } })).collect();
        let answer = self.cluster.ask("v3/kv/txn", &json!({ "success": parts }), Asked::Read).await;
        let one = |(at, place)| {
            let (answer, epoch) = answer.as_ref().map_err(Clone::clone)?;
            match &answer["responses"][at]["response_range"] {
                Value::Null => {
                    Err(error(StoreErrorKind::Unavailable, "a read was answered with fewer parts than it had"))
                }
                range => Ok(seen(place, &range["kvs"][0], *epoch)),
            }
        };
        places.iter().enumerate().map(one).collect()
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        let lost = || Err(error(StoreErrorKind::TimedOut, "a write was not answered"));
        self.swap(&[write]).await.pop().unwrap_or_else(lost)
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let mut requests: Vec<Vec<&Write>> = Vec::new();
        let mut room = 0;
        for write in writes {
            let bytes = write.to.as_ref().map_or(0, |content| content.to_bytes(&write.place.key).len());
            match requests.last_mut() {
                Some(request) if bytes <= room => request.push(write),
                _ => {
                    requests.push(vec![write]);
                    room = BYTES;
                }
            }
            room = room.saturating_sub(bytes);
        }
        join_all(requests.iter().map(|request| self.swap(request))).await.into_iter().flatten().collect()
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let (mut first, end) = self.range(kind, prefix.as_str());
        // All pages are of the revision of the first one.
        let (mut revision, mut all) = (0, Vec::new());
        loop {
            let page =
                json!({ "key": encoded(&first), "range_end": end, "limit": PAGE, "revision": revision.to_string() });
            let (answer, epoch) = self.cluster.ask("v3/kv/range", &page, Asked::Read).await?;
            let pairs = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
            let found = pairs.iter().filter_map(|pair| self.found(kind, pair, epoch));
            all.extend(found.map(|(place, seen)| (place.key, seen)));
            match pairs.last().and_then(|pair| decoded(&pair["key"])) {
                Some(last) if answer["more"] == true => first = [last.as_slice(), b"\0"].concat(),
                _ => return Ok(all),
            }
            if revision == 0 {
                revision = number(&answer["header"]["revision"]);
            }
        }
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let (first, end) = self.range(kind, prefix.as_str());
        let range = json!({ "key": encoded(&first), "range_end": end });
        let records = self.clone();
        let found = Box::new(move |pair: &Value, epoch| records.found(kind, pair, epoch));
        watch::changes(Arc::clone(&self.cluster), range, found).await
    }
}

/// What stands in a place, where this is its key and value; nothing where there is none.
fn seen(place: &Place, pair: &Value, epoch: u64) -> Seen {
    if pair.is_null() {
        return Seen::default();
    }
    let bytes = decoded(&pair["value"]).unwrap_or_default();
    let content = match place.kind {
        Kind::Lease => Content::lease(&place.key, &bytes),
        Kind::Document => Content::Document(bytes),
    };
    let version = version(number(&pair["mod_revision"]), epoch);
    Seen { content: Some(content), version: Some(version), ..Seen::default() }
}

fn version(revision: u64, epoch: u64) -> Version {
    Version::new(format!("{revision}{}", suffix(epoch)))
}

/// Sets the versions of a cluster that went back apart from those that it had before.
fn suffix(epoch: u64) -> String {
    if epoch == 0 { String::new() } else { format!("/{epoch}") }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Empty where there is none: what is empty is left out.
fn decoded(value: &Value) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).ok()
}
