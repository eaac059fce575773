//! A control group of version 2 for a command and all that it starts: one write to `cgroup.kill` ends everything in it at
//! once, whatever it forks meanwhile, however many sessions it has made and with whatever rights it runs.
//!
//! There is one where the kernel has `cgroup.kill` (Linux 5.14) and this process may make groups below its own: as root, or
//! where its group is delegated to it. The hierarchy is found in `mountinfo`, so that it may be mounted anywhere, also
//! beside the older ones. Its folder is locked for as long as somebody answers for what is in it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use rustix::process::Pid;

/// What the names of the folders begin with.
const PREFIX: &str = "tenure-run-";
/// How often to begin anew where a folder that was just made is taken for one that was left.
const TRIES: usize = 4;

/// A group that nobody but its maker puts anything into. It goes when this is dropped, if it is empty.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folder: PathBuf,
    kill: OwnedFd,
    members: OwnedFd,
    entrance: OwnedFd,
    /// Which group this process was in when it was made, as the kernel names it.
    home: String,
    /// Keeps the folder locked.
    _lock: OwnedFd,
}

impl Cgroup {
    /// Makes one below the group of this process. The error says why there can be none.
    pub(crate) fn make() -> Result<Cgroup, String> {
        let parent = own_folder()?;
        let mut why = String::new();
        for _ in 0..TRIES {
            let name = format!("{PREFIX}{}-{:08x}", std::process::id(), crate::identity::random() as u32);
            let folder = parent.join(name);
            std::fs::create_dir(&folder)
                .map_err(|error| format!("no group can be made in {}: {error}", parent.display()))?;
            match Cgroup::open(&folder) {
                Ok(group) => return Ok(group),
                // Somebody may be tidying it away as one that was left.
                Err(error) => why = format!("{}: {error}", folder.display()),
            }
            let _ = std::fs::remove_dir(&folder);
        }
        Err(why)
    }

    fn open(folder: &Path) -> io::Result<Cgroup> {
        let lock = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let file = |name: &str, flags| open(folder.join(name), flags | OFlags::CLOEXEC, Mode::empty());
        Ok(Cgroup {
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

    /// Moves a process into it that is still where this one is: what somebody has put into another group (a scope, a
    /// container) has limits there. The kernel may take some milliseconds for the first one, for it waits until nobody forks.
    pub(crate) fn take(&self, pid: Pid) {
        let groups = std::fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).unwrap_or_default();
        if unified(&groups) != Some(&self.home) {
            return;
        }
        // Who has ended meanwhile, or may not be moved, is ended as where there are no groups.
        let _ = rustix::io::pwrite(&self.entrance, pid.as_raw_nonzero().to_string().as_bytes(), 0);
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills everything in it; answers whether the kernel has done so. Needs nothing that was not made before.
    pub(crate) fn kill(&self) -> bool {
        rustix::io::pwrite(&self.kill, b"1", 0).is_ok()
    }

    /// How many processes are in it, and whether this one is. What is below it in groups of its own is not counted.
    pub(crate) fn members(&self, pid: Pid) -> (usize, bool) {
        let (mut count, mut holds) = (0, false);
        let each = |member: Pid| {
            count += 1;
            holds |= member == pid;
        };
        match super::proc::numbers(&self.members, each) {
            Ok(()) => (count, holds),
            Err(_) => (0, false),
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Ends what was left by somebody who was killed together with everybody that answered for it: groups whose folders nobody
/// has locked. Answers how many of them still had something alive in them.
pub(crate) fn sweep() -> usize {
    let Ok(folders) = own_folder().and_then(|folder| std::fs::read_dir(folder).map_err(|error| error.to_string()))
    else {
        return 0;
    };
    let ours = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with(PREFIX);
    folders.flatten().filter(ours).filter(|entry| end_left(&entry.path())).count()
}

fn end_left(folder: &Path) -> bool {
    // Where it can be locked nobody answers for it.
    let Ok(group) = Cgroup::open(folder) else { return false };
    // Also where everything is in groups below it, as of a run in a run.
    let events = std::fs::read_to_string(folder.join("cgroup.events")).unwrap_or_default();
    let populated = !events.lines().any(|line| line == "populated 0");
    if populated {
        group.kill();
    }
    // A kill takes a moment; the next sweep removes what is left.
    populated
}

/// Removes a group that nothing is alive in, with those that its members made below it.
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

/// The folder of the group that this process is in.
fn own_folder() -> Result<PathBuf, String> {
    let read = |file: &str| std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
    let (mounts, groups) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
    let folder = folder_of(&mounts, &groups).ok_or("no hierarchy of version 2 is mounted here")?;
    Some(folder).filter(|folder| folder.is_dir()).ok_or_else(|| "its own group cannot be seen from here".to_owned())
}

/// The group of version 2 in a process's list of groups.
fn unified(groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// Where the hierarchy of version 2 is mounted, and this process in it.
fn folder_of(mounts: &str, groups: &str) -> Option<PathBuf> {
    let own = unified(groups)?;
    let mut mounted = mounts.lines().filter_map(|line| {
        let (before, behind) = line.split_once(" - ")?;
        (behind.split(' ').next()? == "cgroup2").then_some(())?;
        let mut fields = before.split(' ').skip(3);
        let (root, place) = (unescape(fields.next()?), unescape(fields.next()?));
        // A mount may show a part of it alone; what lies outside is out of reach.
        let below = Path::new(own).strip_prefix(root).ok()?;
        let inside = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        inside.then(|| Path::new(&place).join(below))
    });
    mounted.next_back()
}

/// `mountinfo` writes what would part its fields in octal.
fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |field, (escaped, meant)| field.replace(escaped, meant))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (Ok(own), Ok(other)) = (Cgroup::make(), Cgroup::make()) else {
            return println!("SKIPPED: cgroup: none can be made; run as root where a cgroup2 hierarchy is mounted");
        };
        let _turn = crate::process::TURN.blocking_lock();
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::from_child(&child);
        other.take(pid);
        assert_eq!(other.members(pid), (1, true));
        own.take(pid);
        assert_eq!((own.members(pid).0, other.members(pid)), (0, (1, true)));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What joined a group is in it, and dies of one write; the folder goes with it. One that nobody has locked is swept.
    #[test]
    fn one_write_ends_everything_in_it() {
        let group = match Cgroup::make() {
            Ok(group) => group,
            Err(why) => return println!("SKIPPED: cgroup: {why}; run as root where a cgroup2 hierarchy is mounted"),
        };
        let _turn = crate::process::TURN.blocking_lock();
        let script = format!("echo 0 > {}/cgroup.procs; setsid sleep 1000 & exec sleep 1000", group.folder.display());
        let mut child = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let give_up = tenure::now() + std::time::Duration::from_secs(10);
        while group.members(pid) != (2, true) {
            assert!(tenure::now() < give_up, "{:?}", group.members(pid));
            std::thread::yield_now();
        }
        assert!(group.kill());
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap()), Some(9));
        while group.members(pid).0 > 0 {
            assert!(tenure::now() < give_up);
            std::thread::yield_now();
        }
        let folder = group.folder().to_owned();
        assert!(Cgroup::open(&folder).is_err(), "it is locked");
        drop(group);
        assert!(!folder.exists());
    }
}
