//! A seat: up to 90 channels, and when which connection reads them.
//!
//! Always wanted is one connection that the server has not asked to be replaced. When the server asks, a second one is
//! opened and joins there; when it has settled, the first is left. When a connection is lost, the next is opened after a
//! wait.

use std::time::Duration;

use tenure_irc::{Backoff, LoginFailure};
use tokio::task;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::link::Ended;

/// A connection that was logged in for this long was a success: waits start anew.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// How long the replaced connection still reads after the new one has joined: lines that were on their way to both.
const OVERLAP: Duration = Duration::from_millis(1_000);

/// One seat.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) channels: Vec<String>,
    /// When to open the next connection, if one is wanted.
    pub(crate) open_at: Option<Instant>,
    /// The waits after losses, and after refused logins: those take longer, since only a person mends them.
    backoff: Backoff,
    login_backoff: Backoff,
    links: Vec<Running>,
    was_opened: bool,
}

/// A connection of the seat.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) id: u32,
    pub(crate) task: task::Id,
    pub(crate) since: Instant,
    pub(crate) retire: CancellationToken,
    /// The server asked for another.
    asked_to_leave: bool,
    /// When to leave it, once another has taken over.
    leave_at: Option<Instant>,
}

impl Running {
    pub(crate) fn new(id: u32, task: task::Id, retire: CancellationToken) -> Self {
        Running { id, task, since: Instant::now(), retire, asked_to_leave: false, leave_at: None }
    }
}

impl Seat {
    /// A seat that wants its first connection now.
    pub(crate) fn new(channels: &[String], (initial, max): (Duration, Duration), seed: u64) -> Self {
        Seat {
            channels: channels.to_vec(),
            open_at: Some(Instant::now()),
            backoff: Backoff::new(initial, max, seed),
            login_backoff: Backoff::new(max, max.saturating_mul(10), !seed),
            links: Vec::new(),
            was_opened: false,
        }
    }

    /// A connection is being opened; says whether it is a reconnect.
    pub(crate) fn opened(&mut self, link: Running) -> bool {
        self.open_at = None;
        self.links.push(link);
        std::mem::replace(&mut self.was_opened, true)
    }

    /// The connection that runs in this task.
    pub(crate) fn link_of_task(&self, task: task::Id) -> Option<u32> {
        self.links.iter().find(|link| link.task == task).map(|link| link.id)
    }

    /// The server wants this connection replaced.
    pub(crate) fn asked_to_leave(&mut self, id: u32) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        let proven = link.since.elapsed() >= PROVEN_AFTER;
        if !std::mem::replace(&mut link.asked_to_leave, true) {
            // A server that sends every new connection away again gets the waits of one that drops them.
            let wait = if proven { Duration::ZERO } else { self.backoff.wait() };
            self.want_another(wait);
        }
    }

    /// This connection has joined: those that were asked to leave go, a little later.
    pub(crate) fn settled(&mut self, id: u32) {
        for link in self.links.iter_mut().filter(|link| link.asked_to_leave && link.id != id) {
            link.leave_at.get_or_insert(Instant::now() + OVERLAP);
        }
    }

    /// This connection is over; the next one may be wanted.
    pub(crate) fn ended(&mut self, id: u32, ended: &Ended) {
        self.links.retain(|link| link.id != id);
        let wait = self.wait_after(ended);
        self.want_another(wait);
    }

    /// Leaves the connections whose time has come.
    pub(crate) fn leave(&mut self, now: Instant) {
        for link in self.links.iter_mut().filter(|link| link.leave_at.is_some_and(|at| at <= now)) {
            link.leave_at = None;
            link.retire.cancel();
        }
    }

    /// When something is to be done next, by [`Seat::leave`] or by opening.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.links.iter().filter_map(|link| link.leave_at).chain(self.open_at).min()
    }

    fn wait_after(&mut self, ended: &Ended) -> Duration {
        // A login that came too fast is mended by waiting, and the budget sees to that.
        if ended.login_failure.is_some_and(|failure| failure != LoginFailure::TooFast) {
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
}
