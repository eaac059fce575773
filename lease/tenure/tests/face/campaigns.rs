//! Campaigns: for as long as it takes, for a while, for one claim; and what a failing store has to do with each.

use std::time::Duration;

use tenure::{Attempt, ElectionError, LeaseStore, LossReason};

use crate::store::Faulty;
use crate::within;

/// A campaign that is dropped, at whatever moment, holds nothing afterwards: neither does it keep the key from others, nor
/// is a leadership handed to nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_campaign_holds_nothing() {
    let store = Faulty::new();
    let a = store.candidate("a");
    for micros in (0..2_000).step_by(50) {
        let _ = tokio::time::timeout(Duration::from_micros(micros), a.campaign()).await;
        within("the release", store.is_free()).await;
    }
    assert!(a.status().tenures > 0, "no campaign was dropped late enough to matter");
    assert!(within("leadership", a.campaign()).await.unwrap().is_current());
}

/// Within its time a campaign is granted the key; without success it ends, and claims no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_within_a_time() {
    let store = Faulty::new();
    let (a, b) = (store.candidate("a"), store.candidate("b"));
    let leadership = within("leadership", a.campaign_within(Duration::from_secs(10))).await.unwrap().expect("leads");
    assert!(within("the end of patience", b.campaign_within(Duration::from_millis(100))).await.unwrap().is_none());
    within("the release", leadership.resign()).await.unwrap();
    let claims = store.claims();
    let again = within("leadership", b.campaign_within(Duration::MAX)).await.unwrap();
    assert!(again.is_some_and(|leadership| leadership.is_current()));
    assert_eq!(store.claims(), claims + 1, "the campaign that was over claimed on");
}

/// A campaign within a time that a failing store uses up says only that it was in vain; the status says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_within_a_time_over_a_failing_store() {
    let store = Faulty::new();
    store.set_failing(true);
    let a = store.candidate("a");
    assert!(within("the end", a.campaign_within(Duration::from_millis(200))).await.unwrap().is_none());
    assert_eq!(a.status().store_failure.as_deref(), Some("out of order"));
}

/// One claim for a free key is granted.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_at_a_free_key_leads() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let Attempt::Leading(leadership) = within("the answer", a.try_campaign()).await.unwrap() else { panic!("free") };
    assert!(leadership.is_current() && a.status().is_leader());
    assert_eq!(store.claims(), 1);
}

/// One claim for a key that somebody holds tells who and under which term, every time, and is not repeated.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_at_a_held_key_tells_the_holder() {
    let store = Faulty::new();
    let (a, b) = (store.candidate("a"), store.candidate("b"));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    for claims in 2..5 {
        let attempt = within("the answer", b.try_campaign()).await.unwrap();
        let Attempt::Held { by, term, remaining } = attempt else { panic!("{attempt:?}") };
        assert_eq!((by.as_str(), term), ("a", Some(leadership.term())));
        assert!(remaining.is_some_and(|span| span > Duration::ZERO && span <= Duration::from_secs(2)), "{remaining:?}");
        assert_eq!(store.claims(), claims);
    }
    within("the release", leadership.resign()).await.unwrap();
    assert!(within("the answer", b.try_campaign()).await.unwrap().leadership().is_some());
}

/// A candidate that leads already is answered that it does, at once and without a claim.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_during_an_own_tenure_tells_of_it() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let attempt = within("the answer", a.try_campaign()).await.unwrap();
    assert!(
        matches!(&attempt, Attempt::Held { by, term, .. } if by.as_str() == "a" && *term == Some(leadership.term()))
    );
    assert_eq!(store.claims(), 1);
    assert!(leadership.is_current());
    // A tenure whose work has ended is waited for.
    drop(leadership);
    assert!(within("the answer", a.try_campaign()).await.unwrap().leadership().is_some());
}

/// One claim that fails is an error in the store's words; the next one may succeed.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_at_a_failing_store_fails() {
    let store = Faulty::new();
    store.set_failing(true);
    let a = store.candidate("a");
    let failed = within("the answer", a.try_campaign()).await;
    assert!(matches!(&failed, Err(ElectionError::Store(message)) if message == "out of order"), "{failed:?}");
    assert_eq!(store.claims(), 1);
    store.set_failing(false);
    assert!(within("the answer", a.try_campaign()).await.unwrap().leadership().is_some());
}

/// One claim that was granted and never answered fails in time, and what it was granted is given back.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_not_answered_leaves_no_lease() {
    let store = Faulty::new();
    store.set_silent(true);
    let a = store.candidate("a");
    let failed = within("the answer", a.try_campaign()).await;
    assert!(matches!(failed, Err(ElectionError::Store(_))), "{failed:?}");
    assert_eq!(store.holder().await.as_ref().map(|holder| holder.as_str()), Some("a"));
    store.set_silent(false);
    within("the release", store.is_free()).await;
}

/// A candidate whose health gate is closed asks no store, and says that it stood back.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_an_unhealthy_candidate_stands_back() {
    let store = Faulty::new();
    let a = store.candidate("a");
    a.set_healthy(false);
    let attempt = within("the answer", a.try_campaign()).await.unwrap();
    assert!(matches!(attempt, Attempt::StoodBack), "{attempt:?}");
    a.set_healthy(true);
    assert!(within("the answer", a.try_campaign()).await.unwrap().leadership().is_some());
    assert_eq!(store.claims(), 1);
}

/// A candidate that was asked to give the key up stands back: the key is for others.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_after_a_request_to_resign_stands_back() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    assert!(store.request_resign(leadership.key()).await.unwrap());
    assert_eq!(within("the request", leadership.lost()).await, LossReason::ResignRequested);
    within("the release", leadership.resign()).await.unwrap();
    let attempt = within("the answer", a.try_campaign()).await.unwrap();
    assert!(matches!(attempt, Attempt::StoodBack), "{attempt:?}");
}

/// With a claim delay one claim is sent all the same, after the delay.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_waits_for_its_claim_delay() {
    let store = Faulty::new();
    let a = store.builder("a").claim_delay(Duration::from_millis(200)).start().unwrap();
    let begun = tokio::time::Instant::now();
    assert!(within("the answer", a.try_campaign()).await.unwrap().leadership().is_some());
    assert!(begun.elapsed() >= Duration::from_millis(200));
}

/// The status says since when the store has failed and how it failed last, and forgets both with its next answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_since_when_the_store_fails() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    assert_eq!((a.status().store_failing_since, a.status().store_failure), (None, None));
    let before = tenure::now();
    store.set_failing(true);
    let mut status = a.observe();
    within("the failure", status.wait_for(|status| status.store_failing_since.is_some())).await.unwrap();
    let since = status.borrow().store_failing_since.unwrap();
    assert!(since >= before && since <= tenure::now());
    assert_eq!(status.borrow().store_failure.as_deref(), Some("out of order"));
    // Later failures leave the beginning as it was.
    let mut events = a.events();
    while !matches!(within("another", events.next()).await, Some(tenure::Event::StoreFailed { .. })) {}
    assert_eq!(a.status().store_failing_since, Some(since));
    store.set_failing(false);
    within("the answer", status.wait_for(|status| status.store_failing_since.is_none())).await.unwrap();
    assert_eq!(a.status().store_failure, None);
    assert!(leadership.is_current());
}

/// One claim right after a campaign that was given up is answered: it does not join that campaign, which has no end.
#[tokio::test]
async fn an_attempt_after_a_campaign_that_was_given_up_is_answered() {
    let store = Faulty::new();
    let (a, b) = (store.candidate("a"), store.candidate("b"));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    assert!(within("the end of patience", b.campaign_within(Duration::from_millis(100))).await.unwrap().is_none());
    let attempt = within("the answer", b.try_campaign()).await.unwrap();
    assert!(matches!(attempt, Attempt::Held { .. }), "{attempt:?}");
    drop(leadership);
}
