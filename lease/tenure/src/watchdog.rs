//! The thread that enforces deadlines, whatever the async runtime is doing.
//!
//! One thread per process on a boottime timer. A tokio timer alone would not do: a runtime that is starved, blocked or
//! was suspended with the machine fires late, and late is when another holder may already act.

use std::collections::HashMap;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tenure_base_time::{Timer, now};
use tenure_core::{LossReason, Term, Time};

use crate::overrun::OnOverrun;
use crate::tenure::Tenure;

/// A tenure under the watchdog's eye. Leaves it when dropped after the work has ended; work that goes on while nobody
/// renews for it any more stays under it.
#[derive(Debug)]
pub(crate) struct Watched {
    id: u64,
}

/// How the deadlines of one election are enforced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    /// How long before the deadline the work is killed.
    pub(crate) kill_lead: Duration,
    /// What to do where the work has not ended at the deadline itself.
    pub(crate) on_overrun: OnOverrun,
}

impl Watch {
    /// Enforces `tenure`'s deadline from now on.
    ///
    /// Call [`start`] once before: without the thread nothing is enforced.
    pub(crate) fn enforce(self, tenure: &Arc<Tenure>) -> Watched {
        let Some(watchdog) = WATCHDOG.get() else {
            tracing::error!("the deadline thread was not started: the right to act ends at once");
            tenure.kill(LossReason::Expired);
            return Watched { id: 0 };
        };
        let due = tenure.deadline() - self.kill_lead;
        let mut entries = watchdog.lock();
        entries.last_id += 1;
        let id = entries.last_id;
        let tenure = Arc::clone(tenure);
        let entry = Entry { tenure, watch: self, killed_at: None, overrun: None, reported: false };
        entries.by_id.insert(id, entry);
        // Deadlines move only later afterwards, so this is the one moment at which the thread may have to look sooner.
        if due < entries.next {
            entries.next = due;
            watchdog.set_timer(due);
        }
        Watched { id }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watchdog) = WATCHDOG.get() {
            let mut entries = watchdog.lock();
            if entries.by_id.get(&self.id).is_some_and(|entry| entry.tenure.has_ended()) {
                entries.by_id.remove(&self.id);
            }
        }
    }
}

static WATCHDOG: OnceLock<Arc<Watchdog>> = OnceLock::new();

struct Watchdog {
    entries: Mutex<Entries>,
    timer: Timer,
}

struct Entries {
    last_id: u64,
    by_id: HashMap<u64, Entry>,
    next: Time,
}

struct Entry {
    tenure: Arc<Tenure>,
    watch: Watch,
    killed_at: Option<Time>,
    overrun: Option<Overrun>,
    reported: bool,
}

/// Work that has not ended at its deadline.
struct Overrun {
    key: String,
    term: Term,
    on_overrun: OnOverrun,
}

/// Starts the thread, if it does not run yet.
pub(crate) fn start() -> io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if WATCHDOG.get().is_some() {
        return Ok(());
    }
    let entries = Mutex::new(Entries { last_id: 0, by_id: HashMap::new(), next: Time::MAX });
    let watchdog = Arc::new(Watchdog { entries, timer: Timer::new()? });
    let theirs = Arc::clone(&watchdog);
    std::thread::Builder::new().name("tenure-deadline".into()).spawn(move || theirs.run())?;
    WATCHDOG.get_or_init(|| watchdog);
    Ok(())
}

impl Watchdog {
    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_timer(&self, at: Time) {
        if let Err(error) = self.timer.set(at) {
            // Cannot happen with a valid descriptor and a valid time; without its timer the thread protects nobody.
            tracing::error!(%error, "the deadline timer could not be set");
        }
    }

    fn run(&self) {
        loop {
            self.timer.wait();
            let mut entries = self.lock();
            let now = now();
            entries.by_id.retain(|_, entry| !entry.tenure.has_ended());
            let next = entries.by_id.values_mut().filter_map(|entry| entry.enforce(now)).min().unwrap_or(Time::MAX);
            entries.next = next;
            self.set_timer(next);
            let overruns: Vec<Overrun> = entries.by_id.values_mut().filter_map(Entry::take_overrun).collect();
            // Words may block on whoever reads them, deadlines may not: every kill comes first.
            drop(entries);
            overruns.into_iter().for_each(Overrun::act);
        }
    }
}

impl Entry {
    /// Does what is due at `now`; answers when to look again.
    fn enforce(&mut self, now: Time) -> Option<Time> {
        if self.tenure.has_ended() || self.reported {
            return None;
        }
        let deadline = self.tenure.deadline();
        let kill_at = deadline - self.watch.kill_lead;
        if now < kill_at {
            return Some(kill_at);
        }
        // Whoever waits is woken by this: a waker that panics must not end the thread.
        let kill = AssertUnwindSafe(|| self.tenure.kill(LossReason::Expired));
        let _ = std::panic::catch_unwind(kill);
        // A process that was paused past its deadline learns of it only now: its work gets the same last moment to end
        // as any other, with its right to act gone already.
        let killed_at = *self.killed_at.get_or_insert(now);
        let overrun_at = deadline.max(killed_at + self.watch.kill_lead);
        if now < overrun_at {
            return Some(overrun_at);
        }
        self.reported = true;
        let Tenure { key, term, .. } = &*self.tenure;
        self.overrun = Some(Overrun { key: key.to_string(), term: *term, on_overrun: self.watch.on_overrun });
        None
    }

    fn take_overrun(&mut self) -> Option<Overrun> {
        self.overrun.take()
    }
}

impl Overrun {
    fn act(self) {
        let abort = self.on_overrun == OnOverrun::Abort;
        let (said, heard) = mpsc::sync_channel(1);
        let say = move || {
            self.say();
            let _ = said.send(());
        };
        // In a thread of its own: standard error may be a pipe that nobody reads any more.
        let speaking = std::thread::Builder::new().name("tenure-overrun".into()).spawn(say).is_ok();
        if abort {
            if speaking {
                let _ = heard.recv_timeout(LAST_WORDS);
            }
            std::process::abort();
        }
    }

    fn say(&self) {
        let key = &self.key;
        match self.on_overrun {
            OnOverrun::Report => {
                metrics::counter!("tenure_overruns_total", "lease" => key.clone()).increment(1);
                tracing::error!(
                    lease = %key,
                    term = %self.term,
                    "work outlived its deadline: only its term protects now"
                );
            }
            OnOverrun::Abort => {
                eprintln!("tenure: work under lease {key:?} outlived its deadline; aborting the process");
            }
        }
    }
}

/// How long an abort waits for its own words to be written.
const LAST_WORDS: Duration = Duration::from_millis(50);
