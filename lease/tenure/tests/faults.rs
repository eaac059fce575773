//! The driver over a store that panics, answers late or ends its watches, and over users that change their minds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tenure::{Election, ElectionError, Event, LeaseStore, LossReason, MemoryStore};
use tenure_store::{
    Answers, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseRecord, Released, Renewed, StoreError, StoreErrorKind,
    StoreInfo, Term, WakeStream,
};

const SOON: Duration = Duration::from_secs(10);

/// A memory store with faults.
#[derive(Debug, Default)]
struct Faulty {
    inner: MemoryStore,
    /// How many renewals panic.
    panics: AtomicU64,
    /// How long the reply to a claim takes, in milliseconds, after it was granted.
    claim_delay_ms: AtomicU64,
    /// Whether it goes away at the next claim, which is granted without an answer; what follows is not sent.
    leaves: AtomicBool,
    /// How many claims were not sent since.
    unsent: AtomicU64,
    away: AtomicBool,
    /// How long a subscription takes, in milliseconds; zero gives streams that end at once.
    watch_delay_ms: AtomicU64,
    watches: AtomicU64,
    /// Held by each stream that somebody listens to.
    listeners: Arc<()>,
}

#[async_trait]
impl LeaseStore for Faulty {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn acquire(&self, claims: &[Claim]) -> Result<Answers<Claimed>, StoreError> {
        if self.away.load(Ordering::Relaxed) {
            self.unsent.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::new(StoreErrorKind::Unavailable, "away"));
        }
        if self.leaves.load(Ordering::Relaxed) {
            self.inner.acquire(claims).await?;
            self.away.store(true, Ordering::Relaxed);
            return Err(StoreError::new(StoreErrorKind::TimedOut, "no answer"));
        }
        let answers = self.inner.acquire(claims).await;
        tokio::time::sleep(Duration::from_millis(self.claim_delay_ms.load(Ordering::Relaxed))).await;
        answers
    }

    async fn renew(&self, held: &[Held]) -> Result<Answers<Renewed>, StoreError> {
        let panics = self.panics.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        assert!(panics.is_err(), "a fault of this test");
        self.inner.renew(held).await
    }

    async fn release(&self, held: &[Held]) -> Result<Answers<Released>, StoreError> {
        self.inner.release(held).await
    }

    async fn request_resign(&self, key: &LeaseKey) -> Result<bool, StoreError> {
        self.inner.request_resign(key).await
    }

    async fn remove(&self, key: &LeaseKey) -> Result<Option<LeaseRecord>, StoreError> {
        self.inner.remove(key).await
    }

    async fn list(&self, prefix: &KeyPrefix) -> Result<Vec<LeaseRecord>, StoreError> {
        match self.away.load(Ordering::Relaxed) {
            true => Err(StoreError::new(StoreErrorKind::Unavailable, "away")),
            false => self.inner.list(prefix).await,
        }
    }

    async fn last_term(&self, key: &LeaseKey) -> Result<Option<Term>, StoreError> {
        self.inner.last_term(key).await
    }

    async fn watch(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        match self.watch_delay_ms.load(Ordering::Relaxed) {
            0 => Ok(stream::empty().boxed()),
            delay => {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                let listener = Arc::clone(&self.listeners);
                let wakes = self.inner.watch(prefix).await?;
                Ok(wakes.inspect(move |_| drop(Arc::clone(&listener))).boxed())
            }
        }
    }
}

fn candidate(store: &Arc<Faulty>, name: &str, ttl: Duration) -> Election {
    Election::builder(store.clone(), "test/leader").holder(name).ttl(ttl).start().unwrap()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

/// A store that panics is a store that failed: the next renewal goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_panics_is_a_failure_like_any_other() {
    let store = Arc::new(Faulty::default());
    let a = candidate(&store, "a", Duration::from_secs(2));
    let mut events = a.events();
    let leadership = within("leadership", a.campaign()).await.unwrap();
    store.panics.store(1, Ordering::Relaxed);
    let mut failed = false;
    loop {
        match within("an event", events.next()).await.expect("the election goes on") {
            Event::StoreFailed { message, .. } => failed |= message.contains("panicked"),
            Event::Renewed if failed => break,
            _ => {}
        }
    }
    assert!(leadership.is_current());
}

/// An election that ends while nobody knows whether a claim of it was granted says so: that a repeat was not sent settles nothing. One
/// whose claims were answered has left nothing behind.
#[tokio::test]
async fn an_end_tells_of_a_claim_that_was_never_answered() {
    let store = Arc::new(Faulty::default());
    let (a, b) = (candidate(&store, "a", Duration::from_secs(2)), candidate(&store, "b", Duration::from_secs(2)));
    store.leaves.store(true, Ordering::Relaxed);
    let tries = async {
        while store.unsent.load(Ordering::Relaxed) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        won = a.campaign() => panic!("the store is away: {won:?}"),
        () = within("two tries", tries) => {}
    }
    within("the end", a.stop()).await;
    assert!(a.status().unsettled && !a.status().store_answered);
    store.leaves.store(false, Ordering::Relaxed);
    store.away.store(false, Ordering::Relaxed);
    assert!(within("the answer", b.try_campaign()).await.unwrap().leadership().is_none(), "it was granted to a");
    within("the end", b.stop()).await;
    assert!(!b.status().unsettled && b.status().store_answered);
}

/// A campaign that is asked for after a resignation does not undo it: the work is told to stop, then it leads again.
#[tokio::test]
async fn a_campaign_does_not_undo_the_resignation_before_it() {
    let store = Arc::new(Faulty::default());
    let a = candidate(&store, "a", Duration::from_secs(2));
    let first = within("leadership", a.campaign()).await.unwrap();
    let term = first.term();
    // No yield lies between the two, so that the driver sees both at once.
    a.resign();
    let again = a.campaign();
    let work = async {
        assert_eq!(within("the loss", first.lost()).await, LossReason::Resigned);
        drop(first);
    };
    let (again, ()) = within("the next leadership", async { tokio::join!(again, work) }).await;
    assert!(again.unwrap().term() > term);
}

/// A resignation after a campaign was asked for ends it, even where the driver sees both at once.
#[tokio::test]
async fn a_resignation_ends_the_campaign_before_it() {
    let store = Arc::new(Faulty::default());
    let (a, b) = (candidate(&store, "a", Duration::from_secs(2)), candidate(&store, "b", Duration::from_secs(2)));
    let _leads = within("leadership", b.campaign()).await.unwrap();
    let (outcome, ()) =
        within("the end of the campaign", async { tokio::join!(biased; a.campaign(), async { a.resign() }) }).await;
    assert!(matches!(outcome, Err(ElectionError::Stopped)));
}

/// A campaign during a tenure waits for its end; one that is dropped meanwhile does the tenure no harm.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_during_a_tenure_waits_for_its_end() {
    let store = Arc::new(Faulty::default());
    let a = candidate(&store, "a", Duration::from_secs(2));
    let first = within("leadership", a.campaign()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(50), a.campaign()).await.is_err());
    let told = tokio::time::timeout(Duration::from_millis(300), first.lost()).await;
    assert!(told.is_err(), "the tenure was ended by a campaign that was dropped: {told:?}");
    let term = first.term();
    let (next, ()) = within("the next leadership", async {
        tokio::join!(a.campaign(), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(first);
        })
    })
    .await;
    assert!(next.unwrap().term() > term);
}

/// An election that is stopped while a claim is under way waits for its answer, and leaves no lease behind.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_during_a_claim_leaves_no_lease() {
    let store = Arc::new(Faulty::default());
    store.claim_delay_ms.store(150, Ordering::Relaxed);
    let a = candidate(&store, "a", Duration::from_secs(5));
    assert!(tokio::time::timeout(Duration::from_millis(50), a.campaign()).await.is_err());
    within("the end", a.stop()).await;
    let left = store.list(&KeyPrefix::new("test/").unwrap()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// A store whose watches end at once is asked again with pauses, not in a loop.
#[tokio::test(flavor = "multi_thread")]
async fn watches_that_end_at_once_are_no_storm() {
    let store = Arc::new(Faulty::default());
    let (a, b) = (candidate(&store, "a", Duration::from_secs(2)), candidate(&store, "b", Duration::from_secs(2)));
    let _leads = within("leadership", a.campaign()).await.unwrap();
    let noise = async {
        for n in 0..200_u64 {
            // Every seen term makes the driver look up from what it waits for.
            b.seen(tenure::Term::new(n + 1).unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waiting = tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(b.campaign(), noise) });
    assert!(waiting.await.is_err());
    let watches = store.watches.load(Ordering::Relaxed);
    assert!(watches <= 10, "{watches} subscriptions in a second");
}

/// A subscription that takes a while succeeds although the driver is busy with other things meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscription_is_not_begun_anew() {
    let store = Arc::new(Faulty::default());
    store.watch_delay_ms.store(200, Ordering::Relaxed);
    let (a, b) = (candidate(&store, "a", Duration::from_secs(2)), candidate(&store, "b", Duration::from_secs(2)));
    let _leads = within("leadership", a.campaign()).await.unwrap();
    let noise = async {
        for n in 0..100_u64 {
            b.seen(tenure::Term::new(n + 1).unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(b.campaign(), noise) }).await;
    // One of each candidate.
    assert!(store.watches.load(Ordering::Relaxed) <= 2);
}

/// A candidate listens for hints; once it leads it does not any more, and its subscription ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_does_not_listen() {
    let store = Arc::new(Faulty { watch_delay_ms: AtomicU64::new(1), ..Faulty::default() });
    let listening = async |wanted: usize| {
        while Arc::strong_count(&store.listeners) - 1 != wanted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let (a, b) = (candidate(&store, "a", SOON), candidate(&store, "b", SOON));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    within("silence", listening(0)).await;
    let (resigned, leadership) = within("a handover", async {
        let resign = async {
            listening(1).await;
            leadership.resign().await
        };
        tokio::join!(resign, b.campaign())
    })
    .await;
    resigned.unwrap();
    within("silence", listening(0)).await;
    assert!(leadership.unwrap().is_current());
}

/// A driver that goes away during a tenure ends it: the work is told to stop, and the deadline thread still kills it.
#[test]
fn work_outlives_no_driver() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (theirs, ours) = (runtime(), runtime());
    let store = Arc::new(Faulty::default());
    let (election, leadership) = theirs.block_on(async {
        let election = candidate(&store, "a", Duration::from_secs(2));
        let leadership = within("leadership", election.campaign()).await.unwrap();
        (election, leadership)
    });
    theirs.shutdown_timeout(Duration::from_secs(1));
    ours.block_on(async {
        assert_eq!(within("the stop", leadership.lost()).await, LossReason::RenewalFailed);
        within("the kill", leadership.killed()).await;
        assert!(!leadership.is_current());
    });
    drop(election);
}

/// A mandate that outlives the leadership gives no right to act: the lease is released as soon as the work has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_ends_with_the_work() {
    let store = Arc::new(Faulty::default());
    let a = candidate(&store, "a", Duration::from_secs(2));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let mandate = leadership.mandate();
    assert!(mandate.is_current());
    drop(leadership);
    assert!(!mandate.is_current());
}
