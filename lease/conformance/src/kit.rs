//! What the cases share: fresh keys and nonces, calls with one item that say what was expected, and bounded waits.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tenure_store::{
    Claim, Claimed, Held, HolderId, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, Nonce, Note, Released, Renewed,
    StoreError, StoreErrorKind, Term,
};
use tokio::time::Instant;

use crate::builder::StoreBuilder;

/// The suite's bounds: how long it waits, and how thoroughly it tests.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the races may take; at least twenty rounds are run whatever this says.
    pub race_time: Duration,
    /// The longest that any call may take while the store does not answer.
    pub call_bound: Duration,
    /// How much later than its ttl a lease may end.
    pub expiry_slack: Duration,
    /// How soon a release must wake a watcher.
    pub wake_bound: Duration,
    /// Only the cases whose names contain this are run; all where it is empty.
    pub only: String,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            race_time: Duration::from_secs(20),
            call_bound: Duration::from_secs(15),
            expiry_slack: Duration::from_secs(10),
            wake_bound: Duration::from_secs(10),
            only: String::new(),
        }
    }
}

impl Options {
    /// The defaults, with the race time from `TENURE_RACE_SECONDS` where that is a number, and only the cases that
    /// `TENURE_CASES` is part of where that is set.
    pub fn from_env() -> Self {
        let seconds = std::env::var("TENURE_RACE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
        let defaults = Options::default();
        let only = std::env::var("TENURE_CASES").unwrap_or_default();
        Options { race_time: seconds.map_or(defaults.race_time, Duration::from_secs), only, ..defaults }
    }
}

/// How a case ended: passed or skipped, or failed with what was expected and did not happen.
pub(crate) type CaseVerdict = Result<Outcome, String>;

pub(crate) enum Outcome {
    Passed(String),
    Skipped(String),
}

pub(crate) const PASSED: CaseVerdict = Ok(Outcome::Passed(String::new()));

pub(crate) fn passed(detail: impl Into<String>) -> CaseVerdict {
    Ok(Outcome::Passed(detail.into()))
}

pub(crate) fn skipped(reason: &str) -> CaseVerdict {
    Ok(Outcome::Skipped(reason.to_owned()))
}

/// Fails the case with words for what was expected, unless the condition holds.
macro_rules! demand {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!("expected {}", format_args!($($words)+)));
        }
    };
}
pub(crate) use demand;

/// By how much the clocks of store and suite may differ over a case: by their rates, and by rounding to a store's own
/// units.
pub(crate) const TOLERANCE: Duration = Duration::from_millis(20);

/// The environment of one case.
pub(crate) struct Kit<'a> {
    pub(crate) builder: &'a dyn StoreBuilder,
    pub(crate) options: Options,
    // The beginning of every key of this case, so that cases and runs share no key in a store that outlives them.
    key_prefix: String,
    process: u64,
    campaigns: AtomicU64,
}

impl<'a> Kit<'a> {
    pub(crate) fn new(builder: &'a dyn StoreBuilder, options: Options, case: &str) -> Self {
        static KITS: AtomicU64 = AtomicU64::new(0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = u64::try_from(since.as_micros()).unwrap_or_default();
        let process = (micros << 12) ^ (u64::from(std::process::id()) << 40) ^ KITS.fetch_add(1, Ordering::Relaxed);
        let key_prefix = format!("suite-{process:x}/{case}/");
        Kit { builder, options, key_prefix, process, campaigns: AtomicU64::new(0) }
    }

    pub(crate) async fn client(&self) -> Result<Arc<dyn LeaseStore>, String> {
        self.builder.open().await.map_err(|error| format!("a client that opens, got {error}"))
    }

    pub(crate) async fn clients<const N: usize>(&self) -> Result<[Arc<dyn LeaseStore>; N], String> {
        let mut clients = Vec::with_capacity(N);
        for _ in 0..N {
            clients.push(self.client().await?);
        }
        clients.try_into().map_err(|_| "as many clients as were asked for".to_owned())
    }

    /// The key `name` of this case alone.
    pub(crate) fn key(&self, name: &str) -> LeaseKey {
        named(LeaseKey::new(format!("{}{name}", self.key_prefix)))
    }

    /// A key that this case has not used yet.
    pub(crate) fn new_key(&self) -> LeaseKey {
        self.key(&format!("new/{}", self.campaigns.fetch_add(1, Ordering::Relaxed)))
    }

    /// The prefix of this case's keys that begin with `name`.
    pub(crate) fn prefix(&self, name: &str) -> KeyPrefix {
        named(KeyPrefix::new(format!("{}{name}", self.key_prefix)))
    }

    pub(crate) fn key_prefix(&self) -> &str {
        &self.key_prefix
    }

    /// A claim of a new campaign that will not expire during the case.
    pub(crate) fn claim(&self, key: &LeaseKey) -> Claim {
        let campaign = self.campaigns.fetch_add(1, Ordering::Relaxed) + 1;
        Claim::new(
            key.clone(),
            named(HolderId::new(format!("holder-{campaign}"))),
            Nonce { process: self.process, campaign },
            Duration::from_secs(600),
        )
    }

    /// A claim that expires soon enough to wait for it.
    pub(crate) fn short(&self, store: &Arc<dyn LeaseStore>, key: &LeaseKey) -> Claim {
        Claim { ttl: store.info().min_ttl.max(Duration::from_millis(1_000)), ..self.claim(key) }
    }

    /// Claims again and again, as other candidates do while somebody holds the key, until the store grants; returns
    /// when it did.
    pub(crate) async fn until_granted(
        &self,
        store: &Arc<dyn LeaseStore>,
        claim: &Claim,
        ttl: Duration,
    ) -> Result<(Term, Instant), String> {
        let deadline = Instant::now() + ttl + self.options.expiry_slack;
        loop {
            if let Claimed::Granted { term, .. } = acquire(store, claim).await? {
                return Ok((term, Instant::now()));
            }
            demand!(Instant::now() < deadline, "key {:?} to come free within {ttl:?} and the slack", claim.key);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Unwraps a name that this suite wrote and that is within the rules.
pub(crate) fn named<T, E: Debug>(name: Result<T, E>) -> T {
    match name {
        Ok(name) => name,
        Err(error) => unreachable!("the suite's own names are valid: {error:?}"),
    }
}

pub(crate) fn note(text: &str) -> Note {
    named(Note::new(text))
}

pub(crate) fn held(claim: &Claim, term: Term) -> Held {
    Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
}

pub(crate) async fn acquire(store: &Arc<dyn LeaseStore>, claim: &Claim) -> Result<Claimed, String> {
    one(store.acquire(std::slice::from_ref(claim)).await, "claim").map_err(|error| failed("claim", error))
}

pub(crate) async fn granted(store: &Arc<dyn LeaseStore>, claim: &Claim) -> Result<Term, String> {
    granted_with_note(store, claim).await.map(|(term, _)| term)
}

pub(crate) async fn granted_with_note(
    store: &Arc<dyn LeaseStore>,
    claim: &Claim,
) -> Result<(Term, Option<Note>), String> {
    match acquire(store, claim).await? {
        Claimed::Granted { term, last_note } => Ok((term, last_note)),
        other => Err(format!("expected a claim of {:?} to be granted, got {other:?}", claim.key)),
    }
}

/// Expects that `by` holds the key.
pub(crate) async fn refused(store: &Arc<dyn LeaseStore>, claim: &Claim, by: &HolderId) -> Result<(), String> {
    match acquire(store, claim).await? {
        Claimed::Held { by: holder, .. } if holder == *by => Ok(()),
        other => Err(format!("expected a claim of {:?} to be refused as held by {by}, got {other:?}", claim.key)),
    }
}

pub(crate) async fn renew(store: &Arc<dyn LeaseStore>, held: &Held) -> Result<Renewed, String> {
    one(store.renew(std::slice::from_ref(held)).await, "renewal").map_err(|error| failed("renewal", error))
}

pub(crate) async fn extended(store: &Arc<dyn LeaseStore>, held: &Held) -> Result<(), String> {
    match renew(store, held).await? {
        Renewed::Extended { .. } => Ok(()),
        other => Err(format!("expected a renewal of {:?} to be extended, got {other:?}", held.key)),
    }
}

pub(crate) async fn release(store: &Arc<dyn LeaseStore>, held: &Held) -> Result<Released, String> {
    one(store.release(std::slice::from_ref(held)).await, "release").map_err(|error| failed("release", error))
}

pub(crate) async fn freed(store: &Arc<dyn LeaseStore>, held: &Held) -> Result<(), String> {
    match release(store, held).await? {
        Released::Freed => Ok(()),
        Released::NotHeld => Err(format!("expected a release of {:?} to free it, got NotHeld", held.key)),
    }
}

pub(crate) async fn list(store: &Arc<dyn LeaseStore>, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, String> {
    store.list(prefix).await.map_err(|error| failed("list", error))
}

/// Returns the only answer to a batch of one.
pub(crate) fn one<T: Debug>(
    answers: Result<Vec<Result<T, StoreError>>, StoreError>,
    what: &str,
) -> Result<T, StoreError> {
    let mut answers = answers?;
    match (answers.pop(), answers.is_empty()) {
        (Some(answer), true) => answer,
        _ => Err(StoreError::new(StoreErrorKind::Corrupt, format!("one answer to one {what}, got another number"))),
    }
}

pub(crate) fn failed(what: &str, error: StoreError) -> String {
    format!("expected a {what} to be answered, got {:?}: {error}", error.kind())
}
