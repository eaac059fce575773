//! A group of up to 90 channels, and the connections that read it: when to open the next one, and when to close which.
//!
//! A group wants one connection that the server has not asked to replace. When the server sends RECONNECT, a second one is
//! opened and joins the same channels; when it has joined them, the first is closed. When a connection is lost, the next
//! is opened after a back-off.

use std::time::Duration;

use tenure_irc::{Backoff, LoginFailure};
use tokio::task;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connection_task::Ended;

/// A connection that was logged in for this long counts as a success: the back-off starts anew.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// How long the replaced connection still reads after the new one has joined, for lines that the server sent before it
/// took the new one in.
const OVERLAP: Duration = Duration::from_millis(1_000);

/// Channels that are read over one connection at a time, but for the overlap of a replacement.
#[derive(Debug)]
pub(crate) struct ChannelGroup {
    pub(crate) channels: Vec<String>,
    /// When to open the next connection, if one is wanted.
    pub(crate) open_at: Option<Instant>,
    /// The back-off after lost connections, and the one after refused logins. The latter is longer, for only a person can
    /// mend a refused login.
    backoff: Backoff,
    login_backoff: Backoff,
    connections: Vec<RunningConnection>,
    was_opened: bool,
}

/// A connection of the group whose task runs.
#[derive(Debug)]
pub(crate) struct RunningConnection {
    pub(crate) id: u32,
    pub(crate) task: task::Id,
    pub(crate) since: Instant,
    pub(crate) retire: CancellationToken,
    /// The server has asked for another connection in its place.
    replace_requested: bool,
    /// When to close it; set once another connection has joined the channels.
    close_at: Option<Instant>,
}

impl RunningConnection {
    pub(crate) fn new(id: u32, task: task::Id, retire: CancellationToken) -> Self {
        RunningConnection { id, task, since: Instant::now(), retire, replace_requested: false, close_at: None }
    }
}

impl ChannelGroup {
    /// A group that wants its first connection now.
    pub(crate) fn new(channels: &[String], (initial, max): (Duration, Duration), seed: u64) -> Self {
        ChannelGroup {
            channels: channels.to_vec(),
            open_at: Some(Instant::now()),
            backoff: Backoff::new(initial, max, seed),
            login_backoff: Backoff::new(max, max.saturating_mul(10), !seed),
            connections: Vec::new(),
            was_opened: false,
        }
    }

    /// A connection is being opened; says whether it is a reconnect.
    pub(crate) fn opened(&mut self, connection_task: RunningConnection) -> bool {
        self.open_at = None;
        self.connections.push(connection_task);
        std::mem::replace(&mut self.was_opened, true)
    }

    /// The connection that runs in this task.
    pub(crate) fn connection_of_task(&self, task: task::Id) -> Option<u32> {
        self.connections
            .iter()
            .find(|connection_task| connection_task.task == task)
            .map(|connection_task| connection_task.id)
    }

    /// The server wants this connection replaced.
    pub(crate) fn replace_requested(&mut self, id: u32) {
        let Some(connection_task) = self.connections.iter_mut().find(|connection_task| connection_task.id == id) else {
            return;
        };
        let proven = connection_task.since.elapsed() >= PROVEN_AFTER;
        if !std::mem::replace(&mut connection_task.replace_requested, true) {
            // A server that asks every new connection to go at once is met with the back-off of one that drops them.
            let wait = if proven { Duration::ZERO } else { self.backoff.wait() };
            self.want_another(wait);
        }
    }

    /// This connection has joined its channels: those that the server wants replaced are closed after [`OVERLAP`].
    pub(crate) fn settled(&mut self, id: u32) {
        for connection_task in self
            .connections
            .iter_mut()
            .filter(|connection_task| connection_task.replace_requested && connection_task.id != id)
        {
            connection_task.close_at.get_or_insert(Instant::now() + OVERLAP);
        }
    }

    /// This connection is over; the next one may be wanted.
    pub(crate) fn ended(&mut self, id: u32, ended: &Ended) {
        self.connections.retain(|connection_task| connection_task.id != id);
        let wait = self.wait_after(ended);
        self.want_another(wait);
    }

    /// Closes the replaced connections whose overlap is over.
    pub(crate) fn close_replaced(&mut self, now: Instant) {
        for connection_task in
            self.connections.iter_mut().filter(|connection_task| connection_task.close_at.is_some_and(|at| at <= now))
        {
            connection_task.close_at = None;
            connection_task.retire.cancel();
        }
    }

    /// When [`ChannelGroup::close_replaced`] or the opening of a connection is due next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.connections.iter().filter_map(|connection_task| connection_task.close_at).chain(self.open_at).min()
    }

    fn wait_after(&mut self, ended: &Ended) -> Duration {
        // The budget of logins already makes a login that came too fast wait.
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

    /// Opens the next connection after `wait`, unless there is one that the server has not asked to replace, or one is
    /// due already.
    fn want_another(&mut self, wait: Duration) {
        let stays = self.connections.iter().any(|connection_task| !connection_task.replace_requested);
        if !stays && self.open_at.is_none() {
            self.open_at = Some(Instant::now() + wait);
        }
    }
}
