//! Shows the running demo on standard error: as a picture on a terminal, else as lines.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::Signal;
use tenure_core::Time;

use super::files::{bytes, size};
use super::fleet::Fleet;
use super::leaders::Leaders;
use super::lines::Teller;
use super::picture::{Snapshot, picture};
use super::plan::{Phase, Plan};
use super::score::Scorer;
use super::screen::Screen;
use crate::signals::{self, Signals};

/// How often the picture is painted, and lines are told.
const FRAME: Duration = Duration::from_millis(200);
/// Over how long the rate is an average.
const RATE_OVER: Duration = Duration::from_secs(2);

/// What the view reads.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) plan: Arc<Plan>,
    pub(super) scorer: Scorer,
    pub(super) fleet: Fleet,
    pub(super) leaders: Leaders,
    pub(super) folder: PathBuf,
}

/// A running view. Dropping it ends it, with the last picture left on the terminal and the terminal as it was before.
#[derive(Debug)]
pub(super) struct View {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Stop the process, as Ctrl-Z asks.
    Stop,
    /// End, and leave the last picture.
    End,
    /// End, and take the picture away.
    Clear,
}

impl View {
    /// Shows the demo from now on, on the current runtime. A thread of its own writes, for a terminal may take its time.
    pub(super) fn start(sources: Sources) -> io::Result<View> {
        let screen = Screen::open();
        let (orders, taken) = channel();
        if screen.is_some() && !signals::is_ignored(Signal::TSTP) {
            let orders = orders.clone();
            let mut signals = Signals::of([Signal::TSTP])?;
            tokio::spawn(async move {
                loop {
                    signals.next().await;
                    let _ = orders.send(Order::Stop);
                }
            });
        }
        let thread =
            std::thread::Builder::new().name("view".to_owned()).spawn(move || show(&sources, screen, &taken))?;
        Ok(View { orders, thread: Some(thread) })
    }

    /// Ends the view, and takes the picture away.
    pub(super) fn clear(self) {
        // A view that has ended needs no order.
        let _ = self.orders.send(Order::Clear);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::End);
        // A panic of the view must not spoil the verdict.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn show(sources: &Sources, mut screen: Option<Screen>, orders: &Receiver<Order>) {
    let mut teller = Teller::default();
    let mut sent = VecDeque::new();
    loop {
        let snapshot = sources.snapshot(&mut sent);
        match &mut screen {
            Some(screen) => screen.paint(&picture(&snapshot, screen.look(), screen.size())),
            None => teller.tell(&snapshot).iter().for_each(|line| say!("{line}")),
        }
        let order = orders.recv_timeout(FRAME);
        match (order, &mut screen) {
            (Err(RecvTimeoutError::Timeout), _) | (Ok(Order::Stop), None) => {}
            (Ok(Order::Stop), Some(screen)) => screen.stop_process(),
            (Ok(Order::Clear), Some(screen)) => return screen.clear(),
            // What happened last is shown too.
            (Ok(_) | Err(_), Some(screen)) => {
                return screen.paint(&picture(&sources.snapshot(&mut sent), screen.look(), screen.size()));
            }
            (Ok(_) | Err(_), None) => {
                return teller.tell(&sources.snapshot(&mut sent)).iter().for_each(|line| say!("{line}"));
            }
        }
    }
}

impl Sources {
    fn snapshot(&self, sent: &mut VecDeque<(Time, u64)>) -> Snapshot {
        let plan = self.plan.now();
        let score = self.scorer.now();
        let now = tenure::now();
        sent.push_back((now, score.sent));
        while sent.len() > 2 && sent.front().is_some_and(|(at, _)| now.since(*at) > RATE_OVER) {
            sent.pop_front();
        }
        let rate = sent.front().map_or(0.0, |(at, before)| {
            let span = now.since(*at).as_secs_f64();
            if span > 0.0 { score.sent.saturating_sub(*before) as f64 / span } else { 0.0 }
        });
        let elapsed = if plan.phase == Phase::Starting { Duration::ZERO } else { now.since(plan.began) };
        Snapshot {
            elapsed,
            span: self.plan.span(),
            score,
            rate,
            fleet: self.fleet.now(),
            leader: self.leaders.now().leader,
            files: format!("{}, {}; Ctrl-C removes them", self.folder.display(), size(bytes(&self.folder))),
            plan,
        }
    }
}
