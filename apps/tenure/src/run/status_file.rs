//! The status file: CMD's own answer to "do I still lead?", without a network call.
//!
//! One line, `TERM DEADLINE_BOOTTIME_NS NAMESPACE`, replaced as a whole at each renewal, in a folder that nobody else can
//! enter. The last word tells the time namespace whose clock the deadline is of; `-` where the kernel has none.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, open, unlinkat};
use tempfile::TempDir;
use tenure_core::Time;

/// What the folders' names begin with; then comes which boot of which machine made them.
const PREFIX: &str = "tenure-status-";
/// Stands for the boot where it cannot be told. It may be anybody's, so nothing of that name is swept.
const UNKNOWN: &str = "unknown";
/// The file's name in its folder.
const NAME: &str = "status";
/// What is written first and then put in its place.
const NEXT: &str = "status.next";
/// The store's login, for commands that ask it.
const SECRET: &str = "store-login";
/// How many names a search for left folders looks at, and how many it removes: the next one goes on.
const MOST: (usize, usize) = (4096, 64);
/// How often to begin anew where somebody takes a folder that was just made for one that was left.
const TRIES: usize = 4;

/// A status file; it and its folder go when this is dropped.
#[derive(Debug)]
pub(super) struct StatusFile {
    folder: TempDir,
    /// The time namespace of this process.
    namespace: Option<u64>,
    /// Whether it was said that the file cannot be replaced.
    is_told: bool,
    /// Keeps the folder locked, which says that somebody still uses it.
    _lock: File,
}

impl StatusFile {
    /// Makes the folder: where temporary files go, or else below `XDG_RUNTIME_DIR`, which lasts no longer than the user is
    /// logged in. The error says what to do about it.
    pub(super) fn new() -> Result<StatusFile> {
        let mut refused = Vec::new();
        for place in places() {
            match StatusFile::within(&place) {
                Ok(file) => return Ok(file),
                Err(error) => refused.push(format!("{} ({})", place.display(), error.kind())),
            }
        }
        Err(anyhow!(
            "no place for the status file: no folder can be made in {}; set XDG_RUNTIME_DIR or TMPDIR to a folder that this \
             user may write to",
            refused.join(", nor in ")
        ))
    }

    fn within(place: &Path) -> io::Result<StatusFile> {
        for _ in 0..TRIES {
            let private = Permissions::from_mode(0o700);
            let prefix = prefix(boot().as_deref().unwrap_or(UNKNOWN));
            let folder = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir_in(place)?;
            let lock = match open_folder(folder.path()) {
                Ok(lock) => lock,
                // Tidied away already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Whoever tidies it away now may have been stopped: nobody waits for that. Where nothing can be locked nobody
            // takes it for left either.
            if flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
                continue;
            }
            // Between its making and its locking somebody may have tidied it away.
            if std::fs::metadata(folder.path()).is_ok_and(|there| is_same(&lock, &there)) {
                // A full disk takes folders, and nothing else.
                let namespace = namespace();
                std::fs::write(folder.path().join(NEXT), line(u64::MAX, Time::MAX, Some(u64::MAX)))?;
                return Ok(StatusFile { folder, namespace, is_told: false, _lock: lock });
            }
        }
        Err(io::Error::other("the folder is removed as soon as it is made"))
    }

    /// The folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Says that this tenure lasts until `deadline`. Readers see the old line or the new one, nothing between.
    pub(super) fn write(&self, term: u64, deadline: Time) -> io::Result<()> {
        let next = self.folder.path().join(NEXT);
        std::fs::write(&next, line(term, deadline, self.namespace))?;
        std::fs::rename(next, self.path())
    }

    /// Keeps the store's login in a file beside it that this user alone can read; answers which.
    pub(super) fn keep_secret(&self, secret: &str) -> io::Result<PathBuf> {
        let file = self.folder.path().join(SECRET);
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        File::from(open(&file, flags, mode)?).write_all(secret.as_bytes())?;
        Ok(file)
    }

    /// As [`StatusFile::write`], where a line that stays says less than is true: a failure is told once, and harms nobody.
    pub(super) fn renew(&mut self, term: u64, deadline: Time) {
        if let Err(error) = self.write(term, deadline)
            && !std::mem::replace(&mut self.is_told, true)
        {
            say!(
                "tenure: cannot replace the status file {}: {error}; the lease is renewed and the command goes on, but `tenure \
                 check` says that its time is over",
                self.path().display()
            );
        }
    }

    /// Says that nothing is led any more.
    pub(super) fn remove(&self) {
        for file in [NAME, SECRET] {
            let _ = std::fs::remove_file(self.folder.path().join(file));
        }
    }
}

/// Whether there is a place for a status file now: whoever campaigns in vain should learn of it before.
pub(super) fn check() -> Result<()> {
    StatusFile::new().map(drop)
}

/// Removes what this user's watchdogs left that were killed together with their `tenure run`: folders that nobody has locked
/// any more. Nobody needs them, so nothing here is an error. Only what this boot of this machine made: in a shared folder
/// another machine's locks may not be seen.
pub(super) fn sweep() {
    if let Some(boot) = boot() {
        places().iter().for_each(|place| sweep_within(place, &boot));
    }
}

fn sweep_within(place: &Path, boot: &str) {
    let prefix = prefix(boot);
    let Ok(names) = std::fs::read_dir(place) else { return };
    let ours = |name: &std::fs::DirEntry| name.file_name().to_string_lossy().starts_with(&prefix);
    let folders = names.take(MOST.0).flatten().filter(ours);
    folders.filter(|folder| remove_if_left(&folder.path()).is_ok()).take(MOST.1).for_each(drop);
}

/// Removes one, unless it is somebody else's, in use, or holds what no watchdog puts there.
fn remove_if_left(path: &Path) -> io::Result<()> {
    let folder = open_folder(path)?;
    if folder.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    // By the handle: the name could be another's by now.
    for name in [NAME, NEXT, SECRET] {
        match unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    std::fs::remove_dir(path)
}

fn places() -> Vec<PathBuf> {
    let usual = Some(std::env::temp_dir()).filter(|place| !place.as_os_str().is_empty());
    let private = std::env::var_os("XDG_RUNTIME_DIR").filter(|place| !place.is_empty()).map(PathBuf::from);
    usual.into_iter().chain(private).collect()
}

fn prefix(boot: &str) -> String {
    format!("{PREFIX}{boot}-")
}

/// Which boot of which machine this is: the first part of a number that the kernel draws.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let first = id.trim().split('-').next()?;
    (!first.is_empty() && first.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| first.to_owned())
}

/// The folder itself, not what a link of that name points to.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

fn is_same(file: &File, there: &std::fs::Metadata) -> bool {
    file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// What a status file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The tenure's term.
    pub(crate) term: u64,
    /// Until when it lasts, on the boottime clock of the namespace.
    pub(crate) deadline: Time,
    /// The time namespace that it was written in.
    pub(crate) namespace: Option<u64>,
}

impl Status {
    /// Reads the line; `None` where it is none.
    pub(crate) fn parse(line: &str) -> Option<Status> {
        let mut words = line.trim_end().split(' ');
        let mut next = || words.next();
        let (term, deadline) = (next()?.parse().ok()?, Time::from_nanos(next()?.parse().ok()?));
        let namespace = match next() {
            // As a version before this one wrote it, which did not ask.
            None => namespace(),
            Some(NONE) => None,
            Some(number) => Some(number.parse().ok()?),
        };
        Some(Status { term, deadline, namespace })
    }

    /// Whether this process's clock is the one that the deadline is of: a time namespace may have shifted it.
    pub(crate) fn is_of_this_clock(&self) -> bool {
        self.namespace == namespace()
    }
}

/// Stands for a kernel without time namespaces.
const NONE: &str = "-";

fn line(term: u64, deadline: Time, namespace: Option<u64>) -> String {
    let namespace = namespace.map_or_else(|| NONE.to_owned(), |number| number.to_string());
    format!("{term} {} {namespace}\n", deadline.as_nanos())
}

/// The time namespace of this process, by the number that the kernel gives it.
fn namespace() -> Option<u64> {
    let link = std::fs::read_link("/proc/self/ns/time").ok()?;
    link.to_str()?.strip_prefix("time:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line reads back, the folder is private, and nothing is left behind.
    #[test]
    fn the_line_reads_back_and_nothing_stays() {
        let file = StatusFile::new().unwrap();
        for deadline in [5, 7] {
            file.write(3, Time::from_nanos(deadline)).unwrap();
            let line = std::fs::read_to_string(file.path()).unwrap();
            let status = Status::parse(&line).unwrap();
            assert_eq!((status.term, status.deadline), (3, Time::from_nanos(deadline)));
            assert!(status.is_of_this_clock() && !Status { namespace: Some(1), ..status }.is_of_this_clock());
        }
        let secret = file.keep_secret("me:hunter2\n").unwrap();
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        file.remove();
        assert!(!secret.exists() && !file.path().exists());
        let folder = file.folder().to_owned();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(file);
        assert!(!folder.exists());
        assert!(Status::parse("1 2 -\n").is_some_and(|status| status.namespace.is_none()));
        assert!(Status::parse("1 2\n").is_some_and(|status| status.is_of_this_clock()));
        for odd in ["", "1", "a 1 -", "1 -1 -", "1 2 x"] {
            assert_eq!(Status::parse(odd), None, "{odd}");
        }
    }

    /// A folder that somebody uses stays, as does what was never ours; one whose owner was killed goes. Another machine's
    /// stays too: who has it locked may not be seen from here.
    #[test]
    fn only_what_was_left_is_swept() {
        let place = tempfile::tempdir().unwrap();
        let used = StatusFile::within(place.path()).unwrap();
        used.write(3, Time::from_nanos(5)).unwrap();
        let boot = boot().unwrap();
        let named = |name: &str| place.path().join(format!("tenure-status-{boot}-{name}"));
        let (left, strange) = (named("left"), named("strange"));
        let other = place.path().join("other");
        let remote = place.path().join("tenure-status-0-left");
        let files = [(&left, NAME), (&left, NEXT), (&strange, "precious"), (&other, NAME), (&remote, NAME)];
        for (folder, file) in files {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join(file), "3 5\n").unwrap();
        }
        let link = named("link");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        std::fs::write(named("file"), "").unwrap();
        sweep_within(place.path(), &boot);
        assert!(!left.exists());
        assert!(used.path().exists() && strange.join("precious").exists() && other.join(NAME).exists());
        assert!(link.is_symlink() && named("file").exists() && remote.join(NAME).exists());
        assert!(used.folder().to_string_lossy().contains(&boot));
    }
}
