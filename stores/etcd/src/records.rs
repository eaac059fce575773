//! Records in etcd: one key each, written in a transaction that compares its `mod_revision`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{join, ready};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tenure_base_etcd::{Gateway, diagnose};
use tenure_base_http::encoding::{base64, bytes, end_of_prefix, number};
use tenure_base_http::{Asked, Endpoints};
use tenure_records::{Changes, Content, Kind, Place, Records, RecordsInfo, Seen, Swap, Version, Write};
use tenure_store::{Diagnosis, KeyPrefix, LeaseKey, StoreError, StoreErrorKind, StoreInfo, Timing};

use crate::answers::{error, unanswered};
use crate::config::EtcdConfig;

/// Records in etcd.
#[derive(Clone, Debug)]
pub struct EtcdRecords {
    cluster: Arc<Endpoints<Gateway>>,
    prefix: String,
}

static INFO: StoreInfo = StoreInfo::new("etcd")
    .ttl_between(Duration::from_millis(100), Timing::MAX_TTL)
    .watch(true)
    .durable(true)
    .shared(true)
    .overlap_faults(&[
        "the cluster is restored from a backup, or forced into a new one, and so has lost what was written since",
        "the URL names members of several clusters",
        "a candidate's wall clock was ahead and is set back, and then the cluster is restored: two tenures may have one term",
    ]);

/// What an answer was told with: the epoch in which it was asked for, and for how long nothing was lost.
#[derive(Clone, Copy, Debug)]
struct Told {
    epoch: u64,
    complete_for: Option<Duration>,
}

/// How many parts a transaction of etcd takes (`--max-txn-ops`), less the one that stands around them.
const PARTS: usize = 127;
/// How many bytes of values one transaction carries: etcd takes 1.5 MiB altogether (`--max-request-bytes`).
const BYTES: usize = 1 << 20;
/// How many keys one page of a scan has: of leases, and of documents, of which each may have 128 KiB.
const PAGES: (usize, usize) = (500, 100);

impl EtcdRecords {
    /// Connects: one read below the prefix must be answered.
    pub async fn open(config: EtcdConfig) -> Result<EtcdRecords, StoreError> {
        let (cluster, members) = (Arc::new(config.endpoints()?), &config.cluster);
        let records = EtcdRecords { cluster, prefix: config.prefix };
        match records.probe(&records.range(Kind::Lease, "")).await {
            Err(failed) if failed.is_retryable() => Err(members.unexpected_tls().await.map_or(failed, |first| {
                let mend = "write etcds://, or name its authority with ?ca=FILE";
                error(StoreErrorKind::Invalid, format!("{first} speaks TLS; {mend}"))
            })),
            answer => answer.map(|()| records),
        }
    }

    async fn ask(&self, path: &str, body: &Value, asked: Asked) -> Result<(Value, Told), StoreError> {
        let (answer, epoch) = self.cluster.ask(path, body, asked).await.map_err(unanswered)?;
        Ok((answer, self.told(epoch)))
    }

    fn told(&self, epoch: u64) -> Told {
        Told { epoch, complete_for: self.cluster.complete_for() }
    }

    /// Asks whether there is anything in this range: shows that it may be read, and renews a token that has run out.
    async fn probe(&self, range: &Value) -> Result<(), StoreError> {
        let mut probe = range.clone();
        (probe["limit"], probe["keys_only"]) = (1.into(), true.into());
        self.ask("v3/kv/range", &probe, Asked::Read).await.map(drop)
    }

    fn key(&self, place: &Place) -> String {
        base64(format!("{}{}", self.prefix, place.path()))
    }

    /// All keys with a prefix.
    fn range(&self, kind: Kind, prefix: &str) -> Value {
        let prefix = format!("{}{}", self.prefix, kind.path_prefix(prefix));
        json!({ "key": base64(&prefix), "range_end": base64(end_of_prefix(&prefix)) })
    }

    /// What a key and its value are, where they are of this kind.
    fn found(&self, kind: Kind, pair: &Value, told: Told) -> Option<(Place, Seen)> {
        let key = bytes(&pair["key"])?;
        let place = Place::of_path(kind, std::str::from_utf8(&key).ok()?.strip_prefix(&self.prefix)?)?;
        let seen = seen(&place, pair, told);
        Some((place, seen))
    }

    /// One write as a transaction.
    fn swap(&self, write: &Write, epoch: u64) -> Value {
        let key = self.key(&write.place);
        let expected = match &write.expected {
            // Nothing has the version of an epoch that is over.
            Some(version) => version.as_str().strip_suffix(&format!(".{epoch}")).unwrap_or("-1"),
            None => "0",
        };
        let done = match write.to.as_ref().map(|content| base64(content.to_bytes(&write.place.key))) {
            Some(value) => json!({ "request_put": { "key": key, "value": value } }),
            None => json!({ "request_delete_range": { "key": key } }),
        };
        json!({ "request_txn": {
            "compare": [{ "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": expected }],
            "success": [done],
            "failure": [{ "request_range": { "key": key } }],
        } })
    }

    /// What each of these parts of one transaction is answered, with the revision of what it wrote. Whoever asks
    /// notices that there are fewer answers.
    async fn txn(&self, parts: Vec<Value>, asked: Asked) -> Vec<Result<(Value, u64, Told), StoreError>> {
        let count = parts.len();
        match self.ask("v3/kv/txn", &json!({ "success": parts }), asked).await {
            Ok((mut answer, told)) => {
                let revision = number(&answer["header"]["revision"]);
                let parts = answer["responses"].as_array_mut().map(std::mem::take).unwrap_or_default();
                parts.into_iter().map(|part| Ok((part, revision, told))).collect()
            }
            Err(error) => vec![Err(error); count],
        }
    }
}

#[async_trait]
impl Records for EtcdRecords {
    fn info(&self) -> RecordsInfo {
        let call_timeout = self.cluster.longest_question();
        RecordsInfo { store: INFO.clone(), call_timeout, in_flight: 16, batch: PARTS }
    }

    async fn read(&self, place: &Place) -> Result<Seen, StoreError> {
        let (answer, told) = self.ask("v3/kv/range", &json!({ "key": self.key(place) }), Asked::Read).await?;
        Ok(seen(place, &answer["kvs"][0], told))
    }

    async fn read_many(&self, places: &[Place]) -> Vec<Result<Seen, StoreError>> {
        let parts = places.iter().map(|place| json!({ "request_range": { "key": self.key(place) } })).collect();
        let answers = places.iter().zip(self.txn(parts, Asked::Read).await);
        let found = answers
            .map(|(place, answer)| answer.map(|(part, _, told)| seen(place, &part["response_range"]["kvs"][0], told)));
        found.collect()
    }

    async fn write(&self, write: &Write) -> Result<Swap, StoreError> {
        let lost = || Err(error(StoreErrorKind::TimedOut, "a write was not answered"));
        self.write_many(std::slice::from_ref(write)).await.pop().unwrap_or_else(lost)
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Swap, StoreError>> {
        let size = |write: &Write| write.to.as_ref().map_or(0, |content| content.to_bytes(&write.place.key).len());
        if writes.len() > 1 && writes.iter().map(size).sum::<usize>() > BYTES {
            let (some, others) = writes.split_at(writes.len() / 2);
            let (some, others) = join(self.write_many(some), self.write_many(others)).await;
            return some.into_iter().chain(others).collect();
        }
        let epoch = self.cluster.epoch();
        let answers = self.txn(writes.iter().map(|write| self.swap(write, epoch)).collect(), Asked::Write).await;
        let swapped = writes.iter().zip(answers).map(|(write, answer)| {
            let (part, revision, told) = answer?;
            let part = &part["response_txn"];
            // The heads of inner answers are empty: whatever one transaction writes has its one revision.
            if part["succeeded"] == true {
                return Ok(Swap::Done(version(revision, told.epoch)));
            }
            if !part.is_object() {
                return Err(error(StoreErrorKind::TimedOut, "an answer does not tell what became of a write"));
            }
            let range = part["responses"][0].get("response_range");
            Ok(Swap::Conflict(range.map(|range| seen(&write.place, &range["kvs"][0], told))))
        });
        swapped.collect()
    }

    async fn scan(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Vec<(LeaseKey, Seen)>, StoreError> {
        let (mut page, mut all) = (self.range(kind, prefix.as_str()), Vec::new());
        page["limit"] = if kind == Kind::Document { PAGES.1 } else { PAGES.0 }.into();
        loop {
            let (answer, told) = self.ask("v3/kv/range", &page, Asked::Read).await?;
            let pairs = answer["kvs"].as_array().map(Vec::as_slice).unwrap_or_default();
            let found = pairs.iter().filter_map(|pair| self.found(kind, pair, told));
            all.extend(found.map(|(place, seen)| (place.key, seen)));
            match pairs.last().and_then(|pair| bytes(&pair["key"])) {
                Some(last) if answer["more"] == true => page["key"] = base64([&last, &b"\0"[..]].concat()).into(),
                _ => return Ok(all),
            }
        }
    }

    async fn diagnose(&self) -> Result<Diagnosis, StoreError> {
        Ok(diagnose(&self.cluster).await)
    }

    async fn changes(&self, kind: Kind, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let range = self.range(kind, prefix.as_str());
        // A watch says neither why it is refused nor that a token has run out.
        self.probe(&range).await?;
        let watch = self.cluster.follow("v3/watch", &json!({ "create_request": range })).await;
        let (told, epoch) = watch.map_err(unanswered)?;
        // It is over where what was to be told has been compacted, or may not be read any more.
        let mut told = told
            .map(|mut line| line["result"].take())
            .take_while(|result| ready(result.is_object() && result["canceled"] != true));
        // The first line says that it is there; what changes from then on is told.
        if told.next().await.is_none() {
            return Err(error(StoreErrorKind::Unavailable, "a watch was refused or has ended at once"));
        }
        let records = self.clone();
        let events = told.flat_map(move |result| {
            let found = |event: &Value| {
                let (place, seen) = records.found(kind, &event["kv"], records.told(epoch))?;
                Some((place, Some(if event["type"] == "DELETE" { Seen::default() } else { seen })))
            };
            stream::iter(result["events"].as_array().into_iter().flatten().filter_map(found).collect::<Vec<_>>())
        });
        Ok(events.boxed())
    }
}

/// What stands in a place, where this is its key and value; nothing where there is none, which has the version of a key that was
/// never written.
fn seen(place: &Place, pair: &Value, Told { epoch, complete_for }: Told) -> Seen {
    let content = (!pair.is_null()).then(|| Content::from_bytes(place, bytes(&pair["value"]).unwrap_or_default()));
    let version = Some(version(number(&pair["mod_revision"]), epoch));
    Seen { content, version, complete_for, ..Seen::default() }
}

/// The epoch sets the versions of a cluster that went back apart from those that it had before.
fn version(revision: u64, epoch: u64) -> Version {
    Version::new(format!("{revision}.{epoch}"))
}
