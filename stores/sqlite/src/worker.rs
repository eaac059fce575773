//! The store's thread: SQLite blocks, so one thread does it, fed by a bounded queue; every wait has an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tenure_base_sqlite::FileName;
use tenure_core::Time;
use tenure_store::{StoreError, StoreErrorKind, StoreInfo};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use crate::clock::MachineClock;
use crate::config::SqliteConfig;
use crate::database::{Database, Purpose};

/// How many calls may wait for the thread; further ones wait for a place, and give up at their own deadline.
const QUEUE: usize = 64;

/// How long opening may take: many processes may be creating the file at once.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends work to the thread. The thread ends, and closes the file, when this is dropped and the queue is done.
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
    clock: MachineClock,
    busy_timeout: Duration,
    call_timeout: Duration,
    shown: String,
}

struct Job {
    ticket: Arc<Ticket>,
    act: Box<dyn FnOnce(&mut Database) + Send>,
}

/// Says whether a job was begun, so that one which was not can still be taken back.
struct Ticket(AtomicU8);

const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    fn begin(&self) -> bool {
        self.0.compare_exchange(QUEUED, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn withdraw(&self) -> bool {
        self.0.compare_exchange(QUEUED, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Takes a job back when its caller goes away.
struct Withdraw(Arc<Ticket>);

impl Drop for Withdraw {
    fn drop(&mut self) {
        self.0.withdraw();
    }
}

impl Worker {
    /// Starts the thread and opens the file on it.
    pub(crate) async fn start(
        name: FileName,
        config: &SqliteConfig,
        purpose: Purpose,
        info: &'static StoreInfo,
    ) -> Result<Worker, StoreError> {
        let clock = MachineClock::read()?;
        let shown = name.to_string();
        let (busy_timeout, call_timeout) = (config.busy_timeout, config.call_timeout());
        let patience = match purpose {
            Purpose::Write => OPEN_TIMEOUT,
            Purpose::Read => busy_timeout,
        };
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (opened, open) = oneshot::channel();
        let thread_clock = clock.clone();
        std::thread::Builder::new()
            .name("tenure-sqlite".to_owned())
            .spawn(move || {
                let deadline = thread_clock.now() + patience;
                match Database::open(name, purpose, thread_clock, info, deadline) {
                    Ok(database) => {
                        if opened.send(Ok(())).is_ok() {
                            work(database, queue);
                        }
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
            })
            .map_err(|error| {
                StoreError::new(StoreErrorKind::Unavailable, format!("sqlite:{shown}: cannot start a thread"))
                    .with_source(error)
            })?;
        let worker = Worker { jobs, clock, busy_timeout, call_timeout, shown };
        let deadline = tokio::time::Instant::now() + OPEN_TIMEOUT + call_timeout;
        match timeout_at(deadline, open).await {
            Ok(Ok(result)) => result.map(|()| worker),
            Ok(Err(_)) => Err(worker.failure(StoreErrorKind::Unavailable, "its thread ended")),
            Err(_) => Err(worker.failure(StoreErrorKind::Unavailable, "could not be opened in time; the disk hangs")),
        }
    }

    /// Does something on the thread. The closure gets the moment until which it may wait for locks.
    ///
    /// What was not begun when the time is up, or when the caller goes away, is never begun.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Database, Time) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let locks = self.clock.now() + self.busy_timeout;
        let deadline = tokio::time::Instant::now() + self.call_timeout;
        let (reply, answer) = oneshot::channel();
        let ticket = Arc::new(Ticket(AtomicU8::new(QUEUED)));
        let withdraw = Withdraw(Arc::clone(&ticket));
        // A caller that has gone needs no answer.
        let act = Box::new(move |database: &mut Database| drop(reply.send(act(database, locks))));
        match timeout_at(deadline, self.jobs.send(Job { ticket, act })).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(self.failure(StoreErrorKind::Unavailable, "its thread ended")),
            Err(_) => return Err(self.failure(StoreErrorKind::Unavailable, "too many calls are waiting")),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.failure(StoreErrorKind::TimedOut, "its thread ended in the middle of a call")),
            Err(_) if withdraw.0.withdraw() => {
                Err(self.failure(StoreErrorKind::Unavailable, "busy with earlier calls"))
            }
            Err(_) => Err(self.failure(StoreErrorKind::TimedOut, "no answer in time; the disk hangs")),
        }
    }

    fn failure(&self, kind: StoreErrorKind, what: &str) -> StoreError {
        StoreError::new(kind, format!("sqlite:{}: {what}", self.shown))
    }
}

fn work(mut database: Database, mut queue: mpsc::Receiver<Job>) {
    while let Some(job) = queue.blocking_recv() {
        if job.ticket.begin() {
            (job.act)(&mut database);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::sync::atomic::AtomicBool;

    static INFO: StoreInfo = StoreInfo::new("sqlite");

    async fn worker(folder: &tempfile::TempDir) -> Worker {
        let mut config = SqliteConfig::new(folder.path().join("x.db"));
        config.busy_timeout = Duration::from_millis(10);
        let mut worker = Worker::start(config.name().unwrap(), &config, Purpose::Write, &INFO).await.unwrap();
        worker.call_timeout = Duration::from_millis(200);
        worker
    }

    /// A thread that hangs makes its call fail with the outcome unknown, and those behind it with nothing done.
    #[tokio::test]
    async fn a_hanging_thread_fails_calls_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let worker = worker(&folder).await;
        let (unhang, hang) = std::sync::mpsc::channel::<()>();
        let begun = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&begun);
        let (first, second) = tokio::join!(
            worker.call(move |_, _| {
                let _ = hang.recv();
                Ok(())
            }),
            worker.call(move |_, _| {
                mark.store(true, Ordering::Relaxed);
                Ok(())
            }),
        );
        assert_eq!(first.unwrap_err().kind(), StoreErrorKind::TimedOut);
        assert_eq!(second.unwrap_err().kind(), StoreErrorKind::Unavailable);
        drop(unhang);
        // Calls are taken in order: when this one is answered, the second would have been begun.
        worker.call(|_, _| Ok(())).await.unwrap();
        assert!(!begun.load(Ordering::Relaxed), "a withdrawn call was begun");
    }

    /// A call whose caller goes away while it waits is never begun.
    #[tokio::test]
    async fn an_abandoned_call_is_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let worker = worker(&folder).await;
        let (unhang, hang) = std::sync::mpsc::channel::<()>();
        let begun = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&begun);
        let mut hanging = Box::pin(worker.call(move |_, _| {
            let _ = hang.recv();
            Ok(())
        }));
        let mut abandoned = Box::pin(worker.call(move |_, _| {
            mark.store(true, Ordering::Relaxed);
            Ok(())
        }));
        assert!((&mut hanging).now_or_never().is_none());
        assert!((&mut abandoned).now_or_never().is_none());
        drop(abandoned);
        drop(unhang);
        hanging.await.unwrap();
        worker.call(|_, _| Ok(())).await.unwrap();
        assert!(!begun.load(Ordering::Relaxed), "an abandoned call was begun");
    }
}
