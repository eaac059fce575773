//! A thread that is started early for work that comes late: a command that has used up the limit of processes lets no thread be
//! started at its end.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

type Job<S> = Box<dyn FnOnce(&mut S) + Send>;

/// A thread with a state of its own, which runs jobs one after the other. It ends when this is dropped, after the jobs that it
/// was given.
#[derive(Debug)]
pub struct StandbyThread<S> {
    jobs: Sender<Job<S>>,
    thread: JoinHandle<()>,
}

impl<S: Send + 'static> StandbyThread<S> {
    /// Starts the thread. It waits.
    pub fn start(name: &str, mut state: S) -> io::Result<StandbyThread<S>> {
        let (jobs, queue) = channel::<Job<S>>();
        let run = move || queue.into_iter().for_each(|job| job(&mut state));
        let thread = std::thread::Builder::new().name(name.into()).spawn(run)?;
        Ok(StandbyThread { jobs, thread })
    }

    /// Has the thread run this after the jobs before it. Does not wait. The answer is dropped if nobody waits for it, and never
    /// comes if a job before it has panicked.
    pub fn run<T: Send + 'static>(&self, job: impl FnOnce(&mut S) -> T + Send + 'static) -> oneshot::Receiver<T> {
        let (done, answer) = oneshot::channel();
        let job = move |state: &mut S| drop(done.send(job(state)));
        // The thread lives as long as this, unless it has panicked: then the answer says so.
        let _ = self.jobs.send(Box::new(job));
        answer
    }

    /// Waits until every job is done. Blocks.
    pub fn finish(self) {
        drop(self.jobs);
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs run in order on one state, whether anybody waits for their answers or not.
    #[test]
    fn jobs_run_in_order() {
        let thread = StandbyThread::start("standby", Vec::new()).unwrap();
        for number in 0..10 {
            drop(thread.run(move |numbers: &mut Vec<i32>| numbers.push(number)));
        }
        let numbers = thread.run(|numbers| numbers.clone());
        assert_eq!(numbers.blocking_recv().unwrap(), (0..10).collect::<Vec<_>>());
        thread.finish();
    }
}
