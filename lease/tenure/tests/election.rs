//! The driver over the memory store: campaigns, losses, releases, and what users see of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use tenure::{
    Election, ElectionBuilder, ElectionError, Event, HolderId, LossReason, MemoryStore, Note, Standing, Term,
};
use tenure_store::{Held, KeyPrefix, LeaseKey, LeaseStore};

const SOON: Duration = Duration::from_secs(10);

fn builder(store: &Arc<MemoryStore>, name: &str) -> ElectionBuilder {
    Election::builder(store.clone(), "test/leader").holder(name).ttl(Duration::from_secs(2))
}

fn candidate(store: &Arc<MemoryStore>, name: &str) -> Election {
    builder(store, name).start().unwrap()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

/// One candidate leads at a time; when it resigns, the other follows at once and under a higher term.
#[tokio::test(flavor = "multi_thread")]
async fn a_resignation_hands_over_to_a_higher_term() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (candidate(&store, "a"), candidate(&store, "b"));
    let first = within("the first leadership", a.campaign()).await.unwrap();
    assert!(first.is_current() && a.status().is_leader());
    let term = first.term();
    let waiting = tokio::spawn(async move { b.campaign().await.map(|leadership| (b, leadership)) });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    within("the release", first.resign()).await.unwrap();
    let (b, second) = within("the second leadership", waiting).await.unwrap().unwrap();
    assert!(second.term() > term);
    assert!(!a.status().is_leader() && b.status().is_leader());
}

/// Leadership lasts over many ttls while renewals are answered.
#[tokio::test(flavor = "multi_thread")]
async fn renewals_keep_leadership() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a");
    let mut events = a.events();
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let first_deadline = leadership.deadline();
    let mut renewals = 0;
    while renewals < 4 {
        if matches!(within("an event", events.next()).await, Some(Event::Renewed)) {
            renewals += 1;
        }
    }
    assert!(leadership.is_current() && leadership.deadline() > first_deadline);
}

/// A dropped campaign is given up: it takes no lease, or releases what it was granted.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_campaign_leaves_the_key_to_others() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (candidate(&store, "a"), candidate(&store, "b"));
    for _ in 0..20 {
        let _ = tokio::time::timeout(Duration::from_micros(50), a.campaign()).await;
    }
    let leadership = within("leadership of the other", b.campaign()).await.unwrap();
    assert!(leadership.is_current());
}

/// Deleting the record is a definite loss: the right to act ends with the next renewal, long before the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_definite_loss_ends_the_right_to_act() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let held = Held {
        key: leadership.key().clone(),
        nonce: leadership.nonce(),
        term: leadership.term(),
        ttl: Duration::from_secs(2),
        note: Note::default(),
    };
    store.release(&[held]).await.unwrap();
    let reason = within("the loss", leadership.lost()).await;
    assert_eq!(reason, LossReason::Lost { to: None });
    assert!(!leadership.is_current());
    within("the kill", leadership.killed()).await;
}

/// `lead` runs the work, tells it to stop, and releases only after it has ended.
#[tokio::test(flavor = "multi_thread")]
async fn the_release_is_written_after_the_work_has_ended() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a");
    let (key, seen) = (KeyPrefix::new("test/").unwrap(), Arc::clone(&store));
    let led = a.lead(async |leadership| {
        a.resign();
        let reason = leadership.lost().await;
        // Draining: the lease is still ours.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let held = seen.list(&key).await.unwrap().len();
        (reason, held, leadership.is_current())
    });
    let (reason, held, current) = within("the work", led).await.unwrap();
    assert_eq!((reason, held, current), (LossReason::Resigned, 1, true));
    let gone = async {
        while !store.list(&key).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the release", gone).await;
}

/// Work that does not stop by itself is dropped before the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_does_not_stop_is_cut_off() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a");
    let led = a.lead(async |_leadership| {
        a.resign();
        std::future::pending::<()>().await;
    });
    let outcome = within("the cut", led).await;
    assert!(matches!(outcome, Err(ElectionError::Lost(LossReason::Resigned))), "{outcome:?}");
}

/// An unhealthy leader hands over and does not campaign again until it is healthy.
#[tokio::test(flavor = "multi_thread")]
async fn an_unhealthy_leader_hands_over() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (candidate(&store, "a"), candidate(&store, "b"));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    a.set_healthy(false);
    assert_eq!(within("the loss", leadership.lost()).await, LossReason::Unhealthy);
    drop(leadership);
    let other = within("leadership of the healthy one", b.campaign()).await.unwrap();
    within("its release", other.resign()).await.unwrap();
    let again = tokio::time::timeout(Duration::from_millis(300), a.campaign()).await;
    assert!(again.is_err(), "an unhealthy candidate campaigned");
    a.set_healthy(true);
    let _leads = within("leadership once healthy", a.campaign()).await.unwrap();
}

/// A term that a sink refused ends the tenure, and the next one is above what the sink has seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_holder_campaigns_above() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let seen = Term::new(leadership.term().get() + 1_000_000_000).unwrap();
    leadership.fenced(seen);
    assert_eq!(within("the loss", leadership.lost()).await, LossReason::Fenced { seen });
    drop(leadership);
    let next = within("the next leadership", a.campaign()).await.unwrap();
    assert!(next.term() > seen);
}

/// Events come in order: the election starts, leadership comes before it is handed out, the loss after the stop.
#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_order() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a");
    let mut events = a.events();
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let term = leadership.term();
    within("the release", leadership.resign()).await.unwrap();
    let mut names = Vec::new();
    while names.len() < 3 {
        match within("an event", events.next()).await.unwrap() {
            Event::LeaderElectionStarted => names.push("started"),
            Event::BecameLeader { term: became } => {
                assert_eq!(became, term);
                names.push("became");
            }
            Event::LostLeadership { .. } => names.push("lost"),
            _ => {}
        }
    }
    assert_eq!(names, ["started", "became", "lost"]);
}

/// A slow subscriber is told how many events it missed.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_subscriber_is_told_what_it_missed() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a");
    let mut events = a.events();
    for _ in 0..200 {
        let leadership = within("leadership", a.campaign()).await.unwrap();
        within("the release", leadership.resign()).await.unwrap();
    }
    assert!(matches!(within("an event", events.next()).await, Some(Event::Lagged(missed)) if missed > 0));
}

/// Stopping an election releases its lease; the note that was written last is there for the next holder.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_releases_and_leaves_the_last_note() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (candidate(&store, "a"), candidate(&store, "b"));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    leadership.set_note(Note::new("covered until noon").unwrap());
    within("the release", leadership.resign()).await.unwrap();
    within("the end", a.stop()).await;
    let next = within("the next leadership", b.campaign()).await.unwrap();
    assert_eq!(next.last_note().map(Note::as_str), Some("covered until noon"));
    assert_eq!(store.list(&KeyPrefix::from(&LeaseKey::new("test/leader").unwrap())).await.unwrap().len(), 1);
}

/// A lease that is left stands after the work and the election have ended, and nobody else leads before it has run out.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_left_keeps_others_waiting() {
    let store = Arc::new(MemoryStore::new());
    let a = builder(&store, "a").leave_lease(true).start().unwrap();
    let b = candidate(&store, "b");
    let term = within("the work", a.lead(async |leadership| leadership.term())).await.unwrap();
    within("the end", a.stop()).await;
    let ended = tokio::time::Instant::now();
    let records = store.list(&KeyPrefix::default()).await.unwrap();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.holder.as_str(), record.term), ("a", Some(term)));
    let next = within("the next leadership", b.campaign()).await.unwrap();
    let (waited, remaining) = (ended.elapsed(), record.remaining.unwrap());
    assert!(waited >= remaining, "led after {waited:?}, and {remaining:?} were left");
    assert!(next.term() > term);
}

/// Followers learn who leads, and under which term.
#[tokio::test(flavor = "multi_thread")]
async fn followers_observe_the_leader() {
    let store = Arc::new(MemoryStore::new());
    let (a, b) = (candidate(&store, "a"), candidate(&store, "b"));
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let mut observed = b.observe();
    let waiting = tokio::spawn(async move { b.campaign().await.map(drop) });
    let status = within("the observation", observed.wait_for(|status| status.leader.is_some())).await.unwrap().clone();
    assert_eq!(status.leader.as_ref().map(HolderId::as_str), Some("a"));
    assert_eq!(status.term, Some(leadership.term()));
    assert_eq!(status.standing, Standing::Candidate);
    waiting.abort();
}
