//! The semaphore: the same face over several slots.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure::{Attempt, ElectionError, LossReason, MemoryStore, Semaphore};
use tokio::task::JoinSet;

use crate::within;

fn candidate(store: &Arc<MemoryStore>, name: &str, count: u32) -> Semaphore {
    let builder = Semaphore::builder(store.clone(), "transcode", count);
    builder.holder(name).ttl(Duration::from_secs(2)).start().unwrap()
}

/// Of five candidates three lead, each in a slot of its own; one that waits follows as soon as one of them resigns.
#[tokio::test(flavor = "multi_thread")]
async fn as_many_lead_as_there_are_slots() {
    let store = Arc::new(MemoryStore::new());
    let candidates: Vec<Semaphore> = (0..5).map(|number| candidate(&store, &format!("c{number}"), 3)).collect();
    let mut led = Vec::new();
    for candidate in &candidates[..3] {
        led.push(within("a slot", candidate.campaign()).await.unwrap());
    }
    let slots: HashSet<usize> = led.iter().filter_map(|leadership| leadership.slot()).collect();
    assert_eq!(slots, HashSet::from([0, 1, 2]));
    for leadership in &led {
        assert_eq!(leadership.key().as_str(), format!("transcode/{}", leadership.slot().unwrap()));
    }
    assert!(within("patience", candidates[3].campaign_within(Duration::from_millis(200))).await.unwrap().is_none());
    let attempt = within("the answer", candidates[4].try_campaign()).await.unwrap();
    let Attempt::Held { by, .. } = attempt else { panic!("{attempt:?}") };
    assert!(["c0", "c1", "c2"].contains(&by.as_str()));

    let leaving = led.remove(1);
    let (slot, term) = (leaving.slot(), leaving.term());
    let (resigned, next) =
        within("the handover", async { tokio::join!(leaving.resign(), candidates[3].campaign()) }).await;
    resigned.unwrap();
    let next = next.unwrap();
    assert_eq!(next.slot(), slot);
    assert!(next.term() > term);
}

/// A semaphore's status and events name it as a whole; each slot's own are there besides.
#[tokio::test(flavor = "multi_thread")]
async fn each_slot_has_a_status() {
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a", 2);
    let mut events = a.events();
    assert_eq!((a.key().as_str(), a.keys().all().len(), a.observe_slots().len()), ("transcode", 2, 2));
    let leadership = within("a slot", a.campaign()).await.unwrap();
    let slot = leadership.slot().unwrap();
    assert!(a.status().is_leader() && a.status().key.as_str() == "transcode");
    let of = |slot: usize| a.observe_slots()[slot].borrow().clone();
    assert!(of(slot).is_leader() && !of(1 - slot).is_leader());
    assert_eq!(of(slot).key, *leadership.key());
    loop {
        let told = within("an event", events.next_of_slot()).await.unwrap();
        if matches!(told.event, tenure::Event::BecameLeader { .. }) {
            break assert_eq!(told.slot, Some(slot));
        }
    }
    within("the release", leadership.resign()).await.unwrap();
    assert!(!of(slot).is_leader() && !a.status().is_leader());
    within("the end", a.stop()).await;
}

/// Work under `run_until` shares the slots: never more at a time than there are, and everybody has a turn.
#[tokio::test(flavor = "multi_thread")]
async fn work_shares_the_slots() {
    let store = Arc::new(MemoryStore::new());
    let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut all = JoinSet::new();
    for number in 0..6 {
        let semaphore = candidate(&store, &format!("c{number}"), 2);
        let (at_work, most) = (Arc::clone(&at_work), Arc::clone(&most));
        all.spawn(async move {
            let work = async |_| {
                most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
                at_work.fetch_sub(1, Ordering::SeqCst);
                Ok::<(), ElectionError>(())
            };
            semaphore.run_until(std::future::pending::<()>(), work).await
        });
    }
    for ended in within("everybody's turn", all.join_all()).await {
        ended.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// No slot at all, and more than there may be, are refused.
#[tokio::test]
async fn the_count_is_checked() {
    let store = Arc::new(MemoryStore::new());
    for count in [0, 10_001] {
        let refused = Semaphore::builder(store.clone(), "transcode", count).start();
        assert!(matches!(refused, Err(ElectionError::Name(_))), "{refused:?}");
    }
}

/// An operator's request empties the slot, and its holder takes another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_asked_for_is_left() {
    use tenure::LeaseStore;
    let store = Arc::new(MemoryStore::new());
    let a = candidate(&store, "a", 2);
    let leadership = within("a slot", a.campaign()).await.unwrap();
    let slot = leadership.slot().unwrap();
    assert!(store.request_resign(leadership.key()).await.unwrap());
    assert_eq!(within("the request", leadership.lost()).await, LossReason::ResignRequested);
    within("the release", leadership.resign()).await.unwrap();
    let next = within("the other slot", a.campaign()).await.unwrap();
    assert_eq!(next.slot(), Some(1 - slot));
}
