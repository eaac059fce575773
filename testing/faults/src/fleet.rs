//! The workers: processes over one key, each through proxies of its own, with a wall clock of its own and a journal of its
//! own; followed while they run.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tenure_test_servers::{Cut, CutOff, Proxy, WallClock};

use crate::journal::{Entry, Follower, boottime};
use crate::judge::Act;
use crate::rig::{Client, Rig};
use crate::sink;
use crate::sockets;
use crate::worker;

/// The key that they contend for.
pub(crate) const KEY: &str = "faults/leader";
/// The worker that is never killed.
pub(crate) const LONG_LIVED: usize = 0;
const WORKERS: usize = 3;
/// How long anything may take that has no bound of its own.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long somebody acts before the next fault: longer than a worker rests that stands by again.
const STEADY: Duration = Duration::from_millis(700);

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) worker: usize,
    pub(crate) term: u64,
}

/// What workers have of their system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) threads: usize,
    /// Those that are no connections through proxies.
    pub(crate) descriptors: usize,
    /// Through their proxies.
    pub(crate) connections: usize,
}

impl Resources {
    /// Of what there is more than `bound` has, if of anything.
    pub(crate) fn is_more_than(self, bound: Resources) -> Option<&'static str> {
        let each = [
            ("the threads", self.threads, bound.threads),
            ("the descriptors", self.descriptors, bound.descriptors),
            ("the connections", self.connections, bound.connections),
        ];
        each.into_iter().find(|(_, now, most)| now > most).map(|(what, ..)| what)
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resources { threads, descriptors, connections } = self;
        write!(f, "{threads} threads, {descriptors} descriptors, {connections} connections")
    }
}

pub(crate) struct Fleet {
    workers: Vec<Worker>,
    ttl: Duration,
    acts: Vec<Act>,
    /// How many processes there were.
    processes: usize,
    /// How many tasks were left in each worker that ended by itself.
    pub(crate) tasks_left: Vec<usize>,
    folder: TempDir,
}

struct Worker {
    child: Option<Child>,
    process: usize,
    follower: Follower,
    /// The act that has not ended yet.
    open: Option<usize>,
    last: Option<Act>,
    ways: Vec<Proxy>,
    client: Client,
    /// `None` where the library that fakes clocks is absent.
    clock: Option<WallClock>,
}

impl Fleet {
    pub(crate) fn start(rig: &dyn Rig) -> Result<Fleet, String> {
        let folder = tempfile::tempdir().map_err(text)?;
        let mut fleet = Fleet {
            workers: Vec::new(),
            ttl: rig.ttl(),
            acts: Vec::new(),
            processes: 0,
            tasks_left: Vec::new(),
            folder,
        };
        for at in 0..WORKERS {
            let ways = rig.ports().into_iter().map(Proxy::to).collect::<Result<Vec<_>, _>>().map_err(text)?;
            let ports: Vec<u16> = ways.iter().map(Proxy::port).collect();
            let renamed: Vec<(u16, u16)> = rig.announced().into_iter().zip(ports.iter().copied()).collect();
            ways.iter().for_each(|way| way.rename(&renamed));
            let clock = WallClock::new(&fleet.folder.path().join(format!("clock-{at}"))).map_err(text)?;
            let client = rig.client(at, &ports);
            let follower = Follower::new(PathBuf::new());
            fleet.workers.push(Worker {
                child: None,
                process: 0,
                follower,
                open: None,
                last: None,
                ways,
                client,
                clock,
            });
            fleet.start_worker(at)?;
        }
        Ok(fleet)
    }

    // ---- what they wrote -----------------------------------------------------------------------------------------

    /// Every act so far.
    pub(crate) fn acts(&mut self) -> Result<&[Act], String> {
        self.refresh()?;
        Ok(&self.acts)
    }

    /// How many tenures have acted.
    pub(crate) fn terms(&mut self) -> Result<usize, String> {
        let terms: BTreeSet<u64> = self.acts()?.iter().map(|act| act.term).collect();
        Ok(terms.len())
    }

    /// Every term that the sink let through, in order.
    pub(crate) fn sink(&self) -> Result<Vec<u64>, String> {
        sink::read(&self.folder.path().join("sink"))
    }

    /// Waits for the first act that `fits`, of those that begin from now on or began last, and answers when it began.
    pub(crate) fn act(&mut self, what: &str, fits: impl Fn(&Act) -> bool) -> Result<(Leader, Duration), String> {
        self.refresh()?;
        let mut seen = self.acts.len();
        self.until(what, |fleet| {
            let new = &fleet.acts[seen.min(fleet.acts.len())..];
            let found = new.iter().filter(|act| fits(act)).min_by_key(|act| act.begin).copied();
            seen = fleet.acts.len();
            found.map(|act| (fleet.leader_of(&act), act.begin))
        })
    }

    /// Who begins the next act.
    pub(crate) fn acting(&mut self) -> Result<Leader, String> {
        self.act("somebody who acts", |_| true).map(|(leader, _)| leader)
    }

    /// Who acts, once somebody has acted for a while: there is something to strike, and there are others to take over.
    pub(crate) fn settled(&mut self) -> Result<Leader, String> {
        let mut since: Option<(u64, Duration)> = None;
        self.until("somebody who goes on acting", |fleet| {
            let last = fleet.last_act()?;
            let now = boottime();
            if now.saturating_sub(last.begin) > Duration::from_millis(200) {
                since = None;
            } else if since.is_none_or(|(term, _)| term != last.term) {
                since = Some((last.term, last.begin));
            }
            since.is_some_and(|(_, from)| now > from + STEADY).then(|| fleet.leader_of(&last))
        })
    }

    /// The act that began last.
    pub(crate) fn last_act(&self) -> Option<Act> {
        self.workers.iter().filter_map(|worker| worker.last).max_by_key(|act| act.begin)
    }

    /// Waits until what `look` asks for is there. A worker that has ended although nobody ended it is an error.
    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Fleet) -> Option<T>) -> Result<T, String> {
        let give_up = boottime() + PATIENCE;
        loop {
            self.refresh()?;
            if let Some(found) = look(self) {
                return Ok(found);
            }
            for (at, worker) in self.workers.iter_mut().enumerate() {
                if let Some(status) = worker.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                    return Err(format!("worker {at} has ended by itself: {status}"));
                }
            }
            if boottime() > give_up {
                return Err(format!("{what}: not within {PATIENCE:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn leader_of(&self, act: &Act) -> Leader {
        let worker = self.workers.iter().position(|worker| worker.process == act.process).unwrap_or_default();
        Leader { worker, term: act.term }
    }

    fn refresh(&mut self) -> Result<(), String> {
        for worker in &mut self.workers {
            for entry in worker.follower.read()? {
                match entry {
                    Entry::Begin { at, term } => {
                        let act = Act { process: worker.process, term, begin: at, end: None, refused: false };
                        worker.open = Some(self.acts.len());
                        worker.last = Some(act);
                        self.acts.push(act);
                    }
                    Entry::End { at } => {
                        if let Some(open) = worker.open.take() {
                            self.acts[open].end = Some(at);
                        }
                    }
                    Entry::Refused { .. } => {
                        if let Some(open) = worker.open {
                            self.acts[open].refused = true;
                        }
                    }
                    Entry::Ended { tasks } => self.tasks_left.push(tasks),
                }
            }
        }
        Ok(())
    }

    // ---- what is done to them ------------------------------------------------------------------------------------

    pub(crate) fn count(&self) -> usize {
        self.workers.len()
    }

    pub(crate) fn has_ways(&self) -> bool {
        self.workers.iter().all(|worker| !worker.ways.is_empty())
    }

    pub(crate) fn has_clocks(&self) -> bool {
        self.workers.iter().all(|worker| worker.clock.is_some())
    }

    /// Cuts every way of one worker, or of all.
    pub(crate) fn cut(&self, worker: Option<usize>, how: Cut) -> CutOff {
        let (from, count) = worker.map_or((0, self.workers.len()), |worker| (worker, 1));
        CutOff::cut(self.workers.iter().skip(from).take(count).flat_map(|worker| &worker.ways), how)
    }

    pub(crate) fn signal(&self, worker: usize, signal: Signal) {
        let child = self.workers[worker].child.as_ref();
        if let Some(pid) = child.and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?)) {
            // It was not waited for yet, so the pid is still its own.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sets one worker's wall clock so far off.
    pub(crate) fn set_clock(&self, worker: usize, offset: &str) -> Result<(), String> {
        self.workers[worker].clock.as_ref().map_or(Ok(()), |clock| clock.set(offset).map_err(text))
    }

    /// Kills one of them.
    pub(crate) fn kill(&mut self, worker: usize) {
        if let Some(mut child) = self.workers[worker].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts a worker that was killed, as a new process with a new journal.
    pub(crate) fn start_worker(&mut self, at: usize) -> Result<(), String> {
        self.refresh()?;
        self.processes += 1;
        let path = |name: &str| self.folder.path().join(name);
        let journal = path(&format!("journal-{}", self.processes));
        let log = File::options().create(true).append(true).open(path("workers.log")).map_err(text)?;
        let worker = &mut self.workers[at];
        let mut command = Command::new(std::env::current_exe().map_err(text)?);
        command.args([
            worker::MODE,
            &worker.client.url,
            KEY,
            &format!("worker-{at}"),
            &self.ttl.as_millis().to_string(),
        ]);
        command.arg(&journal).arg(path("sink"));
        command.envs(worker.client.environment.iter().map(|(name, value)| (name, value)));
        if let Some(clock) = &worker.clock {
            command.envs(clock.environment());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        worker.child = Some(command.spawn().map_err(|error| format!("cannot start worker {at}: {error}"))?);
        (worker.process, worker.follower, worker.open) = (self.processes, Follower::new(journal), None);
        Ok(())
    }

    // ---- what they leave behind ----------------------------------------------------------------------------------

    /// What one worker has now.
    pub(crate) fn resources(&self, worker: usize) -> Resources {
        let worker = &self.workers[worker];
        let pid = worker.child.as_ref().map_or(0, Child::id);
        let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).map_or(0, Iterator::count);
        let connections = worker.ways.iter().map(Proxy::connections).sum();
        Resources { threads: count("task"), descriptors: count("fd").saturating_sub(connections), connections }
    }

    /// How many connections they have to these ports themselves, and not through their proxies: no fault of a connection
    /// reaches these.
    pub(crate) fn connections_beside(&self, ports: &[u16]) -> usize {
        let processes = self.workers.iter().filter_map(|worker| worker.child.as_ref().map(Child::id));
        processes.map(|process| sockets::of(process, ports)).sum()
    }

    /// What all of them have together.
    pub(crate) fn all_resources(&self) -> Resources {
        (0..self.workers.len()).map(|worker| self.resources(worker)).fold(Resources::default(), |sum, one| Resources {
            threads: sum.threads + one.threads,
            descriptors: sum.descriptors + one.descriptors,
            connections: sum.connections + one.connections,
        })
    }

    /// Asks all of them to end, waits for it, and closes their ways.
    pub(crate) fn end(&mut self) -> Result<(), String> {
        for at in 0..self.workers.len() {
            self.signal(at, Signal::TERM);
        }
        let give_up = boottime() + PATIENCE;
        for at in 0..self.workers.len() {
            let Some(mut child) = self.workers[at].child.take() else { continue };
            let status = loop {
                match child.try_wait().map_err(text)? {
                    Some(status) => break status,
                    None if boottime() > give_up => {
                        let _ = child.kill();
                        let _ = child.wait();
                        return Err(format!("worker {at} did not end within {PATIENCE:?}"));
                    }
                    None => std::thread::sleep(Duration::from_millis(10)),
                }
            };
            if !status.success() {
                return Err(format!("worker {at} ended: {status}"));
            }
        }
        self.refresh()?;
        self.workers.iter_mut().for_each(|worker| worker.ways.clear());
        Ok(())
    }

    /// Keeps the folder of journals and logs, and answers where it is: for a run that has failed.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        (0..self.workers.len()).for_each(|worker| self.kill(worker));
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
