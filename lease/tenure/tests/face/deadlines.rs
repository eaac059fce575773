//! The deadline of a tenure, as its work sees it move.

use std::time::Duration;

use tenure::{Event, LeaseStore, LossReason};

use crate::store::Faulty;
use crate::within;

/// Every move of the deadline is told, to the leadership and to each mandate; the last one is followed by `None`.
#[tokio::test(flavor = "multi_thread")]
async fn every_move_is_told_until_the_end() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let mandate = leadership.mandate();
    let mut last = leadership.deadline();
    for _ in 0..3 {
        let moved = within("a move", leadership.deadline_changed()).await.expect("current");
        assert!(moved > last);
        assert_eq!(within("the same move", mandate.deadline_changed()).await, Some(moved));
        last = moved;
    }
    assert!(leadership.remaining() > Duration::ZERO && leadership.remaining() <= Duration::from_secs(2));
    let waiting = tokio::spawn({
        let mandate = mandate.clone();
        async move { while mandate.deadline_changed().await.is_some() {} }
    });
    store.remove(leadership.key()).await.unwrap();
    within("the end", waiting).await.unwrap();
    assert_eq!(within("the end", mandate.deadline_changed()).await, None);
    assert_eq!(within("the loss", leadership.lost()).await, LossReason::Lost { to: None });
    assert_eq!((leadership.remaining(), mandate.remaining()), (Duration::ZERO, Duration::ZERO));
}

/// A move before the question, or while its answer was dropped, is told by the next question; of several moves the latest.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_is_not_missed() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let mut events = a.events();
    let leadership = within("leadership", a.campaign()).await.unwrap();
    // Asked and dropped again and again: none of them takes the move away.
    let mut renewals = 0;
    while renewals < 2 {
        tokio::select! {
            biased;
            event = events.next() => renewals += usize::from(event == Some(Event::Renewed)),
            () = std::future::ready(()) => {
                let asked = leadership.mandate();
                let _ = tokio::time::timeout(Duration::from_millis(5), asked.deadline_changed()).await;
            }
        }
    }
    let latest = leadership.deadline();
    assert_eq!(within("the moves", leadership.deadline_changed()).await, Some(latest));
}

/// A mandate that outlives the work hears that its deadline moves no more.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_work_ends_the_moves() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leadership = within("leadership", a.campaign()).await.unwrap();
    let mandate = leadership.mandate();
    let waiting = tokio::spawn(async move {
        while mandate.deadline_changed().await.is_some() {}
        mandate.remaining()
    });
    drop(leadership);
    assert_eq!(within("the end", waiting).await.unwrap(), Duration::ZERO);
}
