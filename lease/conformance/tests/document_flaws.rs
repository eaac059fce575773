//! The suite can fail on documents too: stores with one flaw each, and the cases that must catch them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{BoxFuture, ready};
use futures_util::{FutureExt, StreamExt};
use tenure_conformance::{BuildError, CaseResult, Killable, Options, Stoppable, StoreBuilder, examine, suite_with};
use tenure_store::{
    Document, DocumentStore, Found, KeyPrefix, LeaseKey, LeaseStore, MemoryDocuments, MemoryStore, StoreError,
    StoreErrorKind, StoreInfo, Swapped, Version, Wake, WakeStream,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Flawless,
    CreationsReplace,
    SwapsIgnoreTheVersion,
    DeletionsIgnoreTheVersion,
    VersionsCountAnewAfterADeletion,
    EqualValuesKeepTheVersion,
    PrefixesIgnoreCase,
    ListsAreUnsorted,
    ListsLackValues,
    ValuesAreText,
    KeysAreTrimmed,
    LargeValuesAreCut,
    LargeValuesAreTaken,
    WatchesAreSilent,
    DeletionsAreSilent,
    LeasesAreShown,
    LeasesEndDocuments,
    UndoneIsDone,
    StoppedNeverAnswers,
    StoppedAnswersAsDone,
    RestartsForget,
}
use Flaw::*;

const CAUGHT_BY: &[(Flaw, &str)] = &[
    (CreationsReplace, "documents::one_of_many_creates"),
    (CreationsReplace, "documents::a_stale_version_is_refused"),
    (SwapsIgnoreTheVersion, "documents::one_swap_of_many_wins"),
    (SwapsIgnoreTheVersion, "documents::no_count_is_lost"),
    (SwapsIgnoreTheVersion, "documents::a_stale_version_is_refused"),
    (DeletionsIgnoreTheVersion, "documents::deletion_is_conditional"),
    (VersionsCountAnewAfterADeletion, "documents::versions_never_repeat"),
    (EqualValuesKeepTheVersion, "documents::versions_never_repeat"),
    (PrefixesIgnoreCase, "documents::lists_are_literal_sorted_and_complete"),
    (ListsAreUnsorted, "documents::lists_are_literal_sorted_and_complete"),
    (ListsLackValues, "documents::odd_keys_and_values_come_back_whole"),
    (ValuesAreText, "documents::odd_keys_and_values_come_back_whole"),
    (KeysAreTrimmed, "documents::odd_keys_and_values_come_back_whole"),
    (LargeValuesAreCut, "documents::too_large_a_value_is_refused"),
    (LargeValuesAreTaken, "documents::too_large_a_value_is_refused"),
    (WatchesAreSilent, "documents::a_change_wakes"),
    (DeletionsAreSilent, "documents::a_change_wakes"),
    (LeasesAreShown, "documents::a_lease_of_the_same_name_is_apart"),
    (LeasesEndDocuments, "documents::a_lease_of_the_same_name_is_apart"),
    (UndoneIsDone, "documents::a_stopped_store_says_what_is_unknown"),
    (StoppedNeverAnswers, "documents::a_stopped_store_says_what_is_unknown"),
    (StoppedAnswersAsDone, "documents::a_stopped_store_says_what_is_unknown"),
    (RestartsForget, "documents::they_outlive_the_store"),
];

/// Documents as they are kept here: the version's number and the value.
type Rows = HashMap<LeaseKey, (u64, Vec<u8>)>;

#[derive(Debug)]
struct Flawed {
    flaw: Flaw,
    rows: Mutex<Rows>,
    count: AtomicU64,
    leases: Arc<MemoryStore>,
    // Tells of changes; holds nothing.
    told: Arc<MemoryDocuments>,
    stopped: AtomicBool,
}

impl Flawed {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn key(&self, key: &LeaseKey) -> LeaseKey {
        if self.is(KeysAreTrimmed) { LeaseKey::new(key.as_str().trim()).unwrap() } else { key.clone() }
    }

    fn document(&self, key: &LeaseKey, (number, value): &(u64, Vec<u8>)) -> Document {
        Document { key: key.clone(), version: Version::new(number.to_string()), value: value.clone() }
    }

    async fn change(
        &self,
        key: &LeaseKey,
        expected: Option<&Version>,
        to: Option<&[u8]>,
    ) -> Result<Swapped<Version>, StoreError> {
        if self.stopped.load(Ordering::SeqCst) {
            match self.flaw {
                StoppedNeverAnswers => std::future::pending().await,
                StoppedAnswersAsDone => return Ok(Swapped::Done(Version::new("0"))),
                UndoneIsDone => {}
                _ => return Err(StoreError::new(StoreErrorKind::Unavailable, "stopped")),
            }
        }
        if let Some(value) = to
            && value.len() > Document::MAX_BYTES
            && !self.is(LargeValuesAreTaken)
        {
            return Err(StoreError::new(StoreErrorKind::Invalid, format!("at most {}", Document::MAX_BYTES)));
        }
        let key = self.key(key);
        let blind = match (expected, to) {
            (None, _) => self.is(CreationsReplace),
            (_, Some(_)) => self.is(SwapsIgnoreTheVersion),
            (_, None) => self.is(DeletionsIgnoreTheVersion),
        };
        let version = {
            let mut rows = self.rows.lock().unwrap();
            let found = rows.get(&key).map(|row| self.document(&key, row));
            if found.as_ref().map(|document| &document.version) != expected && !blind {
                return Ok(Swapped::Conflict(Found::from(found)));
            }
            let same = to.is_some() && found.as_ref().map(|document| document.value.as_slice()) == to;
            let number = match (&found, self.flaw) {
                (Some(found), EqualValuesKeepTheVersion) if same => found.version.as_str().parse().unwrap(),
                (Some(found), VersionsCountAnewAfterADeletion) => found.version.as_str().parse::<u64>().unwrap() + 1,
                (None, VersionsCountAnewAfterADeletion) => 1,
                _ => self.count.fetch_add(1, Ordering::SeqCst),
            };
            match to {
                Some(value) => {
                    let value = match self.flaw {
                        ValuesAreText => String::from_utf8_lossy(value).into_owned().into_bytes(),
                        LargeValuesAreCut => value[..value.len().min(65_535)].to_vec(),
                        _ => value.to_vec(),
                    };
                    rows.insert(key.clone(), (number, value));
                }
                None => drop(rows.remove(&key)),
            }
            Version::new(number.to_string())
        };
        if !(self.is(DeletionsAreSilent) && to.is_none()) {
            let _ = self.told.create(&key, b"").await?;
            let stands = self.told.read(&key).await?.unwrap();
            self.told.delete(&key, &stands.version).await?;
        }
        if self.stopped.load(Ordering::SeqCst) {
            return Err(StoreError::new(StoreErrorKind::Unavailable, "stopped"));
        }
        Ok(Swapped::Done(version))
    }
}

#[async_trait]
impl DocumentStore for Flawed {
    fn info(&self) -> StoreInfo {
        StoreInfo::new("flawed").watch(true).durable(true)
    }

    async fn read(&self, key: &LeaseKey) -> Result<Option<Document>, StoreError> {
        if self.is(LeasesEndDocuments) && self.leases.record(key).await?.is_some() {
            return Ok(None);
        }
        let found = self.rows.lock().unwrap().get(&self.key(key)).cloned();
        Ok(found.map(|row| self.document(key, &row)))
    }

    async fn create(&self, key: &LeaseKey, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        self.change(key, None, Some(value)).await
    }

    async fn swap(&self, key: &LeaseKey, version: &Version, value: &[u8]) -> Result<Swapped<Version>, StoreError> {
        self.change(key, Some(version), Some(value)).await
    }

    async fn delete(&self, key: &LeaseKey, version: &Version) -> Result<Swapped<()>, StoreError> {
        Ok(self.change(key, Some(version), None).await?.map(drop))
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<Document>, StoreError> {
        let ignores_case = self.is(PrefixesIgnoreCase);
        let begins = |key: &LeaseKey| match ignores_case {
            true => key.as_str().to_lowercase().starts_with(&prefix.as_str().to_lowercase()),
            false => prefix.matches(key),
        };
        let mut documents: Vec<Document> = {
            let rows = self.rows.lock().unwrap();
            rows.iter().filter(|(key, _)| begins(key)).map(|(key, row)| self.document(key, row)).collect()
        };
        if self.is(ListsLackValues) {
            documents.iter_mut().for_each(|document| document.value.clear());
        }
        if self.is(LeasesAreShown) {
            for lease in self.leases.list(prefix).await? {
                documents.push(Document { key: lease.key, version: Version::new("0"), value: Vec::new() });
            }
        }
        documents.sort_by(|one, other| one.key.cmp(&other.key));
        if self.is(ListsAreUnsorted) {
            documents.reverse();
        }
        Ok(documents)
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        match self.flaw {
            WatchesAreSilent => Ok(futures_util::stream::pending::<Wake>().boxed()),
            _ => self.told.watch(prefix).await,
        }
    }
}

struct Builder(Arc<Flawed>);

impl Builder {
    fn new(flaw: Flaw) -> Builder {
        Builder(Arc::new(Flawed {
            flaw,
            rows: Mutex::default(),
            count: AtomicU64::new(1),
            leases: Arc::new(MemoryStore::new()),
            told: Arc::new(MemoryDocuments::new()),
            stopped: AtomicBool::default(),
        }))
    }
}

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        "flawed documents"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        ready(Ok(Arc::clone(&self.0.leases) as Arc<dyn LeaseStore>)).boxed()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        Some(ready(Ok(Arc::clone(&self.0) as Arc<dyn DocumentStore>)).boxed())
    }

    fn stoppable(&self) -> Option<&dyn Stoppable> {
        Some(self)
    }

    fn killable(&self) -> Option<&dyn Killable> {
        Some(self)
    }
}

impl Stoppable for Builder {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.0.stopped.store(true, Ordering::SeqCst);
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.0.stopped.store(false, Ordering::SeqCst);
        ready(Ok(())).boxed()
    }
}

impl Killable for Builder {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        if self.0.is(RestartsForget) {
            self.0.rows.lock().unwrap().clear();
        }
        ready(Ok(())).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        ready(Ok(())).boxed()
    }
}

fn options(only: &str) -> Options {
    let second = Duration::from_secs(1);
    Options { only: only.to_owned(), wake_bound: second, call_bound: second, ..Options::default() }
}

/// Every flaw is caught by the case that is about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flaw_of_documents_is_caught() {
    let mut missed = Vec::new();
    for (flaw, case) in CAUGHT_BY {
        let report = examine(&Builder::new(*flaw), options(case)).await;
        if !matches!(report.lines(), [line] if matches!(line.result, CaseResult::Failed(_))) {
            missed.push((flaw, case));
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
    println!("{} flaws, all caught", CAUGHT_BY.len());
}

/// The same store without a flaw passes every case.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_without_a_flaw_pass() {
    let report = suite_with(&Builder::new(Flawless), options("documents::")).await;
    assert!(report.to_string().ends_with("13 passed, 0 failed, 0 skipped"), "{report}");
}
