//! A control group (cgroup v2) for a command and all that it starts: one write to `cgroup.kill` kills everything in it at
//! once, whatever it forks meanwhile, however many sessions it has made and with whatever rights it runs.
//!
//! A process can have one where the kernel has `cgroup.kill` (Linux 5.14) and the process may make groups below its own: as
//! root, or where its group is delegated to it. The hierarchy is looked up in `mountinfo`, so it may be mounted anywhere, also
//! beside a v1 hierarchy. The owner keeps the group's folder locked (`flock`); a folder without a lock was left by an owner that
//! was killed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::Pid;

/// The beginning of every folder's name.
const PREFIX: &str = "tenure-run-";
/// How often to try again where another process removes the new folder, taking it for an abandoned one.
const TRIES: usize = 4;

/// A control group of this process's making. Its folder is removed when this is dropped, if the group is empty then.
#[derive(Debug)]
pub struct ControlGroup {
    folder: PathBuf,
    kill: OwnedFd,
    members: OwnedFd,
    entrance: OwnedFd,
    /// The group that this process was in when it made this one, as `/proc/PID/cgroup` names it.
    home: String,
    /// Keeps the folder locked.
    _lock: OwnedFd,
}

impl ControlGroup {
    /// Makes a control group below this process's own. The error says, in words for a user, why that is not possible.
    pub fn create() -> Result<ControlGroup, String> {
        let parent = own_folder()?;
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let mut why = String::new();
        for _ in 0..TRIES {
            let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
            let made = made.map_err(|error| format!("no group can be made in {}: {error}", parent.display()))?;
            let folder = made.keep();
            match ControlGroup::open(&folder) {
                Ok(group) => return Ok(group),
                // Another process may be removing it as an abandoned one.
                Err(error) => why = format!("{}: {error}", folder.display()),
            }
            let _ = std::fs::remove_dir(&folder);
        }
        Err(why)
    }

    fn open(folder: &Path) -> io::Result<ControlGroup> {
        let lock = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let file = |name: &str, flags| open(folder.join(name), flags | OFlags::CLOEXEC, Mode::empty());
        Ok(ControlGroup {
            kill: file("cgroup.kill", OFlags::WRONLY)?,
            members: file("cgroup.procs", OFlags::RDONLY)?,
            entrance: file("cgroup.procs", OFlags::WRONLY)?,
            home: std::fs::read_to_string("/proc/self/cgroup")
                .ok()
                .as_deref()
                .and_then(unified)
                .unwrap_or_default()
                .to_owned(),
            folder: folder.to_owned(),
            _lock: lock,
        })
    }

    /// Moves a process into the group, unless it has left the group of this process: what somebody has put into another group
    /// (a systemd scope, a container) has its limits there and stays. Moving the first process may take the kernel some
    /// milliseconds, as it waits until no process forks. A process that cannot be moved stays where it is.
    pub fn add(&self, pid: Pid) {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).unwrap_or_default();
        if unified(&groups) != Some(&self.home) {
            return;
        }
        // A process that has exited, or may not be moved, is killed one by one like where there is no control group.
        let _ = rustix::io::pwrite(&self.entrance, pid.as_raw_nonzero().to_string().as_bytes(), 0);
    }

    /// The group's folder in the file system.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills everything in the group, also in groups below it; returns whether the kernel accepted that. Allocates nothing.
    pub fn kill(&self) -> bool {
        rustix::io::pwrite(&self.kill, b"1", 0).is_ok()
    }

    /// Kills what abandoned groups beside it still contain: their owner was killed together with every process that would have
    /// killed them. Returns how many groups still had a live process.
    pub fn kill_abandoned() -> usize {
        let Ok(folders) = own_folder().and_then(|folder| std::fs::read_dir(folder).map_err(|error| error.to_string()))
        else {
            return 0;
        };
        let ours = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
        folders.flatten().filter(ours).filter(|entry| kill_if_abandoned(&entry.path())).count()
    }

    /// How many processes are in the group, and whether `pid` is one of them. Groups below this one are not counted.
    pub fn members(&self, pid: Pid) -> (usize, bool) {
        let (mut count, mut holds) = (0, false);
        let each = |member: Pid| {
            count += 1;
            holds |= member == pid;
        };
        match crate::proc::read_pids(&self.members, each) {
            Ok(()) => (count, holds),
            Err(_) => (0, false),
        }
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

fn kill_if_abandoned(folder: &Path) -> bool {
    // Only an abandoned folder can be locked.
    let Ok(group) = ControlGroup::open(folder) else { return false };
    // Unlike `cgroup.procs` this counts groups below it too, such as those of a `tenure run` inside a `tenure run`.
    let events = std::fs::read_to_string(folder.join("cgroup.events")).unwrap_or_default();
    let populated = !events.lines().any(|line| line == "populated 0");
    if populated {
        group.kill();
    }
    // A kill takes a moment; the next call removes the folder.
    populated
}

/// Removes an empty group, with the empty groups that its members made below it.
fn remove(folder: &Path) {
    if std::fs::remove_dir(folder).is_ok() {
        return;
    }
    for below in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&below.path());
        }
    }
    let _ = std::fs::remove_dir(folder);
}

/// The folder of the group that this process is in; the error is for a user.
fn own_folder() -> Result<PathBuf, String> {
    let read = |file: &str| std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
    let (mounts, groups) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    let folder = folder_of(&mounts, &groups).ok_or("no hierarchy of version 2 is mounted here")?;
    Some(folder).filter(|folder| folder.is_dir()).ok_or_else(|| "its own group cannot be seen from here".to_owned())
}

/// The v2 group in the text of `/proc/PID/cgroup`.
fn unified(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The folder of this process's v2 group, from the texts of `mountinfo` and `/proc/self/cgroup`.
fn folder_of(mounts: &str, groups: &str) -> Option<PathBuf> {
    let own = unified(groups)?;
    let mut mounted = mounts.lines().filter_map(|line| {
        let (before, behind) = line.split_once(" - ")?;
        (behind.split(' ').next()? == "cgroup2").then_some(())?;
        let mut fields = before.split(' ').skip(3);
        let (root, place) = (unescape(fields.next()?), unescape(fields.next()?));
        // A mount may show only a part of the hierarchy; a group outside of that part is out of reach.
        let below = Path::new(own).strip_prefix(root).ok()?;
        let inside = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        inside.then(|| Path::new(&place).join(below))
    });
    mounted.next_back()
}

/// `mountinfo` writes space, tab, line feed and backslash in octal.
fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |field, (escaped, meant)| field.replace(escaped, meant))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_base_time::now;

    /// The group is found wherever the hierarchy is mounted, beside the older ones too; what is out of sight is not guessed.
    #[test]
    fn the_own_group_is_found_in_mountinfo() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let hybrid = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let part = "30 23 0:26 /system.slice/docker-1.scope /sys/fs/c\\040group ro shared:1 - cgroup2 cgroup rw\n";
        let folder = |mounts, groups| folder_of(mounts, groups);
        assert_eq!(folder(unified, "0::/user.slice/a.scope\n"), Some("/sys/fs/cgroup/user.slice/a.scope".into()));
        assert_eq!(folder(hybrid, "4:memory:/x\n0::/\n"), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(folder(part, "0::/system.slice/docker-1.scope/init\n"), Some("/sys/fs/c group/init".into()));
        for (mounts, groups) in [(part, "0::/elsewhere"), (unified, "0::/../x"), ("", "0::/"), (unified, "4:memory:/x")]
        {
            assert_eq!(folder(mounts, groups), None, "{mounts} {groups}");
        }
    }

    /// What somebody has put into another group stays there.
    #[test]
    fn what_was_put_elsewhere_is_left_there() {
        let (Ok(own), Ok(other)) = (ControlGroup::create(), ControlGroup::create()) else {
            return println!("SKIPPED: cgroup: none can be made; run as root where a cgroup2 hierarchy is mounted");
        };
        let _turn = crate::children::TEST_TURN.blocking_lock();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        other.add(pid);
        assert_eq!(other.members(pid), (1, true));
        own.add(pid);
        assert_eq!((own.members(pid).0, other.members(pid)), (0, (1, true)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What joined a group is in it, and dies of one write; the folder goes with it. A locked folder is not taken for an abandoned one.
    #[test]
    fn one_write_ends_everything_in_it() {
        let group = match ControlGroup::create() {
            Ok(group) => group,
            Err(why) => return println!("SKIPPED: cgroup: {why}; run as root where a cgroup2 hierarchy is mounted"),
        };
        let _turn = crate::children::TEST_TURN.blocking_lock();
        let script = format!("echo 0 > {}/cgroup.procs; setsid sleep 1000 & exec sleep 1000", group.folder.display());
        let mut child = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let give_up = now() + std::time::Duration::from_secs(10);
        while group.members(pid) != (2, true) {
            assert!(now() < give_up, "{:?}", group.members(pid));
            std::thread::yield_now();
        }
        assert!(group.kill());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
        while group.members(pid).0 > 0 {
            assert!(now() < give_up);
            std::thread::yield_now();
        }
        let folder = group.folder().to_owned();
        assert!(ControlGroup::open(&folder).is_err(), "it is locked");
        drop(group);
        assert!(!folder.exists());
    }
}
