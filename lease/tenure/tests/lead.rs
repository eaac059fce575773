//! Every way to hand work to `lead`: its tenure lasts until the work's future is gone, and not longer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tenure::{Election, ElectionError, Event, Leadership, LossReason, Mandate, MemoryStore};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle};

const SOON: Duration = Duration::from_secs(20);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

fn candidate(store: &Arc<MemoryStore>, name: &str) -> Arc<Election> {
    let builder = Election::builder(store.clone(), "test/lead").holder(name).ttl(Duration::from_secs(1));
    Arc::new(builder.start().unwrap())
}

/// Work that can be looked at: whether it is alive, and when it may end.
#[derive(Clone)]
struct Work {
    alive: watch::Sender<usize>,
    ends: Arc<Notify>,
}

/// Alive until this is dropped.
struct Alive(watch::Sender<usize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|alive| *alive -= 1);
    }
}

impl Work {
    fn new() -> Work {
        Work { alive: watch::Sender::new(0), ends: Arc::new(Notify::new()) }
    }

    fn begin(&self) -> Alive {
        self.alive.send_modify(|alive| *alive += 1);
        Alive(self.alive.clone())
    }

    async fn run(&self) {
        let _alive = self.begin();
        self.ends.notified().await;
    }

    fn is_alive(&self) -> bool {
        *self.alive.borrow() > 0
    }

    async fn has_begun(&self) {
        within("the work's beginning", self.alive.subscribe().wait_for(|alive| *alive > 0)).await.unwrap();
    }
}

/// Two candidates for one key, the first of which leads with some work.
struct Scene {
    work: Work,
    first: Arc<Election>,
    second: Arc<Election>,
}

impl Scene {
    fn new() -> Scene {
        let store = Arc::new(MemoryStore::new());
        Scene { work: Work::new(), first: candidate(&store, "first"), second: candidate(&store, "second") }
    }

    /// The second one campaigns; the answer is whether work of the first one was alive when it was granted.
    fn rival(&self) -> JoinHandle<bool> {
        let (second, work) = (Arc::clone(&self.second), self.work.clone());
        tokio::spawn(async move {
            let leadership = second.campaign().await.unwrap();
            let overlaps = work.is_alive();
            leadership.resign().await.unwrap();
            overlaps
        })
    }

    /// Once the work has begun the lease is renewed for it, and nobody else gets it before `end` has ended the work.
    async fn lasts<T: Send + 'static>(
        self,
        led: JoinHandle<T>,
        end: impl AsyncFnOnce(&Work, &JoinHandle<T>),
    ) -> Result<T, JoinError> {
        let mut events = self.first.events();
        self.work.has_begun().await;
        let rival = self.rival();
        loop {
            match within("a renewal", events.next()).await {
                Some(Event::Renewed) => break,
                Some(Event::LostLeadership { reason, .. }) => panic!("the tenure ended while its work ran: {reason}"),
                _ => {}
            }
        }
        assert!(self.work.is_alive() && !rival.is_finished());
        end(&self.work, &led).await;
        assert!(!within("the second one's turn", rival).await.unwrap(), "two worked at once");
        within("the end of lead", led).await
    }
}

/// Calls `lead` with this work, and ends the work after a while.
macro_rules! lasts {
    ($name:ident, $sentence:literal, |$work:ident, $election:ident| $led:expr) => {
        #[doc = $sentence]
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            let scene = Scene::new();
            let ($work, $election) = (scene.work.clone(), Arc::clone(&scene.first));
            let led = tokio::spawn(async move { $led.await.map(drop) });
            scene.lasts(led, async |work, _| work.ends.notify_one()).await.unwrap().unwrap();
        }
    };
}

lasts!(a_closure_that_takes_nothing, "The leadership is dropped before the future is polled.", |work, election| {
    election.lead(|_| async move { work.run().await })
});

lasts!(a_closure_that_ignores_its_argument, "The leadership is dropped by an unused name.", |work, election| election
    .lead(|_leadership| async move { work.run().await }));

lasts!(an_async_closure_that_takes_nothing, "An async closure drops what it does not name.", |work, election| election
    .lead(async |_| work.run().await));

lasts!(a_closure_that_captures_the_term, "The future owns a number, not the leadership.", |work, election| election
    .lead(|leadership| {
        let term = leadership.term();
        async move {
            work.run().await;
            term
        }
    }));

lasts!(
    a_closure_that_captures_a_mandate,
    "A mandate alone does not keep the lease; it may act as long as the work.",
    |work, election| election.lead(|leadership| {
        let mandate: Mandate = leadership.mandate();
        async move {
            work.run().await;
            assert!(mandate.is_current());
        }
    })
);

lasts!(a_closure_that_owns_the_leadership, "The future owns the leadership.", |work, election| election.lead(
    |leadership| async move {
        work.run().await;
        assert!(leadership.is_current());
    }
));

lasts!(work_that_drops_the_leadership_early, "Dropping it half way ends nothing.", |work, election| election.lead(
    async |leadership| {
        drop(leadership);
        work.run().await;
    }
));

lasts!(work_in_a_box, "The future is a trait object.", |work, election| election.lead(|_| {
    let boxed: std::pin::Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move { work.run().await });
    boxed
}));

lasts!(work_that_waits_for_a_task, "The task has a mandate, the future waits for it.", |work, election| election.lead(
    |leadership| {
        let mandate = leadership.mandate();
        async move {
            let task = tokio::spawn(async move {
                work.run().await;
                mandate.is_current()
            });
            assert!(task.await.unwrap());
        }
    }
));

lasts!(
    a_task_that_outlives_the_work,
    "A spawned task that owns the leadership keeps the lease after `lead`.",
    |work, election| election.lead(async |leadership: Leadership| {
        let (begun, begins) = tokio::sync::oneshot::channel();
        tokio::spawn(async move {
            let _alive = work.begin();
            begun.send(()).unwrap();
            work.ends.notified().await;
            assert!(leadership.is_current());
            drop(_alive);
            drop(leadership);
        });
        begins.await.unwrap();
    })
);

/// The work panics: its future is unwound before the lease is released.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_panics() {
    let scene = Scene::new();
    let (work, first) = (scene.work.clone(), Arc::clone(&scene.first));
    let led = tokio::spawn(async move {
        let work = async |_| {
            work.run().await;
            panic!("as the test wants");
        };
        let led: Result<(), ElectionError> = first.lead(work).await;
        led
    });
    let led = scene.lasts(led, async |work, _| work.ends.notify_one()).await;
    assert!(led.unwrap_err().is_panic());
}

/// The closure panics before it has made a future: the lease is released, and the election can be used on.
#[tokio::test(flavor = "multi_thread")]
async fn a_closure_that_panics() {
    let scene = Scene::new();
    let panics = |_: Leadership| -> std::future::Ready<()> { panic!("as the test wants") };
    let led = within("the panic", AssertUnwindSafe(scene.first.lead(panics)).catch_unwind()).await;
    assert!(led.is_err());
    assert!(!within("the second one's turn", scene.rival()).await.unwrap());
    within("the next tenure", scene.first.lead(async |leadership| leadership.term())).await.unwrap();
}

/// The task that leads is aborted: the future is dropped before the lease is released.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_aborted() {
    let scene = Scene::new();
    let (work, first) = (scene.work.clone(), Arc::clone(&scene.first));
    let led = tokio::spawn(async move { first.lead(|_| async move { work.run().await }).await });
    let led = scene.lasts(led, async |_, led| led.abort()).await;
    assert!(led.unwrap_err().is_cancelled());
}

/// The future of `lead` is dropped, as by a time-out: the work's future goes first.
#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_is_dropped() {
    let scene = Scene::new();
    let (work, first) = (scene.work.clone(), Arc::clone(&scene.first));
    let (stop, mut stopped) = watch::channel(false);
    let led = tokio::spawn(async move {
        tokio::select! {
            _ = first.lead(|_| async move { work.run().await }) => false,
            _ = stopped.wait_for(|stop| *stop) => true,
        }
    });
    assert!(scene.lasts(led, async |_, _| assert!(!stop.send_replace(true))).await.unwrap());
}

/// Work that does not end when its tenure does is dropped, before the next one is granted.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_cut_off() {
    let scene = Scene::new();
    let (work, first) = (scene.work.clone(), Arc::clone(&scene.first));
    let led = tokio::spawn(async move { first.lead(|_| async move { work.run().await }).await });
    let first = Arc::clone(&scene.first);
    let led = scene.lasts(led, async |_, _| first.resign()).await.unwrap();
    assert!(matches!(led, Err(ElectionError::Lost(LossReason::Resigned))), "{led:?}");
}

/// A mandate that outlives the work may not act any more, however long its tenure would still have lasted.
#[tokio::test(flavor = "multi_thread")]
async fn a_mandate_ends_with_the_work() {
    let scene = Scene::new();
    let mandate = within("the work", scene.first.lead(async |leadership| leadership.mandate())).await.unwrap();
    assert!(!mandate.is_current());
    assert!(!within("the second one's turn", scene.rival()).await.unwrap());
}

/// `resign` inside the work says that the work has ended: the lease is released while its future goes on, and nothing may
/// act under it any more.
#[tokio::test(flavor = "multi_thread")]
async fn resigning_inside_the_work_releases_at_once() {
    let scene = Scene::new();
    let rivals = AtomicUsize::new(0);
    let led = scene.first.lead(async |leadership| {
        let mandate = leadership.mandate();
        assert!(mandate.is_current());
        leadership.resign().await.unwrap();
        assert!(!mandate.is_current());
        within("the second one's turn", scene.rival()).await.unwrap();
        rivals.fetch_add(1, Ordering::Relaxed);
    });
    within("the work", led).await.unwrap();
    assert_eq!(rivals.load(Ordering::Relaxed), 1);
}
