//! A seat: up to 90 channels, and the connections that read them one after another.
//!
//! Always wanted is one connection that the server has not asked to be replaced. When the server asks, a second one is
//! opened and joins there; when it has settled, the first is left. When a connection is lost, the next is opened after a
//! wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tenure_irc::Backoff;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::link::{Ended, Link, Report};
use crate::shared::{Shared, lock};

/// A connection that was logged in for this long was a success: waits start anew.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// How long the replaced connection still reads after the new one has joined: lines that were on their way to both.
const OVERLAP: Duration = Duration::from_millis(1_000);

/// One seat; run it as a task.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    channels: Vec<String>,
    /// The waits after losses, and after refused logins: those take longer, since only a person mends them.
    backoff: Backoff,
    login_backoff: Backoff,
    links: Vec<Running>,
    /// When to open the next connection, if one is wanted.
    open_at: Option<Instant>,
    opened: u64,
    reports: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
}

struct Running {
    id: u32,
    task: tokio::task::Id,
    since: Instant,
    /// The server asked for another.
    asked_to_leave: bool,
    retire: CancellationToken,
}

impl Seat {
    /// Runs until the reader stops.
    pub(crate) async fn run(shared: Arc<Shared>, channels: Vec<String>, number: u64) {
        let seed = shared.settings.seed.rotate_left(32).wrapping_add(number);
        let (initial, max) = shared.backoff;
        let (reports, mut inbox) = mpsc::channel(8);
        let mut seat = Seat {
            channels,
            backoff: Backoff::new(initial, max, seed),
            login_backoff: Backoff::new(max, max.saturating_mul(10), !seed),
            links: Vec::new(),
            open_at: Some(Instant::now()),
            opened: 0,
            reports,
            tasks: JoinSet::new(),
            shared,
        };
        let stop = seat.shared.stop.clone();
        loop {
            let open_at = seat.open_at;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(report) = inbox.recv() => seat.take(report),
                () = sleep_until(open_at.unwrap_or_else(Instant::now)), if open_at.is_some() => seat.open(),
                Some(ended) = seat.tasks.join_next(), if !seat.tasks.is_empty() => {
                    if let Err(panic) = ended {
                        seat.replace_panicked(&panic);
                    }
                }
            }
        }
        while seat.tasks.join_next().await.is_some() {}
    }

    /// Opens a connection, or waits for the budget of logins.
    fn open(&mut self) {
        let clock = self.shared.clock;
        if let Err(at) = lock(&self.shared.logins).take(clock.now()) {
            self.open_at = Some(clock.instant(at));
            return;
        }
        self.open_at = None;
        if self.opened > 0 {
            self.shared.counters.reconnects.fetch_add(1, Ordering::Relaxed);
        }
        self.opened += 1;
        let (id, retire) = (self.shared.next_id(), CancellationToken::new());
        let link = Link::new(id, Arc::clone(&self.shared), &self.channels, self.reports.clone(), retire.clone());
        let task = self.tasks.spawn(link.run()).id();
        self.links.push(Running { id, task, since: Instant::now(), asked_to_leave: false, retire });
    }

    /// A task that panicked reports nothing: its seat must not stay empty.
    fn replace_panicked(&mut self, panic: &JoinError) {
        tracing::error!(%panic, "irc connection's task failed");
        let Some(link) = self.links.iter().find(|link| link.task == panic.id()) else { return };
        let id = link.id;
        self.shared.forget(id);
        self.take(Report::Ended(id, Ended { login_failure: None, up_for: Duration::ZERO }));
    }

    fn take(&mut self, report: Report) {
        match report {
            Report::Settled(id) => self.retire_others(id),
            Report::ReconnectAsked(id) => {
                let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
                let proven = link.since.elapsed() >= PROVEN_AFTER;
                if !std::mem::replace(&mut link.asked_to_leave, true) {
                    // A server that sends every new connection away again gets the waits of one that drops them.
                    let wait = if proven { Duration::ZERO } else { self.backoff.wait() };
                    self.want_another(wait);
                }
            }
            Report::Ended(id, ended) => {
                self.links.retain(|link| link.id != id);
                let wait = self.wait_after(&ended);
                self.want_another(wait);
            }
        }
    }

    fn wait_after(&mut self, ended: &Ended) -> Duration {
        if ended.login_failure.is_some() {
            let half = self.login_backoff.bound() / 2;
            return half + self.login_backoff.wait() / 2;
        }
        if ended.up_for >= PROVEN_AFTER {
            self.backoff.reset();
        }
        if !ended.up_for.is_zero() {
            self.login_backoff.reset();
        }
        self.backoff.wait()
    }

    /// Opens the next connection after `wait`, unless one that may stay is there or on its way.
    fn want_another(&mut self, wait: Duration) {
        let stays = self.links.iter().any(|link| !link.asked_to_leave);
        if !stays && self.open_at.is_none() {
            self.open_at = Some(Instant::now() + wait);
        }
    }

    /// The new connection has joined: those that were asked to leave go, a little later.
    fn retire_others(&mut self, settled: u32) {
        for link in self.links.iter().filter(|link| link.asked_to_leave && link.id != settled) {
            let (retire, stop) = (link.retire.clone(), self.shared.stop.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = sleep(OVERLAP) => retire.cancel(),
                    () = stop.cancelled() => (),
                }
            });
        }
    }
}
