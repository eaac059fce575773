//! How an election begins and ends: settings that are refused, and `stop`.

use std::sync::Arc;
use std::time::Duration;

use tenure::{Election, ElectionError, MemoryStore, TimingError};

use crate::store::{Faulty, KEY};
use crate::within;

/// `stop` may be called through a shared election, twice at the same time and once more after the end; whoever campaigns
/// is let go, and whoever does later is refused.
#[tokio::test(flavor = "multi_thread")]
async fn an_election_is_stopped_any_number_of_times() {
    let store = Faulty::new();
    let (a, b) = (Arc::new(store.candidate("a")), store.candidate("b"));
    let leads = within("leadership", b.campaign()).await.unwrap();
    let waiting = tokio::spawn({
        let a = Arc::clone(&a);
        async move { a.campaign().await }
    });
    within("the campaign", async {
        while store.claims() < 2 {
            tokio::task::yield_now().await
        }
    })
    .await;
    within("the end", async { tokio::join!(a.stop(), a.stop()) }).await;
    assert!(matches!(within("the end", waiting).await.unwrap(), Err(ElectionError::Stopped)));
    within("the end once more", a.stop()).await;
    assert!(matches!(within("the refusal", a.campaign()).await, Err(ElectionError::Stopped)));
    assert!(matches!(within("the refusal", a.try_campaign()).await, Err(ElectionError::Stopped)));
    assert!(leads.is_current());
}

/// `stop` waits for the work, whose lease lasts as long, and returns when it is released.
#[tokio::test(flavor = "multi_thread")]
async fn stop_waits_for_the_work_and_the_release() {
    let store = Faulty::new();
    let a = Arc::new(store.candidate("a"));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let stopping = tokio::spawn({
        let a = Arc::clone(&a);
        async move { a.stop().await }
    });
    within("the loss", leadership.lost()).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!stopping.is_finished() && leadership.is_current());
    drop(leadership);
    within("the end", stopping).await.unwrap();
    assert_eq!(store.holder().await, None);
}

/// A call of `stop` that is dropped does not take the wish back.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_stop_stops() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(10), a.stop()).await.is_err());
    within("the loss", leadership.lost()).await;
    drop(leadership);
    assert!(matches!(within("the refusal", a.campaign()).await, Err(ElectionError::Stopped)));
}

/// Every setting is checked when the election begins, and the error says what is wrong.
#[tokio::test]
async fn settings_are_checked_at_the_beginning() {
    let builder = || Election::builder(Arc::new(MemoryStore::new()), KEY);
    assert!(matches!(Election::builder(Arc::new(MemoryStore::new()), "").start(), Err(ElectionError::Name(_))));
    assert!(matches!(builder().holder("two\nlines").start(), Err(ElectionError::Name(_))));
    assert!(matches!(builder().note("n".repeat(20_000)).start(), Err(ElectionError::Name(_))));
    let short = builder().ttl(Duration::from_millis(10)).start();
    assert!(matches!(short, Err(ElectionError::Timing(TimingError::Ttl(_)))));
    let busy = builder().ttl(Duration::from_secs(30)).stop_timeout(Duration::from_secs(25)).start();
    assert!(matches!(busy, Err(ElectionError::Timing(TimingError::NoTimeToStop { .. }))));
    let election =
        builder().holder("a").ttl(Duration::from_secs(30)).stop_timeout(Duration::from_secs(5)).start().unwrap();
    assert_eq!((election.key().as_str(), election.holder().as_str()), (KEY, "a"));
}

/// Without a tokio runtime there is an error, not a panic.
#[test]
fn an_election_needs_a_runtime() {
    let begun = Election::builder(Arc::new(MemoryStore::new()), KEY).start();
    assert!(matches!(begun, Err(ElectionError::Runtime)));
}

/// Dropping an election that nobody leads with ends it; its status is closed then.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_election_ends() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let mut status = a.observe();
    drop(a);
    within("the end", async { while status.changed().await.is_ok() {} }).await;
}
