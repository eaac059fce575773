//! Everything that lives below a process, found through `/proc`.

use rustix::process::{Pid, Signal};

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
    let stat = std::fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The command stands in parentheses and may hold anything; the parent is the second field after it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    number(std::str::from_utf8(&stat[end + 1..]).ok()?.split_ascii_whitespace().nth(1)?)
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
