//! A thread of a file's own: SQLite blocks, so one thread does it, fed by a bounded queue; every wait has an end.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tenure_base_time::now;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use crate::failure::{FileError, FileErrorKind};
use crate::name::FileName;

/// How many calls may wait for the thread; further ones wait for a place, and give up at their own deadline.
const QUEUE: usize = 64;

/// Sends work to a thread that owns a `T`. The thread ends, and drops that, when this is dropped and the queue is done.
#[derive(Debug)]
pub struct Worker<T> {
    jobs: mpsc::Sender<Job<T>>,
    thread: Option<JoinHandle<()>>,
    name: FileName,
    limits: WorkerLimits,
}

/// How long a [`Worker`]'s calls may take.
#[derive(Clone, Copy, Debug)]
pub struct WorkerLimits {
    /// How long opening may take: many processes may be making the file at once.
    pub open: Duration,
    /// How long a call may wait for locks.
    pub locks: Duration,
    /// What the disk has besides, before a call is given up.
    pub disk: Duration,
}

/// The threads of workers that were dropped, as long as they have not ended.
static CLOSING: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());

/// Waits until every [`Worker`] that was dropped has closed its file, at most so long; tells whether they have.
///
/// For the end of a process, which takes its threads along: one that ends while SQLite takes index and log away can leave the
/// log alone behind, and nobody who only reads can open the file then.
pub fn wait_closed(within: Duration) -> bool {
    let until = now() + within;
    loop {
        let closing = CLOSING.lock().unwrap_or_else(PoisonError::into_inner);
        if closing.iter().all(JoinHandle::is_finished) {
            return true;
        }
        drop(closing);
        if now() >= until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        let mut closing = CLOSING.lock().unwrap_or_else(PoisonError::into_inner);
        closing.retain(|thread| !thread.is_finished());
        closing.extend(self.thread.take());
    }
}

struct Job<T> {
    ticket: Arc<Ticket>,
    act: Box<dyn FnOnce(&mut T) + Send>,
}

/// Says whether a job was begun, so that one which was not can still be taken back.
#[derive(Debug)]
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

impl<T: 'static> Worker<T> {
    /// Starts the thread under this name, and opens on it what it is to own; `open` is told for how long it may wait.
    pub async fn start(
        thread: &str,
        name: &FileName,
        limits: WorkerLimits,
        open: impl FnOnce(Duration) -> Result<T, FileError> + Send + 'static,
    ) -> Result<Worker<T>, FileError> {
        let (opened, outcome) = oneshot::channel();
        let open = move || match open(limits.open) {
            Ok(value) => opened.send(Ok(())).is_ok().then_some(value),
            Err(error) => {
                let _ = opened.send(Err(error));
                None
            }
        };
        let worker = Worker::spawn(thread, name, limits, open)?;
        let deadline = tokio::time::Instant::now() + limits.open + limits.locks + limits.disk;
        match timeout_at(deadline, outcome).await {
            Ok(Ok(result)) => result.map(|()| worker),
            Ok(Err(_)) => Err(worker.unavailable("its thread ended")),
            Err(_) => Err(worker.unavailable("could not be opened in time; the disk hangs")),
        }
    }

    /// Starts the thread with what `make` gives it there; where that is nothing the thread ends.
    pub fn spawn(
        thread: &str,
        name: &FileName,
        limits: WorkerLimits,
        make: impl FnOnce() -> Option<T> + Send + 'static,
    ) -> Result<Worker<T>, FileError> {
        let (jobs, mut queue) = mpsc::channel::<Job<T>>(QUEUE);
        let run = move || {
            let Some(mut value) = make() else { return };
            while let Some(job) = queue.blocking_recv() {
                if job.ticket.begin() {
                    (job.act)(&mut value);
                }
            }
        };
        match std::thread::Builder::new().name(thread.to_owned()).spawn(run) {
            Ok(thread) => Ok(Worker { jobs, thread: Some(thread), name: name.clone(), limits }),
            Err(error) => Err(FileError::no_thread(name, error)),
        }
    }

    /// Does something on the thread; `act` is told for how long it may still wait for locks.
    ///
    /// What was not begun when the time is up, or when the caller goes away, is never begun. What was begun and is not answered
    /// in time fails as [`FileErrorKind::OutcomeUnknown`].
    pub async fn call<R: Send + 'static>(
        &self,
        act: impl FnOnce(&mut T, Duration) -> Result<R, FileError> + Send + 'static,
    ) -> Result<R, FileError> {
        let locks = now() + self.limits.locks;
        let deadline = tokio::time::Instant::now() + self.limits.locks + self.limits.disk;
        let (reply, answer) = oneshot::channel();
        let ticket = Arc::new(Ticket(AtomicU8::new(QUEUED)));
        let withdraw = Withdraw(Arc::clone(&ticket));
        // A caller that has gone needs no answer.
        let act = Box::new(move |value: &mut T| drop(reply.send(act(value, locks.since(now())))));
        match timeout_at(deadline, self.jobs.send(Job { ticket, act })).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(self.unavailable("its thread ended")),
            Err(_) => return Err(self.unavailable("too many calls are waiting")),
        }
        match timeout_at(deadline, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(self.unknown("its thread ended in the middle of a call")),
            Err(_) if withdraw.0.withdraw() => Err(self.unavailable("busy with earlier calls")),
            Err(_) => Err(self.unknown("no answer in time; the disk hangs")),
        }
    }

    fn unavailable(&self, what: &str) -> FileError {
        FileError::at(&self.name, FileErrorKind::Unavailable, what)
    }

    fn unknown(&self, what: &str) -> FileError {
        FileError::at(&self.name, FileErrorKind::OutcomeUnknown, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::sync::atomic::AtomicBool;
    use std::task::{Context, Waker};

    fn worker() -> Worker<()> {
        let [open, locks, disk] = [100, 10, 190].map(Duration::from_millis);
        Worker::spawn("test", &FileName::new("x.db").unwrap(), WorkerLimits { open, locks, disk }, || Some(())).unwrap()
    }

    /// A call that waits on the thread until it is let go, and one that says whether it was begun.
    type Call = Box<dyn FnOnce(&mut (), Duration) -> Result<(), FileError> + Send>;

    fn hanging() -> (std::sync::mpsc::Sender<()>, Call) {
        let (unhang, hang) = std::sync::mpsc::channel();
        let wait = move |_: &mut (), _| {
            let _ = hang.recv();
            Ok(())
        };
        (unhang, Box::new(wait))
    }

    fn marking(begun: &Arc<AtomicBool>) -> Call {
        let begun = Arc::clone(begun);
        Box::new(move |_, _| {
            begun.store(true, Ordering::Relaxed);
            Ok(())
        })
    }

    /// A thread that hangs makes its call fail with the outcome unknown, and those behind it with nothing done.
    #[tokio::test]
    async fn a_hanging_thread_fails_calls_in_time() {
        let (worker, begun, (unhang, hang)) = (worker(), Arc::default(), hanging());
        let (first, second) = tokio::join!(worker.call(hang), worker.call(marking(&begun)));
        assert_eq!(first.unwrap_err().kind(), FileErrorKind::OutcomeUnknown);
        assert_eq!(second.unwrap_err().kind(), FileErrorKind::Unavailable);
        drop(unhang);
        // Calls are taken in order: when this one is answered, the second would have been begun.
        worker.call(|(), _| Ok(())).await.unwrap();
        assert!(!begun.load(Ordering::Relaxed), "a withdrawn call was begun");
    }

    /// A call whose caller goes away while it waits is never begun.
    #[tokio::test]
    async fn an_abandoned_call_is_withdrawn() {
        let (worker, begun, (unhang, hang)) = (worker(), Arc::default(), hanging());
        let mut hanging = pin!(worker.call(hang));
        let mut abandoned = Box::pin(worker.call(marking(&begun)));
        let mut context = Context::from_waker(Waker::noop());
        assert!(hanging.as_mut().poll(&mut context).is_pending());
        assert!(abandoned.as_mut().poll(&mut context).is_pending());
        drop(abandoned);
        drop(unhang);
        hanging.await.unwrap();
        worker.call(|(), _| Ok(())).await.unwrap();
        assert!(!begun.load(Ordering::Relaxed), "an abandoned call was begun");
    }

    /// The end of a process can wait for what was let go, and does not wait for ever.
    #[tokio::test]
    async fn what_was_dropped_is_waited_for() {
        let (worker, (unhang, hang)) = (worker(), hanging());
        worker.call(hang).await.unwrap_err();
        drop(worker);
        assert!(!wait_closed(Duration::from_millis(50)), "it hangs");
        drop(unhang);
        assert!(wait_closed(Duration::from_secs(10)));
    }

    /// What cannot be opened fails with its own error, and its thread ends.
    #[tokio::test]
    async fn a_failed_opening_is_told() {
        let name = FileName::new("x.db").unwrap();
        let limits = WorkerLimits { open: Duration::from_secs(1), locks: Duration::ZERO, disk: Duration::ZERO };
        let refused = Worker::<()>::start("test", &name, limits, |_| Err(FileError::replaced("x.db"))).await;
        assert!(refused.unwrap_err().to_string().contains("replaced"));
    }
}
