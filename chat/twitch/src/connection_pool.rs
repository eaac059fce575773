//! The connection pool: one task that opens and replaces the connections of all groups of channels.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::channel_group::{ChannelGroup, RunningConnection};
use crate::connection_task::{ConnectionReport, ConnectionTask, Ended};
use crate::shared::Shared;

/// How many reports may wait. The pool takes each at once, so a connection never waits long.
const REPORTS: usize = 64;

/// The groups of channels and the tasks of their connections.
pub(crate) struct ConnectionPool {
    shared: Arc<Shared>,
    groups: Vec<ChannelGroup>,
    /// Which group a connection belongs to.
    group_of: HashMap<u32, usize>,
    reports: mpsc::Sender<ConnectionReport>,
    tasks: JoinSet<()>,
}

impl ConnectionPool {
    /// Runs until the reader stops, and until every connection's task has ended.
    pub(crate) async fn run(shared: Arc<Shared>, channels: Vec<String>) {
        let seed = shared.settings.seed.rotate_left(32);
        let chunks = (0..).zip(channels.chunks(shared.settings.channel_limit));
        let groups =
            chunks.map(|(number, chunk)| ChannelGroup::new(chunk, shared.backoff, seed.wrapping_add(number))).collect();
        let (reports, mut inbox) = mpsc::channel(REPORTS);
        let stop = shared.stop.clone();
        let mut pool = ConnectionPool { shared, groups, group_of: HashMap::new(), reports, tasks: JoinSet::new() };
        loop {
            let next = pool.groups.iter().filter_map(ChannelGroup::next).min();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(report) = inbox.recv() => pool.take(report),
                Some(ended) = pool.tasks.join_next(), if !pool.tasks.is_empty() => {
                    if let Err(panic) = ended {
                        pool.replace_panicked(&panic);
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => pool.act(),
            }
        }
        while pool.tasks.join_next().await.is_some() {}
    }

    /// Closes replaced connections that are due, and opens wanted ones as the budget of logins allows.
    fn act(&mut self) {
        let now = Instant::now();
        for number in 0..self.groups.len() {
            self.groups[number].close_replaced(now);
            if self.groups[number].open_at.is_some_and(|at| at <= now) {
                self.open(number);
            }
        }
    }

    fn open(&mut self, number: usize) {
        let login = match self.shared.budgets.login() {
            Ok(login) => login,
            Err(at) => {
                self.groups[number].open_at = Some(self.shared.clock.instant(at));
                return;
            }
        };
        let (id, retire) = (self.shared.next_id(), CancellationToken::new());
        let channels = &self.groups[number].channels;
        let connection_task =
            ConnectionTask::new(id, Arc::clone(&self.shared), channels, login, self.reports.clone(), retire.clone());
        let task = self.tasks.spawn(connection_task.run()).id();
        self.group_of.insert(id, number);
        if self.groups[number].opened(RunningConnection::new(id, task, retire)) {
            self.shared.counters.reconnects.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&mut self, report: ConnectionReport) {
        let (ConnectionReport::Settled(id) | ConnectionReport::ReconnectRequested(id) | ConnectionReport::Ended(id, _)) =
            report;
        let Some(channel_group) = self.group_of.get(&id).and_then(|number| self.groups.get_mut(*number)) else {
            return;
        };
        match report {
            ConnectionReport::Settled(id) => channel_group.settled(id),
            ConnectionReport::ReconnectRequested(id) => channel_group.replace_requested(id),
            ConnectionReport::Ended(id, ended) => {
                channel_group.ended(id, &ended);
                self.group_of.remove(&id);
            }
        }
    }

    /// A task that panicked reports nothing, so its group is told here that it needs another connection.
    fn replace_panicked(&mut self, panic: &JoinError) {
        tracing::error!(%panic, "irc connection's task failed");
        let Some(id) = self.groups.iter().find_map(|channel_group| channel_group.connection_of_task(panic.id())) else {
            return;
        };
        self.shared.forget(id);
        self.take(ConnectionReport::Ended(id, Ended { login_failure: None, up_for: Duration::ZERO }));
    }
}
