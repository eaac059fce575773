//! The descendants of a process: found, counted, signalled.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, waitpid};

use crate::proc::{Comm, Proc, Stat};
use crate::signal::{Delivery, send};

/// The length of the queue of one walk. Processes for which there is no room are found by the next walk: their ancestors
/// have been signalled by then.
const QUEUE: usize = 16 << 10;
/// How many processes one walk visits at most, so that it returns however fast they fork.
const VISITED: usize = 256 << 10;

/// Walks through the descendants of a process, breadth first. Allocates nothing after its making.
#[derive(Debug)]
pub struct Descendants {
    proc: Proc,
    queue: VecDeque<Pid>,
}

/// How many processes a signal reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Processes that got the signal.
    pub delivered: usize,
    /// Processes that this one may not signal.
    pub not_permitted: usize,
}

impl Descendants {
    /// Allocates the queue and opens `/proc`. Fails where that is not mounted.
    pub fn new() -> io::Result<Descendants> {
        Ok(Descendants { proc: Proc::open()?, queue: VecDeque::with_capacity(QUEUE) })
    }

    /// Sends `signal` to every process below `root`, at whatever depth, in whatever process group or session, parents before
    /// their children, and calls `delivery` with the outcome for each.
    ///
    /// A process that is forked meanwhile can be missed: to kill everything call this until there is no child left to wait for
    /// ([`crate::kill_and_reap_all`]). Finds nothing on other systems than Linux.
    pub fn signal(&mut self, root: Pid, signal: Signal, mut delivery: impl FnMut(Pid, Delivery)) -> Reached {
        let mut reached = Reached::default();
        self.walk(root, |proc, parent, pid| {
            let sent = send(proc, parent, pid, signal);
            match sent {
                Delivery::Delivered(_) => reached.delivered += 1,
                Delivery::NotPermitted(_) => reached.not_permitted += 1,
                Delivery::Gone => {}
            }
            delivery(pid, sent);
            true
        });
        reached
    }

    /// Signals a child of this process, if it still is one.
    pub fn signal_child(&self, pid: Pid, signal: Signal) -> Delivery {
        send(&self.proc, getpid(), pid, signal)
    }

    /// How many processes are below `root` at the moment, zombies included.
    pub fn count(&mut self, root: Pid) -> usize {
        let mut count = 0;
        self.walk(root, |_, _, _| {
            count += 1;
            true
        });
        count
    }

    /// Calls `each` with at most `most` live processes below `root`, and their names.
    pub fn for_each(&mut self, root: Pid, most: usize, mut each: impl FnMut(Pid, Comm)) {
        let mut left = most;
        self.walk(root, |proc, _, pid| {
            if let Some(stat) = proc.stat(pid).filter(|stat| left > 0 && !stat.has_exited) {
                left -= 1;
                each(pid, stat.comm);
            }
            left > 0
        });
    }

    /// Calls `visit` with each parent and child, until that returns false.
    fn walk(&mut self, root: Pid, mut visit: impl FnMut(&Proc, Pid, Pid) -> bool) {
        let Descendants { proc, queue } = self;
        queue.clear();
        queue.push_back(root);
        let mut visited = 0;
        while let Some(parent) = queue.pop_front() {
            let known = queue.len();
            // Where no descriptor is left only the children of this process are found; deeper ones are adopted once their
            // parents have exited.
            let _ = proc.children(parent, |child| {
                if child != root && queue.len() < QUEUE {
                    queue.push_back(child);
                }
            });
            // Visited before its own children are looked for: a process that was sent SIGKILL forks no more.
            if !queue.range(known..).all(|child| visit(proc, parent, *child)) {
                return;
            }
            visited += queue.len() - known;
            if visited >= VISITED {
                return;
            }
        }
    }
}

/// Reaps adopted orphans that have exited, and none of the children that this process has started itself.
///
/// Only for a process whose own children each lead a process group in its session: by that they are told from orphans. An orphan
/// that leads such a group as well stays a zombie.
pub fn reap_orphans() {
    let own = getpid();
    let Ok(mut proc) = Proc::open() else { return };
    let Some(here) = proc.stat(own) else { return };
    let mut children = Vec::new();
    let _ = proc.children(own, |child| children.push(child));
    for child in children {
        let stray =
            |child_is: &Stat| child_is.session != here.session || child_is.group != child.as_raw_nonzero().get();
        if proc.stat(child).filter(|child_is| child_is.has_exited).as_ref().is_some_and(stray) {
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// Whether a process has exited, reaped or not. Needs no right to signal it.
pub fn has_exited(pid: Pid) -> bool {
    match Proc::open().map(|proc| proc.try_stat(pid)) {
        Ok(Ok(stat)) => stat.has_exited,
        // /proc hides it, or no descriptor is left: kill(2) without a signal still says whether there is such a process.
        _ => rustix::process::test_kill_process(pid) == Err(Errno::SRCH),
    }
}

/// The parent of a process; `None` where there is no such process.
pub fn parent_of(pid: Pid) -> Option<Pid> {
    Proc::open().ok()?.stat(pid)?.parent
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    use tenure_base_time::now;

    /// A shell with a child that has a child in a session of its own.
    fn family() -> std::process::Child {
        let script = "setsid sh -c 'echo; sleep 1000 & wait' & wait";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        child
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let give_up = now() + std::time::Duration::from_secs(10);
        while !holds() {
            assert!(now() < give_up, "{what}: not in time");
            std::thread::yield_now();
        }
    }

    /// Grandchildren are found and signalled, also in a session of their own; what is killed takes them along to this
    /// process, and a second pass finds them there.
    #[test]
    fn everything_below_is_found() {
        let _turn = crate::children::TEST_TURN.blocking_lock();
        crate::children::become_subreaper().unwrap();
        let mut child = family();
        let root = Pid::from_child(&child);
        let mut descendants = Descendants::new().unwrap();
        until("two below it", || descendants.count(root) == 2);
        let mut outcomes = Vec::new();
        let reached = descendants.signal(root, Signal::STOP, |pid, sent| outcomes.push((pid, sent)));
        assert_eq!(reached, Reached { delivered: 2, not_permitted: 0 });
        assert!(
            outcomes.iter().all(|(_, sent)| matches!(sent, Delivery::Delivered(comm) if !comm.to_string().is_empty()))
        );
        until("everybody's end", || {
            descendants.signal(getpid(), Signal::KILL, |_, _| {});
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
            descendants.count(getpid()) == 0
        });
        // It was reaped above.
        let _ = child.try_wait();
    }

    /// A process that is not the child it was taken for gets no signal, nor one that has ended.
    #[test]
    fn strangers_and_the_dead_are_left_alone() {
        let _turn = crate::children::TEST_TURN.blocking_lock();
        let descendants = Descendants::new().unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert_eq!(send(&descendants.proc, Pid::INIT, pid, Signal::KILL), Delivery::Gone);
        assert!(matches!(descendants.signal_child(pid, Signal::KILL), Delivery::Delivered(_)));
        until("its end", || descendants.proc.stat(pid).is_some_and(|stat| stat.has_exited));
        assert_eq!(descendants.signal_child(pid, Signal::KILL), Delivery::Gone);
        child.wait().unwrap();
    }

    /// A process whose first thread has ended goes on all the same.
    #[test]
    fn a_process_outlives_its_first_thread() {
        let _turn = crate::children::TEST_TURN.blocking_lock();
        let script = "import threading, ctypes, time\n\
                      threading.Thread(target=lambda: time.sleep(1000)).start()\n\
                      print(flush=True)\nctypes.CDLL(None).pthread_exit(0)";
        let Ok(mut child) = Command::new("python3").args(["-c", script]).stdout(Stdio::piped()).spawn() else { return };
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let descendants = Descendants::new().unwrap();
        let pid = Pid::from_child(&child);
        until("its first thread's end", || {
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap().contains(") Z ")
        });
        assert!(matches!(descendants.signal_child(pid, Signal::KILL), Delivery::Delivered(_)));
        child.wait().unwrap();
    }

    /// An orphan that has ended is reaped; a child that somebody waits for keeps its exit status for them.
    #[test]
    fn only_orphans_are_reaped() {
        let _turn = crate::children::TEST_TURN.blocking_lock();
        crate::children::become_subreaper().unwrap();
        let proc = Proc::open().unwrap();
        let ends = |pid: Pid| until("an end", || proc.stat(pid).is_none_or(|is| is.has_exited));
        let mut child = Command::new("sh").args(["-c", "exit 7"]).process_group(0).spawn().unwrap();
        let mut parent = Command::new("sh");
        let script = "setsid sh -c 'echo $$; exec sleep 0.01' & exit 0";
        let output = parent.args(["-c", script]).process_group(0).output().unwrap();
        let orphan = Pid::from_raw(std::str::from_utf8(&output.stdout).unwrap().trim().parse().unwrap()).unwrap();
        ends(orphan);
        ends(Pid::from_child(&child));
        assert!(proc.stat(orphan).is_some());
        reap_orphans();
        assert!(proc.stat(orphan).is_none());
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
}
