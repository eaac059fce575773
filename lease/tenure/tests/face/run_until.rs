//! `run_until`: campaigns again after each loss, and drains and releases at the end.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tenure::{ElectionError, Event, Leadership, LeaseStore, LossReason, Term};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::store::Faulty;
use crate::within;

/// Work that counts how often it began, and runs until its tenure is lost.
async fn until_lost(leadership: Leadership, terms: &mpsc::UnboundedSender<Term>) -> Result<(), ElectionError> {
    terms.send(leadership.term()).unwrap();
    leadership.lost().await;
    Ok(())
}

/// After each loss the work begins again under a higher term, whatever the loss was; in a task of its own, too.
#[tokio::test(flavor = "multi_thread")]
async fn after_each_loss_it_campaigns_again() {
    let store = Faulty::new();
    let election = Arc::new(store.candidate("a"));
    let (begun, mut terms) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let election = Arc::clone(&election);
        async move { election.run_until(stopped, async |leadership| until_lost(leadership, &begun).await).await }
    });
    let first = within("the first tenure", terms.recv()).await.unwrap();
    store.remove(election.key()).await.unwrap();
    let second = within("the second tenure", terms.recv()).await.unwrap();
    election.resign();
    let third = within("the third tenure", terms.recv()).await.unwrap();
    election.set_healthy(false);
    within("the release", store.is_free()).await;
    election.set_healthy(true);
    let fourth = within("the fourth tenure", terms.recv()).await.unwrap();
    assert!(first < second && second < third && third < fourth);
    stop.send(()).unwrap();
    within("the end", running).await.unwrap().unwrap();
    assert_eq!(store.holder().await, None);
    assert!(matches!(election.campaign().await, Err(ElectionError::Stopped)), "the election has ended");
}

/// Stopped while another one leads, it ends at once, and leaves the leader alone.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_campaigning_it_ends() {
    let store = Faulty::new();
    let (a, b) = (store.candidate("a"), store.candidate("b"));
    let leads = within("leadership", a.campaign()).await.unwrap();
    let waits = async {
        while store.claims() < 2 {
            tokio::task::yield_now().await
        }
    };
    let work = async |_: Leadership| -> Result<(), ElectionError> { panic!("led beside the leader") };
    within("the end", b.run_until(waits, work)).await.unwrap();
    assert!(leads.is_current());
}

/// A stop that is there from the beginning, and one whose answer is an error, end it as any other.
#[tokio::test(flavor = "multi_thread")]
async fn any_future_may_be_the_stop() {
    let store = Faulty::new();
    let work = async |_: Leadership| -> Result<(), ElectionError> { panic!("led after the stop") };
    within("the end", store.candidate("a").run_until(async {}, work)).await.unwrap();
    let failed = std::future::ready(Err::<(), _>(std::io::Error::other("no signals here")));
    within("the end", store.candidate("b").run_until(failed, work)).await.unwrap();
    assert_eq!(store.claims(), 0);
}

/// Stopped while it leads, the work is told, drains under the lease, and the lease is released after it.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_while_leading_it_drains_and_releases() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let mut events = a.events();
    let (stop, leads) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let drained = Mutex::new(None);
    let work = async |leadership: Leadership| {
        leads.notify_one();
        let reason = leadership.lost().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let held = store.holder().await.is_some();
        *drained.lock().unwrap() = Some((reason, held, leadership.is_current()));
        Ok::<(), ElectionError>(())
    };
    let stopping = async {
        leads.notified().await;
        stop.notify_one();
    };
    let (ended, ()) = within("the end", async { tokio::join!(a.run_until(stop.notified(), work), stopping) }).await;
    ended.unwrap();
    let drained = drained.into_inner().unwrap();
    assert_eq!(drained, Some((LossReason::Resigned, true, true)), "reason, held and current while it drained");
    assert_eq!(store.holder().await, None);
    let mut tenures = 0;
    while let Some(event) = within("an event", events.next()).await {
        tenures += usize::from(matches!(event, Event::BecameLeader { .. }));
    }
    assert_eq!(tenures, 1);
}

/// Work that does not stop is dropped once its stop timeout is over, and only then the lease is released.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_does_not_stop_is_dropped() {
    struct Alive<'a>(&'a AtomicUsize);
    impl Drop for Alive<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let store = Faulty::new();
    let a = store.candidate("a");
    let (dropped, leads) = (AtomicUsize::new(0), Notify::new());
    let work = async |_: Leadership| -> Result<(), ElectionError> {
        let _alive = Alive(&dropped);
        leads.notify_one();
        std::future::pending().await
    };
    within("the end", a.run_until(leads.notified(), work)).await.unwrap();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    assert_eq!(store.holder().await, None);
}

/// Work that was dropped at its deadline is begun again by the next campaign.
#[tokio::test(flavor = "multi_thread")]
async fn dropped_work_is_begun_again() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let (begun, again) = (AtomicUsize::new(0), Notify::new());
    let work = async |leadership: Leadership| -> Result<(), ElectionError> {
        if begun.fetch_add(1, Ordering::SeqCst) == 0 {
            store.remove(leadership.key()).await.unwrap();
            return std::future::pending().await;
        }
        again.notify_one();
        leadership.lost().await;
        Ok(())
    };
    within("the end", a.run_until(again.notified(), work)).await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 2);
}

/// Work that returns while it leads has done what it was for: the lease is released, and nothing begins again.
#[tokio::test(flavor = "multi_thread")]
async fn finished_work_ends_it() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let begun = AtomicUsize::new(0);
    let work = async |leadership: Leadership| {
        begun.fetch_add(1, Ordering::SeqCst);
        assert!(leadership.is_current());
        Ok::<(), ElectionError>(())
    };
    within("the end", a.run_until(std::future::pending::<()>(), work)).await.unwrap();
    assert_eq!((begun.into_inner(), store.holder().await), (1, None));
}

/// Work that resigns by itself and returns has not finished: the next campaign begins.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_resigns_is_begun_again() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let begun = AtomicUsize::new(0);
    let work = async |leadership: Leadership| {
        if begun.fetch_add(1, Ordering::SeqCst) == 0 {
            leadership.resign().await?;
        }
        Ok::<(), ElectionError>(())
    };
    within("the end", a.run_until(std::future::pending::<()>(), work)).await.unwrap();
    assert_eq!(begun.into_inner(), 2);
}

/// An error of the work releases the lease and is the answer, as it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_work_ends_it() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let work = async |_: Leadership| Err("no page to write");
    let failed = within("the end", a.run_until(std::future::pending::<()>(), work)).await;
    assert_eq!(failed, Err("no page to write"));
    assert_eq!(store.holder().await, None);
}

/// An error while the work drains is the answer, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_while_draining_is_the_answer() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leads = Notify::new();
    let work = async |leadership: Leadership| {
        leads.notify_one();
        leadership.lost().await;
        Err("the last page was not written")
    };
    let failed = within("the end", a.run_until(leads.notified(), work)).await;
    assert_eq!(failed, Err("the last page was not written"));
    assert_eq!(store.holder().await, None);
}

/// Work that panics releases the lease, and the panic goes on; the election can be used after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_releases() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let work = async |_: Leadership| -> Result<(), ElectionError> { panic!("as the test wants") };
    let running = AssertUnwindSafe(a.run_until(std::future::pending::<()>(), work)).catch_unwind();
    assert!(within("the panic", running).await.is_err());
    within("the release", store.is_free()).await;
    assert!(within("leadership", a.campaign()).await.unwrap().is_current());
}

/// A call that is dropped drops the work before the lease is released; the election can be used after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_call_releases() {
    let store = Faulty::new();
    let a = store.candidate("a");
    let leads = Notify::new();
    let work = async |_: Leadership| -> Result<(), ElectionError> {
        leads.notify_one();
        std::future::pending().await
    };
    tokio::select! {
        _ = a.run_until(std::future::pending::<()>(), work) => panic!("nobody asked for an end"),
        () = leads.notified() => {}
    }
    within("the release", store.is_free()).await;
    assert!(within("leadership", a.campaign()).await.unwrap().is_current());
}

/// `Election::stop` ends it as its own stop does, whether it campaigns or leads.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_the_election_ends_it() {
    let store = Faulty::new();
    for _ in 0..2 {
        let a = Arc::new(store.candidate("a"));
        let leads = Arc::new(Notify::new());
        let running = tokio::spawn({
            let (a, leads) = (Arc::clone(&a), Arc::clone(&leads));
            async move {
                let work = async |leadership: Leadership| {
                    leads.notify_one();
                    assert_eq!(leadership.lost().await, LossReason::Resigned);
                    Ok::<(), ElectionError>(())
                };
                a.run_until(std::future::pending::<()>(), work).await
            }
        });
        within("leadership", leads.notified()).await;
        within("the end", a.stop()).await;
        within("the end", running).await.unwrap().unwrap();
    }
    let b = store.candidate("b");
    let leads = within("leadership", b.campaign()).await.unwrap();
    let a = store.candidate("a");
    let work = async |_: Leadership| -> Result<(), ElectionError> { panic!("led beside the leader") };
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        a.stop().await;
    };
    let running = async { tokio::join!(a.run_until(std::future::pending::<()>(), work), stopping) };
    within("the end", running).await.0.unwrap();
    assert!(leads.is_current());
}

/// A store that fails ends nothing: once it answers again, the work begins.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_is_waited_for() {
    let store = Faulty::new();
    store.set_failing(true);
    let a = store.candidate("a");
    let mut status = a.observe();
    let (begun, mut terms) = mpsc::unbounded_channel();
    let mending = async {
        status.wait_for(|status| status.store_failing_since.is_some()).await.unwrap();
        store.set_failing(false);
        terms.recv().await
    };
    let work = async |leadership: Leadership| until_lost(leadership, &begun).await;
    within("the end", a.run_until(mending, work)).await.unwrap();
}
