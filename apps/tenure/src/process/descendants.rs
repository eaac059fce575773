//! Everything that lives below a process: found, counted, signalled.

use std::collections::VecDeque;
use std::io;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, waitpid};

use super::proc::{Comm, Proc};
use super::send::{Sent, send};

/// How many processes may wait to be looked into during one walk. What comes on top is met by the next walk: who was above
/// it has been signalled by then.
const WAITING: usize = 16 << 10;
/// How many processes one walk visits at most, so that it ends however fast they fork.
const VISITED: usize = 256 << 10;

/// A way to walk through descendants, which needs no memory any more once it is made.
#[derive(Debug)]
pub(crate) struct Descendants {
    proc: Proc,
    waiting: VecDeque<Pid>,
}

/// What came of signalling many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reached {
    /// How many got it.
    pub(crate) delivered: usize,
    /// How many are there that this process may not signal.
    pub(crate) refused: usize,
}

impl Descendants {
    /// Makes one. Fails where processes cannot be looked at.
    pub(crate) fn new() -> io::Result<Descendants> {
        Ok(Descendants { proc: Proc::open()?, waiting: VecDeque::with_capacity(WAITING) })
    }

    /// Sends `signal` to every process below `root`, at whatever depth, in whatever group or session, parents before their
    /// children, and tells what became of each.
    ///
    /// What is forked meanwhile can be missed: who wants everything dead calls this again and again, until there is nothing
    /// left to wait for. Only Linux has the means; elsewhere nothing is found.
    pub(crate) fn signal(&mut self, root: Pid, signal: Signal, mut told: impl FnMut(Pid, Sent)) -> Reached {
        let mut reached = Reached::default();
        self.walk(root, |proc, parent, pid| {
            let sent = send(proc, parent, pid, signal);
            match sent {
                Sent::Delivered(_) => reached.delivered += 1,
                Sent::Refused(_) => reached.refused += 1,
                Sent::Gone => {}
            }
            told(pid, sent);
            true
        });
        reached
    }

    /// Signals a child of this process.
    pub(crate) fn signal_child(&self, pid: Pid, signal: Signal) -> Sent {
        send(&self.proc, getpid(), pid, signal)
    }

    /// How many processes live below `root` at the moment.
    pub(crate) fn count(&mut self, root: Pid) -> usize {
        let mut count = 0;
        self.walk(root, |_, _, _| {
            count += 1;
            true
        });
        count
    }

    /// Tells the names of some of the processes below `root`, at most so many.
    pub(crate) fn look(&mut self, root: Pid, most: usize, mut each: impl FnMut(Pid, Comm)) {
        let mut left = most;
        self.walk(root, |proc, _, pid| {
            if let Some(stat) = proc.stat(pid).filter(|stat| left > 0 && !stat.has_ended) {
                left -= 1;
                each(pid, stat.comm);
            }
            left > 0
        });
    }

    /// Hands out each process with its parent, for as long as that is asked for.
    fn walk(&mut self, root: Pid, mut visit: impl FnMut(&Proc, Pid, Pid) -> bool) {
        let Descendants { proc, waiting } = self;
        waiting.clear();
        waiting.push_back(root);
        let mut visited = 0;
        while let Some(parent) = waiting.pop_front() {
            let known = waiting.len();
            // Where nothing can be opened the children of this process are told all the same, and others come to it once
            // their parents have ended.
            let _ = proc.children(parent, |child| {
                if child != root && waiting.len() < WAITING {
                    waiting.push_back(child);
                }
            });
            // Before its own children are looked for, so that who got a kill forks no more.
            if !waiting.range(known..).all(|child| visit(proc, parent, *child)) {
                return;
            }
            visited += waiting.len() - known;
            if visited >= VISITED {
                return;
            }
        }
    }
}

/// Reaps what has come to this process as an orphan, has ended, and is waited for by nobody.
///
/// For a process all of whose own children lead a process group in its session: those are left to who started them, and so
/// is an orphan that looks the same.
pub(crate) fn reap_strays() {
    let own = getpid();
    let Ok(mut proc) = Proc::open() else { return };
    let Some(here) = proc.stat(own) else { return };
    let mut children = Vec::new();
    let _ = proc.children(own, |child| children.push(child));
    for child in children {
        let stray = |child_is: &super::proc::Stat| {
            child_is.session != here.session || child_is.group != child.as_raw_nonzero().get()
        };
        if proc.stat(child).filter(|child_is| child_is.has_ended).as_ref().is_some_and(stray) {
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// Whether a process has ended, reaped or not.
pub(crate) fn has_ended(pid: Pid) -> bool {
    match Proc::open().map(|proc| proc.try_stat(pid)) {
        Ok(Ok(stat)) => stat.has_ended,
        // Hidden, or no descriptor is left: whether it is there can still be asked.
        _ => rustix::process::test_kill_process(pid) == Err(Errno::SRCH),
    }
}

/// The parent of a process, where it is there.
pub(crate) fn parent_of(pid: Pid) -> Option<Pid> {
    Proc::open().ok()?.stat(pid)?.parent
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};

    /// A shell with a child that has a child in a session of its own.
    fn family() -> std::process::Child {
        let script = "setsid sh -c 'echo; sleep 1000 & wait' & wait";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        child
    }

    fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let give_up = tenure::now() + std::time::Duration::from_secs(10);
        while !holds() {
            assert!(tenure::now() < give_up, "{what}: not in time");
            std::thread::yield_now();
        }
    }

    /// Grandchildren are found and signalled, also in a session of their own; what is killed takes them along to this
    /// process, and a second pass finds them there.
    #[test]
    fn everything_below_is_found() {
        let _turn = crate::process::TURN.blocking_lock();
        crate::process::adopt_orphans().unwrap();
        let mut child = family();
        let root = Pid::from_child(&child);
        let mut descendants = Descendants::new().unwrap();
        until("two below it", || descendants.count(root) == 2);
        let mut told = Vec::new();
        let reached = descendants.signal(root, Signal::STOP, |pid, sent| told.push((pid, sent)));
        assert_eq!(reached, Reached { delivered: 2, refused: 0 });
        assert!(told.iter().all(|(_, sent)| matches!(sent, Sent::Delivered(comm) if !comm.to_string().is_empty())));
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
        let _turn = crate::process::TURN.blocking_lock();
        let descendants = Descendants::new().unwrap();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert_eq!(send(&descendants.proc, Pid::INIT, pid, Signal::KILL), Sent::Gone);
        assert!(matches!(descendants.signal_child(pid, Signal::KILL), Sent::Delivered(_)));
        until("its end", || descendants.proc.stat(pid).is_some_and(|stat| stat.has_ended));
        assert_eq!(descendants.signal_child(pid, Signal::KILL), Sent::Gone);
        child.wait().unwrap();
    }

    /// A process whose first thread has ended goes on all the same.
    #[test]
    fn a_process_outlives_its_first_thread() {
        let _turn = crate::process::TURN.blocking_lock();
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
        assert!(matches!(descendants.signal_child(pid, Signal::KILL), Sent::Delivered(_)));
        child.wait().unwrap();
    }

    /// An orphan that has ended is reaped; a child that somebody waits for keeps its exit status for them.
    #[test]
    fn only_strays_are_reaped() {
        let _turn = crate::process::TURN.blocking_lock();
        crate::process::adopt_orphans().unwrap();
        let proc = Proc::open().unwrap();
        let ends = |pid: Pid| until("an end", || proc.stat(pid).is_none_or(|is| is.has_ended));
        let mut child = Command::new("sh").args(["-c", "exit 7"]).process_group(0).spawn().unwrap();
        let mut parent = Command::new("sh");
        let script = "setsid sh -c 'echo $$; exec sleep 0.01' & exit 0";
        let output = parent.args(["-c", script]).process_group(0).output().unwrap();
        let orphan = Pid::from_raw(std::str::from_utf8(&output.stdout).unwrap().trim().parse().unwrap()).unwrap();
        ends(orphan);
        ends(Pid::from_child(&child));
        assert!(proc.stat(orphan).is_some());
        reap_strays();
        assert!(proc.stat(orphan).is_none());
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }
}
