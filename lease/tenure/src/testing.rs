//! Elections that a test drives by hand: no store, no time, the same types.
//!
//! Code that takes an [`Election`], a [`Leadership`](crate::Leadership) or a [`Mandate`](crate::Mandate) is tested as it is:
//! [`election`] makes an election whose leadership comes and goes when the test says so, through its [`Handle`]. Its clock
//! stands still until the test moves it.
//!
//! ```
//! use tenure::{Election, LossReason, testing};
//! use tokio::sync::mpsc;
//!
//! /// The code under test: writes while it leads, and says when it has tidied up.
//! async fn write_reports(election: &Election, pages: mpsc::Sender<String>) {
//!     let stop = std::future::pending::<()>();
//!     let work = async |leadership: tenure::Leadership| {
//!         let _ = pages.send(format!("first page under term {}", leadership.term())).await;
//!         leadership.lost().await;
//!         pages.send("tidied up".to_owned()).await
//!     };
//!     let _ = election.run_until(stop, work).await;
//! }
//!
//! #[tokio::main]
//! async fn main() {
//!     let (election, handle) = testing::election("reports/nightly");
//!     let (pages, mut written) = mpsc::channel(8);
//!     let running = tokio::spawn(async move { write_reports(&election, pages).await });
//!
//!     // It writes nothing before it leads.
//!     assert!(written.try_recv().is_err());
//!     handle.gain().await;
//!     assert_eq!(written.recv().await.unwrap(), "first page under term 1");
//!
//!     // It is told to stop, tidies up, and only then is the lease released.
//!     handle.lose(LossReason::ResignRequested);
//!     assert_eq!(written.recv().await.unwrap(), "tidied up");
//!     handle.released().await;
//!
//!     // It campaigns again, and leads under a higher term.
//!     handle.gain().await;
//!     assert_eq!(written.recv().await.unwrap(), "first page under term 2");
//!     running.abort();
//! }
//! ```

mod manual;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tenure_core::{Event, HolderId, LeaseKey, LossReason, NameError, Note, Observed, SlotKeys, Standing, Term};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::election::Election;
use crate::frontend::Frontend;
use crate::semaphore::Semaphore;
use crate::status::Status;
use manual::Manual;

/// How long a tenure by hand may act before its deadline is moved: what the default ttl of 15 s leaves.
pub const VALIDITY: Duration = Duration::from_secs(13);

/// An election for `key` that this [`Handle`] drives, with the holder `test`.
///
/// # Panics
/// Outside of a tokio runtime, and where the key is not valid.
pub fn election(key: impl AsRef<str>) -> (Election, Handle) {
    by_hand(LeaseKey::new(key).map(SlotKeys::one))
}

/// A semaphore of `count` slots that this [`Handle`] drives, with the holder `test`.
///
/// # Panics
/// As [`election`].
pub fn semaphore(name: impl AsRef<str>, count: u32) -> (Semaphore, Handle) {
    let (election, handle) = by_hand(LeaseKey::new(name).and_then(|name| SlotKeys::numbered(name, count)));
    (Semaphore::new(election), handle)
}

#[expect(clippy::panic, reason = "what a test got wrong is for the test to see")]
fn by_hand(keys: Result<SlotKeys, NameError>) -> (Election, Handle) {
    let (keys, holder) = match (keys, HolderId::new("test")) {
        (Ok(keys), Ok(holder)) => (keys, holder),
        (Err(error), _) | (_, Err(error)) => panic!("{error}"),
    };
    let frontend = Frontend::new(keys, holder, true, Clock::manual(), None);
    let election = Election::served_by(&frontend);
    let status = frontend.observe();
    let manual = Arc::new(Mutex::new(Manual::new(frontend)));
    tokio::spawn(fulfil(Arc::downgrade(&manual)));
    (election, Handle { manual, status })
}

/// Moves an election by hand. Dropping it ends the election, as the end of its runtime would.
#[derive(Debug)]
pub struct Handle {
    manual: Arc<Mutex<Manual>>,
    status: watch::Receiver<Status>,
}

impl Handle {
    /// Waits until the code campaigns (or tries to), and grants it leadership: of the first slot where there are several. The
    /// terms are 1, 2, 3, unless a sink has shown a higher one.
    pub async fn gain(&self) -> Term {
        self.gain_slot(0).await
    }

    /// The same for this slot of a semaphore.
    ///
    /// # Panics
    /// Where the election has ended, or there is no such slot.
    #[expect(clippy::expect_used, reason = "what a test got wrong is for the test to see")]
    pub async fn gain_slot(&self, slot: usize) -> Term {
        self.when_campaigning(|manual| manual.grant(slot, VALIDITY)).await.expect("terms are not used up")
    }

    /// Waits until the code campaigns, and grants nothing.
    ///
    /// # Panics
    /// Where the election has ended.
    pub async fn campaigning(&self) {
        self.when_campaigning(|_| ()).await;
    }

    /// Waits until the code tries to campaign, and answers that `by` holds the key. A campaign that waits for as long as it
    /// takes goes on and learns who leads.
    ///
    /// # Panics
    /// Where the election has ended, or the name is not valid.
    #[expect(clippy::expect_used, reason = "what a test got wrong is for the test to see")]
    pub async fn refuse(&self, by: impl AsRef<str>) {
        let by = HolderId::new(by).expect("a valid holder");
        self.when_campaigning(|manual| manual.refuse(&by)).await;
    }

    /// Ends the tenure as the reason would: where it leaves time the work is told to stop, and may act on until
    /// [`Handle::kill`]; after [`LossReason::Lost`], [`LossReason::Expired`] and [`LossReason::Fenced`] it may not act any more.
    /// Nothing happens where nobody leads.
    pub fn lose(&self, reason: LossReason) {
        self.lock().lose(reason);
    }

    /// The time to stop is over: the right to act ends, and work under `lead` or `run_until` is dropped.
    pub fn kill(&self) {
        self.lock().kill();
    }

    /// The process has stood still past its deadline, and nobody has been told yet: the first moment after such a pause, in
    /// which only [`is_current`](crate::Leadership::is_current) knows. `lose(LossReason::Expired)` is what follows.
    pub fn pause(&self) {
        self.lock().pause();
    }

    /// Moves the clock. Nothing follows from that by itself, neither renewals nor losses.
    pub fn advance(&self, span: Duration) {
        self.lock().advance(span);
    }

    /// Moves the deadline, as an answered renewal does, to so much from now; never back.
    pub fn renew(&self, validity: Duration) {
        self.lock().renew(validity);
    }

    /// Tells the code that this holder leads now; `None` is nobody.
    ///
    /// # Panics
    /// Where the name is not valid.
    #[expect(clippy::expect_used, reason = "what a test got wrong is for the test to see")]
    pub fn set_leader(&self, leader: Option<&str>) {
        let leader = leader.map(|leader| HolderId::new(leader).expect("a valid holder"));
        self.lock().observe(Observed { leader, term: None }, false);
    }

    /// The store fails in these words, and goes on failing until the next answer: leadership, a renewal, a refusal.
    pub fn fail(&self, message: impl Into<String>) {
        let event = Event::StoreFailed { verb: "renew", message: message.into(), outcome_unknown: false };
        self.lock().tell(event);
    }

    /// The note that the code has set last.
    pub fn note(&self) -> Note {
        let mut manual = self.lock();
        manual.take_wishes();
        manual.note().clone()
    }

    /// Waits until nobody leads: the work has ended, and its lease is released.
    pub async fn released(&self) {
        let mut status = self.status.clone();
        // A status that is closed holds nothing either.
        let _ = status.wait_for(|status| !matches!(status.standing, Standing::Leader { .. })).await;
    }

    #[expect(clippy::panic, reason = "what a test got wrong is for the test to see")]
    async fn when_campaigning<T>(&self, act: impl FnOnce(&mut Manual) -> T) -> T {
        let mut status = self.status.clone();
        loop {
            if status.wait_for(|status| status.standing == Standing::Candidate).await.is_err() {
                panic!("the election has ended");
            }
            let mut manual = self.lock();
            // A campaign that was dropped meanwhile is one no more.
            manual.take_wishes();
            if manual.is_campaigning() {
                return act(&mut manual);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        lock(&self.manual)
    }
}

fn lock(manual: &Mutex<Manual>) -> MutexGuard<'_, Manual> {
    manual.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fulfils what the code wishes for, for as long as the handle lives.
async fn fulfil(manual: Weak<Mutex<Manual>>) {
    while let Some(manual) = manual.upgrade() {
        let (control, tenure) = {
            let mut manual = lock(&manual);
            manual.take_wishes();
            let Some(frontend) = &manual.frontend else { return };
            (Arc::clone(frontend.control()), frontend.tenure().cloned())
        };
        drop(manual);
        let ended = async {
            match &tenure {
                Some(tenure) => tenure.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = control.changed() => {}
            () = ended => {}
        }
    }
}
