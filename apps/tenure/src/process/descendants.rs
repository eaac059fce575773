//! Everything that lives below a process, found through `/proc`.

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

/// Sends `signal` to every process below `root`, at whatever depth, in whatever group or session; answers how many got it.
///
/// What is forked meanwhile can be missed: who wants everything dead calls this again and again, until there is nothing
/// left to wait for. Only Linux has the means; elsewhere nothing is found.
pub(crate) fn signal_descendants(root: Pid, signal: Signal) -> usize {
    let mut reached = 0;
    for (parent, pid) in descendants(root) {
        reached += usize::from(send(parent, pid, signal));
    }
    reached
}

/// Sends `signal` to a child of this process; answers whether it got it.
pub(crate) fn signal_child(pid: Pid, signal: Signal) -> bool {
    #[cfg(target_os = "linux")]
    return send(rustix::process::getpid(), pid, signal);
    #[cfg(not(target_os = "linux"))]
    rustix::process::kill_process(pid, signal).is_ok()
}

/// Signals `pid` if it still is a child of `parent`: a number that was reaped and given to a stranger is left alone.
#[cfg(target_os = "linux")]
fn send(parent: Pid, pid: Pid, signal: Signal) -> bool {
    use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
    // The handle names one process for good, so the check after it holds for whoever gets the signal.
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else { return false };
    parent_of(pid) == Some(parent) && pidfd_send_signal(&handle, signal).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn send(_: Pid, _: Pid, _: Signal) -> bool {
    false
}

/// Reaps what has come to this process as an orphan, has ended, and is waited for by nobody.
///
/// For a process all of whose own children lead a process group in its session: those are left to who started them, and so
/// is an orphan that looks the same.
pub(crate) fn reap_strays() {
    let own = rustix::process::getpid();
    let Some(here) = standing(own) else { return };
    for child in children(own) {
        let stray =
            |child_is: &Standing| child_is.session != here.session || child_is.group != child.as_raw_nonzero().get();
        if standing(child).filter(|child_is| child_is.has_ended).as_ref().is_some_and(stray) {
            let _ = waitpid(Some(child), WaitOptions::NOHANG);
        }
    }
}

/// What a process is to its parent, group and session.
struct Standing {
    has_ended: bool,
    parent: Option<Pid>,
    group: i32,
    session: i32,
}

fn standing(pid: Pid) -> Option<Standing> {
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The command stands in parentheses and may hold anything; the state is the first field after it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace();
    Some(Standing {
        has_ended: fields.next()? == "Z",
        parent: number(fields.next()?),
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
    })
}

/// Every process below `root` with its parent; parents come before their children.
fn descendants(root: Pid) -> Vec<(Pid, Pid)> {
    let mut found: Vec<(Pid, Pid)> = Vec::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            // Numbers can be reused while this looks around: nobody is visited twice.
            if child != root && found.iter().all(|(_, known)| *known != child) {
                found.push((parent, child));
                parents.push(child);
            }
        }
    }
    found
}

/// The children of `parent`: the kernel keeps a list per thread; where it was built without that, everybody is asked.
fn children(parent: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{}/task", parent.as_raw_nonzero());
    let Ok(tasks) = std::fs::read_dir(tasks) else { return Vec::new() };
    let mut children = Vec::new();
    for task in tasks.flatten() {
        match std::fs::read_to_string(task.path().join("children")) {
            Ok(list) => children.extend(list.split_ascii_whitespace().filter_map(number)),
            // The thread has ended, or the kernel keeps no lists.
            Err(_) if task.path().exists() => return children_by_search(parent),
            Err(_) => {}
        }
    }
    children
}

fn children_by_search(parent: Pid) -> Vec<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else { return Vec::new() };
    let all = processes.flatten().filter_map(|process| number(process.file_name().to_str()?));
    all.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The parent of a process, where it is there.
pub(crate) fn parent_of(pid: Pid) -> Option<Pid> {
    standing(pid)?.parent
}

fn number(text: &str) -> Option<Pid> {
    Pid::from_raw(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Command, Stdio};

    /// Grandchildren are found, also in a session of their own, by the kernel's lists as well as by searching.
    #[test]
    fn everything_below_is_found() {
        let _turn = crate::process::TURN.blocking_lock();
        let script = "setsid sh -c 'echo; sleep 1000 & wait' & wait";
        let mut child = Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let root = Pid::from_child(&child);
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        let give_up = tenure::now() + std::time::Duration::from_secs(10);
        while descendants(root).len() < 2 {
            assert!(tenure::now() < give_up, "not found: {:?}", descendants(root));
            std::thread::yield_now();
        }
        let found = descendants(root);
        assert_eq!(found[0].0, root);
        assert_eq!(children_by_search(root), children(root));
        // A signal that ends nobody: a child whose parent has just been killed is another one's by then.
        assert!(signal_descendants(root, Signal::STOP) >= 2);
        for (parent, pid) in descendants(root).into_iter().rev() {
            assert!(send(parent, pid, Signal::KILL));
        }
        child.wait().unwrap();
    }

    /// An orphan that has ended is reaped; a child that somebody waits for keeps its exit status for them.
    #[test]
    fn only_strays_are_reaped() {
        use std::os::unix::process::CommandExt;
        let _turn = crate::process::TURN.blocking_lock();
        crate::process::adopt_orphans().unwrap();
        let ends = |pid: Pid| {
            let give_up = tenure::now() + std::time::Duration::from_secs(10);
            while standing(pid).is_some_and(|is| !is.has_ended) {
                assert!(tenure::now() < give_up, "{pid:?} does not end");
                std::thread::yield_now();
            }
        };
        let mut child = Command::new("sh").args(["-c", "exit 7"]).process_group(0).spawn().unwrap();
        let mut parent = Command::new("sh");
        let script = "setsid sh -c 'echo $$; exec sleep 0.01' & exit 0";
        let output = parent.args(["-c", script]).process_group(0).output().unwrap();
        let orphan = number(std::str::from_utf8(&output.stdout).unwrap().trim()).unwrap();
        ends(orphan);
        ends(Pid::from_child(&child));
        assert!(standing(orphan).is_some());
        reap_strays();
        assert!(standing(orphan).is_none());
        assert_eq!(child.wait().unwrap().code(), Some(7));
    }

    /// A process that is not the child it was taken for gets no signal.
    #[test]
    fn a_stranger_is_left_alone() {
        let _turn = crate::process::TURN.blocking_lock();
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(!send(Pid::INIT, pid, Signal::KILL));
        assert!(send(rustix::process::getpid(), pid, Signal::KILL));
        child.wait().unwrap();
    }
}
