//! Two candidates, `tenure run` each, over one lease; started, looked into, and started again when a fault ended one.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::checker;
use crate::place::Store;
use crate::user::User;
use crate::writer::{MODE, boottime};

/// The leases' ttl here.
pub(crate) const TTL: Duration = Duration::from_millis(1500);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a leader's child writes before it is struck: longer than the one before rests until it stands by again.
const STEADY: Duration = Duration::from_millis(600);
const CANDIDATES: usize = 2;

/// What a candidate runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A child that writes.
    Writer,
    /// The same, with a grandchild in a session of its own.
    Daemon,
    /// As many children as another user can have.
    Full,
    /// Many grandchildren in sessions of their own, of another user, who can make no control group.
    Crowd,
    /// A daemon of another user, under a kernel that gives no handles for processes.
    WithoutHandles,
    /// A child that has taken root's rights from another user.
    OtherRights,
}

impl Work {
    /// Whether it needs another user.
    pub(crate) fn needs_root(self) -> bool {
        !matches!(self, Work::Writer | Work::Daemon)
    }
}

/// The candidates and what they share.
pub(crate) struct Fleet {
    pub(crate) store: Store,
    candidates: Vec<Child>,
    work: Work,
    file: PathBuf,
    user: Option<User>,
}

/// The processes of the candidate that leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) tenure: u32,
    pub(crate) watchdog: u32,
    pub(crate) child: u32,
    pub(crate) term: u64,
}

impl Fleet {
    pub(crate) fn start(store: Store, work: Work) -> Result<Fleet, String> {
        checker::can_fail()?;
        let file = store.folder().join("alive.txt");
        let user = match work.needs_root() {
            true => Some(User::new(store.folder()).map_err(|error| format!("another user: {error}"))?),
            false => None,
        };
        let mut fleet = Fleet { store, candidates: Vec::new(), work, file, user };
        for at in 0..CANDIDATES {
            let candidate = fleet.candidate(at)?;
            fleet.candidates.push(candidate);
        }
        fleet.leader_after(0)?;
        Ok(fleet)
    }

    /// Waits for the child that writes under a term above `term`, and says which processes stand behind it.
    pub(crate) fn leader_after(&mut self, term: u64) -> Result<Leader, String> {
        self.until("a new leader", |fleet| {
            let (_, pid, newest) = fleet.last_line()?;
            if newest <= term {
                return None;
            }
            // A grandchild of its own session is the watchdog's child as well; the command is the oldest of them.
            let mut at = u32::try_from(pid).ok()?;
            let watchdog = loop {
                let parent = parent(at)?;
                if fleet.candidates.iter().any(|candidate| Some(candidate.id()) == self::parent(parent)) {
                    break parent;
                }
                at = parent;
            };
            let child = children(watchdog).into_iter().min_by_key(|child| started(*child))?;
            Some(Leader { tenure: parent(watchdog)?, watchdog, child, term: newest })
        })
    }

    /// Which of the candidates stands behind this leader.
    pub(crate) fn candidate_of(&self, leader: Leader) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.id() == leader.tenure)
    }

    /// The program that a candidate is: every other one is the other build, where there is one.
    fn build_of(&self, at: usize) -> PathBuf {
        let other = other_build().filter(|_| !at.is_multiple_of(2));
        other.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_tenure")))
    }

    /// Whether somebody writes under a newer term.
    pub(crate) fn leads_since(&self, term: u64) -> bool {
        self.last_line().is_some_and(|(_, _, newest)| newest > term)
    }

    /// The leader, once its child has written for a while: there is something to find, and somebody else to take over.
    pub(crate) fn steady_leader(&mut self) -> Result<Leader, String> {
        let leader = self.leader_after(0)?;
        let from = boottime();
        self.until("a child that goes on writing", |fleet| {
            let (time, _, term) = fleet.last_line()?;
            (term >= leader.term && Duration::from_nanos(time) > from + STEADY).then_some(())
        })?;
        self.leader_after(0)
    }

    /// Waits until what `look` asks for is there; candidates that ended meanwhile are started again.
    pub(crate) fn until<T>(&mut self, what: &str, mut look: impl FnMut(&Fleet) -> Option<T>) -> Result<T, String> {
        let give_up = boottime() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            if boottime() > give_up {
                return Err(format!("{what}: not within {PATIENCE:?}"));
            }
            self.replace_the_dead()?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The newest line of the file: time, pid, term.
    pub(crate) fn last_line(&self) -> Option<(u64, u64, u64)> {
        use std::os::unix::fs::FileExt;
        let file = fs::File::open(&self.file).ok()?;
        let length = file.metadata().ok()?.len();
        let mut end = [0; 256];
        let from = length.saturating_sub(256);
        let read = file.read_at(&mut end, from).ok()?;
        let text = std::str::from_utf8(&end[..read]).ok()?;
        let line = text[..text.rfind('\n')?].rsplit('\n').next()?;
        let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        <[u64; 3]>::try_from(fields).ok().map(|[time, pid, term]| (time, pid, term))
    }

    /// The time of the first line under a term above `term`, as far as the end of the file shows it.
    pub(crate) fn first_line_after(&self, term: u64) -> Option<Duration> {
        let text = fs::read_to_string(&self.file).ok()?;
        let times = text.lines().rev().map(|line| {
            let mut fields = line.split_whitespace().filter_map(|field| field.parse::<u64>().ok());
            (fields.next(), fields.nth(1))
        });
        let newer = times.take_while(|(_, seen)| seen.is_some_and(|seen| seen > term));
        newer.filter_map(|(time, _)| time.map(Duration::from_nanos)).last()
    }

    /// Ends everything; answers the file that the children wrote.
    pub(crate) fn end(mut self) -> Result<PathBuf, String> {
        let kept = std::env::temp_dir().join(format!("tenure-soak-{}.txt", std::process::id()));
        for candidate in &self.candidates {
            signal(candidate.id(), Signal::TERM);
        }
        for mut candidate in self.candidates.drain(..) {
            while candidate.try_wait().map_err(|error| error.to_string())?.is_none() {
                if self.work == Work::OtherRights {
                    // Nobody but root can end these.
                    descendants(candidate.id()).into_iter().skip(1).for_each(|pid| signal(pid, Signal::KILL));
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        fs::copy(&self.file, &kept).map_err(|error| error.to_string())?;
        Ok(kept)
    }

    fn replace_the_dead(&mut self) -> Result<(), String> {
        for at in 0..self.candidates.len() {
            if self.candidates[at].try_wait().map_err(|error| error.to_string())?.is_some() {
                self.candidates[at] = self.candidate(at)?;
            }
        }
        Ok(())
    }

    fn candidate(&self, at: usize) -> Result<Child, String> {
        let mut command = match &self.user {
            Some(user) => user.command(self.work == Work::Full, self.work == Work::WithoutHandles),
            None => Command::new(self.build_of(at)),
        };
        let ttl = format!("{}ms", TTL.as_millis());
        command.args(["run", "--lease", "soak/leader", "--restart=always", "--stop-timeout", "200ms", "--ttl", &ttl]);
        command.env("TENURE_STORE", self.store.url(at)).env("TENURE_CONFIG", "");
        command.arg("--");
        if let (Work::OtherRights, Some(user)) = (self.work, &self.user) {
            command.arg(user.program("setuid")).args(["--reuid=0", "--regid=0", "--clear-groups"]);
        }
        match &self.user {
            Some(user) => command.arg(user.program("writer")),
            None => command.arg(std::env::current_exe().map_err(|error| error.to_string())?),
        };
        command.arg(MODE).arg(&self.file);
        match self.work {
            Work::Writer | Work::OtherRights => {}
            Work::Daemon | Work::WithoutHandles => drop(command.arg("daemon")),
            Work::Full => drop(command.arg("full")),
            Work::Crowd => drop(command.arg("crowd")),
        }
        let log = fs::File::options().create(true).append(true).open(self.store.folder().join("candidates.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.map_err(|error| error.to_string())?);
        command.spawn().map_err(|error| format!("cannot start tenure: {error}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // Only where a round failed: whatever state they are in, none may outlive the test.
        for candidate in &mut self.candidates {
            for pid in descendants(candidate.id()) {
                signal(pid, Signal::KILL);
            }
            let _ = candidate.kill();
            let _ = candidate.wait();
        }
        if let Some(user) = &self.user {
            user.end();
        }
    }
}

/// Another build of `tenure`, which takes part beside this one.
pub(crate) fn other_build() -> Option<PathBuf> {
    std::env::var_os("TENURE_OTHER_BINARY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Sends a signal to a process of the fleet; one that has gone is left alone.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether the process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != 'Z' && state != 'X')
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid).map(|(_, parent)| parent)
}

/// State and parent, from the fields behind the program's name, which may hold anything.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// When it was started, in the system's ticks: the 22nd field, of which two were before the name.
fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    text[text.rfind(')')? + 1..].split_whitespace().nth(19)?.parse().ok()
}

fn children(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn descendants(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}
