//! Elections that a test drives by hand behave as those over a store do.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::FutureExt;
use tenure::{Attempt, ElectionError, Event, Leadership, LossReason, Note, Standing, Term, testing};
use tokio::sync::Notify;

use crate::within;

/// Leadership that is gained by hand is the real thing: current, counted in the status, with growing terms.
#[tokio::test]
async fn gained_leadership_is_leadership() {
    let (election, handle) = testing::election("test/leader");
    let mut events = election.events();
    let (leadership, term) = within("leadership", async { tokio::join!(election.campaign(), handle.gain()) }).await;
    let leadership = leadership.unwrap();
    assert_eq!((leadership.term(), leadership.key().as_str(), leadership.slot()), (term, "test/leader", None));
    assert!(leadership.is_current() && election.status().is_leader());
    assert_eq!(leadership.remaining(), testing::VALIDITY);
    assert_eq!(election.status().leader.as_ref(), Some(election.holder()));
    within("the release", leadership.resign()).await.unwrap();
    assert_eq!(election.status().standing, Standing::Idle);
    let (again, higher) = within("leadership", async { tokio::join!(election.campaign(), handle.gain()) }).await;
    assert!(higher > term && again.unwrap().is_current());
    assert_eq!(within("an event", events.next()).await, Some(Event::LeaderElectionStarted));
    assert_eq!(within("an event", events.next()).await, Some(Event::BecameLeader { term }));
}

/// A loss that leaves time tells the work to stop; the kill ends its right to act. One that leaves none does both.
#[tokio::test]
async fn losses_are_as_their_reasons() {
    let (election, handle) = testing::election("test/leader");
    let gain =
        async || within("leadership", async { tokio::join!(election.campaign(), handle.gain()) }).await.0.unwrap();
    let leadership = gain().await;
    handle.lose(LossReason::Unhealthy);
    assert_eq!(within("the loss", leadership.lost()).await, LossReason::Unhealthy);
    assert!(leadership.is_current());
    handle.kill();
    within("the kill", leadership.killed()).await;
    assert!(!leadership.is_current() && !election.status().is_leader());
    drop(leadership);
    within("the release", handle.released()).await;

    let leadership = gain().await;
    handle.lose(LossReason::Lost { to: None });
    within("the kill", leadership.killed()).await;
    assert!(!leadership.is_current());
    assert_eq!(within("the end", leadership.deadline_changed()).await, None);
}

/// A pause is what only the clock knows: the right to act is gone, and nobody was told.
#[tokio::test]
async fn a_pause_tells_nobody() {
    let (election, handle) = testing::election("test/leader");
    let leadership = within("leadership", async { tokio::join!(election.campaign(), handle.gain()) }).await.0.unwrap();
    handle.advance(testing::VALIDITY - Duration::from_secs(1));
    assert!(leadership.is_current() && leadership.remaining() == Duration::from_secs(1));
    handle.renew(Duration::from_secs(5));
    assert_eq!(within("the move", leadership.deadline_changed()).await, Some(leadership.deadline()));
    assert_eq!(leadership.remaining(), Duration::from_secs(5));
    handle.pause();
    assert!(!leadership.is_current() && !election.status().is_leader());
    assert!(leadership.lost().now_or_never().is_none());
    handle.lose(LossReason::Expired);
    assert_eq!(within("the loss", leadership.lost()).await, LossReason::Expired);
}

/// `run_until` and `lead` see nothing unusual: they campaign again, drop work, and end.
#[tokio::test]
async fn run_until_runs_by_hand() {
    let (election, handle) = testing::election("test/leader");
    let (terms, begun) = (RefCell::new(Vec::new()), Notify::new());
    let work = async |leadership: Leadership| {
        terms.borrow_mut().push(leadership.term().get());
        begun.notify_one();
        leadership.lost().await;
        Ok::<(), ElectionError>(())
    };
    let script = async {
        handle.gain().await;
        begun.notified().await;
        handle.lose(LossReason::RenewalFailed);
        handle.released().await;
        handle.gain().await;
        begun.notified().await;
    };
    within("the end", election.run_until(script, work)).await.unwrap();
    assert_eq!(terms.into_inner(), [1, 2]);
    assert!(matches!(election.campaign().await, Err(ElectionError::Stopped)));
}

/// One try can be refused; a fenced term ends the tenure, and the next one is higher; notes and failures are seen.
#[tokio::test]
async fn the_rest_of_the_face() {
    let (election, handle) = testing::election("test/leader");
    let (attempt, ()) =
        within("the answer", async { tokio::join!(election.try_campaign(), handle.refuse("other")) }).await;
    assert!(matches!(attempt, Ok(Attempt::Held { by, .. }) if by.as_str() == "other"));
    assert_eq!(election.status().leader.as_ref().map(|leader| leader.as_str()), Some("other"));

    let (attempt, _) = within("the answer", async { tokio::join!(election.try_campaign(), handle.gain()) }).await;
    let leadership = attempt.unwrap().leadership().unwrap();
    let own = within("the answer", election.try_campaign()).await;
    assert!(matches!(own, Ok(Attempt::Held { by, .. }) if by == *election.holder()));
    leadership.set_note(Note::new("page 7").unwrap());
    assert_eq!(handle.note().as_str(), "page 7");
    handle.fail("out of order");
    assert_eq!(election.status().store_failure.as_deref(), Some("out of order"));
    handle.renew(testing::VALIDITY);
    assert_eq!(election.status().store_failing_since, None);

    let seen = Term::new(40).unwrap();
    leadership.fenced(seen);
    assert_eq!(within("the loss", leadership.lost()).await, LossReason::Fenced { seen });
    drop(leadership);
    within("the release", handle.released()).await;
    let (next, term) = within("leadership", async { tokio::join!(election.campaign(), handle.gain()) }).await;
    let next = next.unwrap();
    assert_eq!((term.get(), next.last_note().map(Note::as_str)), (41, Some("page 7")));

    election.set_healthy(false);
    assert_eq!(within("the loss", next.lost()).await, LossReason::Unhealthy);
    drop(next);
    within("the release", handle.released()).await;
    assert!(matches!(within("the answer", election.try_campaign()).await, Ok(Attempt::StoodBack)));
}

/// A dropped campaign is given up, `stop` ends, and so does the loss of the handle.
#[tokio::test]
async fn ends_are_ends() {
    let (election, handle) = testing::election("test/leader");
    assert!(election.campaign_within(Duration::from_millis(20)).await.unwrap().is_none());
    let leadership = within("leadership", async { tokio::join!(election.campaign(), handle.gain()) }).await.0.unwrap();
    let ((), reason) = within("the end", async {
        tokio::join!(election.stop(), async {
            let reason = leadership.lost().await;
            drop(leadership);
            reason
        })
    })
    .await;
    assert_eq!(reason, LossReason::Resigned);

    let (election, handle) = testing::election("test/leader");
    let leadership = within("leadership", async { tokio::join!(election.campaign(), handle.gain()) }).await.0.unwrap();
    drop(handle);
    assert_eq!(within("the loss", leadership.lost()).await, LossReason::RenewalFailed);
    assert!(matches!(within("the end", election.campaign()).await, Err(ElectionError::Stopped)));
}

/// A slot of a semaphore is gained by its number.
#[tokio::test]
async fn a_slot_is_gained_by_hand() {
    let (semaphore, handle) = testing::semaphore("transcode", 3);
    let (leadership, _) = within("a slot", async { tokio::join!(semaphore.campaign(), handle.gain_slot(2)) }).await;
    let leadership = leadership.unwrap();
    assert_eq!((leadership.slot(), leadership.key().as_str()), (Some(2), "transcode/2"));
}
