//! The pool: one task that opens and replaces the connections of all seats.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::link::{Ended, Link, Report};
use crate::seat::{Running, Seat};
use crate::shared::Shared;

/// Reports that wait to be taken; the pool takes them at once, so a connection never waits long.
const REPORTS: usize = 64;

/// The seats and their connections' tasks.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    seats: Vec<Seat>,
    /// Which seat a connection belongs to.
    seat_of: HashMap<u32, usize>,
    reports: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
}

impl Pool {
    /// Runs until the reader stops, and until every connection's task has ended.
    pub(crate) async fn run(shared: Arc<Shared>, channels: Vec<String>) {
        let seed = shared.settings.seed.rotate_left(32);
        let chunks = (0..).zip(channels.chunks(shared.settings.channel_limit));
        let seats = chunks.map(|(number, chunk)| Seat::new(chunk, shared.backoff, seed.wrapping_add(number))).collect();
        let (reports, mut inbox) = mpsc::channel(REPORTS);
        let stop = shared.stop.clone();
        let mut pool = Pool { shared, seats, seat_of: HashMap::new(), reports, tasks: JoinSet::new() };
        loop {
            let next = pool.seats.iter().filter_map(Seat::next).min();
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

    /// Does what is due: leaves replaced connections, opens wanted ones as the budget of logins allows.
    fn act(&mut self) {
        let now = Instant::now();
        for number in 0..self.seats.len() {
            self.seats[number].leave(now);
            if self.seats[number].open_at.is_some_and(|at| at <= now) {
                self.open(number);
            }
        }
    }

    fn open(&mut self, number: usize) {
        let login = match self.shared.budgets.login() {
            Ok(login) => login,
            Err(at) => {
                self.seats[number].open_at = Some(self.shared.clock.instant(at));
                return;
            }
        };
        let (id, retire) = (self.shared.next_id(), CancellationToken::new());
        let channels = &self.seats[number].channels;
        let link = Link::new(id, Arc::clone(&self.shared), channels, login, self.reports.clone(), retire.clone());
        let task = self.tasks.spawn(link.run()).id();
        self.seat_of.insert(id, number);
        if self.seats[number].opened(Running::new(id, task, retire)) {
            self.shared.counters.reconnects.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&mut self, report: Report) {
        let (Report::Settled(id) | Report::ReconnectAsked(id) | Report::Ended(id, _)) = report;
        let Some(seat) = self.seat_of.get(&id).and_then(|number| self.seats.get_mut(*number)) else { return };
        match report {
            Report::Settled(id) => seat.settled(id),
            Report::ReconnectAsked(id) => seat.asked_to_leave(id),
            Report::Ended(id, ended) => {
                seat.ended(id, &ended);
                self.seat_of.remove(&id);
            }
        }
    }

    /// A task that panicked reports nothing: its seat must not stay empty.
    fn replace_panicked(&mut self, panic: &JoinError) {
        tracing::error!(%panic, "irc connection's task failed");
        let Some(id) = self.seats.iter().find_map(|seat| seat.link_of_task(panic.id())) else { return };
        self.shared.forget(id);
        self.take(Report::Ended(id, Ended { login_failure: None, up_for: Duration::ZERO }));
    }
}
