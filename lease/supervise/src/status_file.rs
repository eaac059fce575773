//! The status file: a command's own answer to "do I still lead?", without a network call.
//!
//! One line, `TERM DEADLINE_BOOTTIME_NS NAMESPACE`, replaced as a whole at each renewal, in a folder that nobody else can
//! enter. The last word names the time namespace on whose boottime clock the deadline is; `-` where the kernel has none.

use std::fs::{File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, open, unlinkat};
use tempfile::TempDir;
use tenure_core::Time;

/// The variable in the command's environment that names the file.
pub const VARIABLE: &str = "TENURE_STATUS_FILE";

/// The beginning of every folder's name; the boot of the machine that made it comes next.
const PREFIX: &str = "tenure-status-";
/// Stands for the boot where it cannot be told. Such a folder may be of any boot, so [`StatusFile::remove_abandoned`] leaves it.
const UNKNOWN: &str = "unknown";
/// The file's name in its folder.
const NAME: &str = "status";
/// The file that is written and then renamed to [`NAME`].
const NEXT: &str = "status.next";
/// The file with the store's login, for `tenure` commands that the command starts.
const SECRET: &str = "store-login";
/// How many names one search for abandoned folders looks at, and how many folders it removes at most.
const MOST: (usize, usize) = (4096, 64);
/// How often to try again where another process removes the new folder, taking it for an abandoned one.
const TRIES: usize = 4;

/// There is no folder for a status file. Says what to do about it.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "no place for the status file: no folder can be made in {tried}; set XDG_RUNTIME_DIR or TMPDIR to a folder that this user may \
     write to"
)]
pub struct NoPlace {
    tried: String,
}

/// A status file. The file and its folder are removed when this is dropped.
#[derive(Debug)]
pub struct StatusFile {
    folder: TempDir,
    /// The time namespace of this process.
    namespace: Option<u64>,
    /// Whether [`StatusFile::renew`] has returned an error.
    has_failed: bool,
    /// Keeps the folder locked, which says that it is not abandoned.
    _lock: File,
}

impl StatusFile {
    /// Makes the folder: where temporary files go, or else below `XDG_RUNTIME_DIR`, which lasts no longer than the user is
    /// logged in.
    pub fn create() -> Result<StatusFile, NoPlace> {
        let mut refused = Vec::new();
        for place in places() {
            match StatusFile::within(&place) {
                Ok(file) => return Ok(file),
                Err(error) => refused.push(format!("{} ({})", place.display(), error.kind())),
            }
        }
        Err(NoPlace { tried: refused.join(", nor in ") })
    }

    fn within(place: &Path) -> io::Result<StatusFile> {
        for _ in 0..TRIES {
            let private = Permissions::from_mode(0o700);
            let prefix = prefix(boot().as_deref().unwrap_or(UNKNOWN));
            let folder = tempfile::Builder::new().prefix(&prefix).permissions(private).tempdir_in(place)?;
            let lock = match open_folder(folder.path()) {
                Ok(lock) => lock,
                // Removed already, by a process that took it for abandoned.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // A process that holds the lock to remove the folder may be stopped by a signal, so this one does not wait. On a
            // file system without locks no folder is taken for abandoned.
            if flock(&lock, FlockOperation::NonBlockingLockExclusive) == Err(rustix::io::Errno::WOULDBLOCK) {
                continue;
            }
            // Between its making and its locking another process may have removed it.
            if std::fs::metadata(folder.path()).is_ok_and(|there| is_same(&lock, &there)) {
                // A full disk takes folders, but no files: better to learn that now.
                let namespace = time_namespace();
                std::fs::write(folder.path().join(NEXT), line(u64::MAX, Time::MAX, Some(u64::MAX)))?;
                return Ok(StatusFile { folder, namespace, has_failed: false, _lock: lock });
            }
        }
        Err(io::Error::other("the folder is removed as soon as it is made"))
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file's path.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Says that the tenure `term` lasts until `deadline`. Readers see the old line or the new one, nothing between.
    pub fn write(&self, term: u64, deadline: Time) -> io::Result<()> {
        let next = self.folder.path().join(NEXT);
        std::fs::write(&next, line(term, deadline, self.namespace))?;
        std::fs::rename(next, self.path())
    }

    /// Keeps the store's login in a file beside it that only this user can read; returns its path.
    pub fn keep_secret(&self, secret: &str) -> io::Result<PathBuf> {
        let file = self.folder.path().join(SECRET);
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        File::from(open(&file, flags, mode)?).write_all(secret.as_bytes())?;
        Ok(file)
    }

    /// As [`StatusFile::write`], with the first error alone: an old line promises less than is true, which is safe.
    pub fn renew(&mut self, term: u64, deadline: Time) -> io::Result<()> {
        match self.write(term, deadline) {
            Err(error) if !std::mem::replace(&mut self.has_failed, true) => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes the folders of this user's processes that were killed without dropping theirs, which is seen from their locks. Never
    /// fails: nobody needs those folders. Only what this boot of this machine made is removed: in a shared folder another
    /// machine's locks may not be visible.
    pub fn remove_abandoned() {
        if let Some(boot) = boot() {
            places().iter().for_each(|place| remove_abandoned_within(place, &boot));
        }
    }

    /// Removes the line and the login: nothing is led any more.
    pub fn clear(&self) {
        for file in [NAME, SECRET] {
            let _ = std::fs::remove_file(self.folder.path().join(file));
        }
    }
}

fn remove_abandoned_within(place: &Path, boot: &str) {
    let prefix = prefix(boot);
    let Ok(names) = std::fs::read_dir(place) else { return };
    let ours = |name: &std::fs::DirEntry| name.file_name().to_string_lossy().starts_with(&prefix);
    let folders = names.take(MOST.0).flatten().filter(ours);
    folders.filter(|folder| remove_if_abandoned(&folder.path()).is_ok()).take(MOST.1).for_each(drop);
}

/// Removes a folder, unless it is another user's, in use, or contains a file that is not a status file's.
fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let folder = open_folder(path)?;
    if folder.metadata()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    flock(&folder, FlockOperation::NonBlockingLockExclusive)?;
    // Relative to the open folder: its path could lead to another folder by now.
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

/// Which boot of which machine this is: the first part of the kernel's random boot id.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let first = id.trim().split('-').next()?;
    (!first.is_empty() && first.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| first.to_owned())
}

/// Opens a folder, unless its name is a symbolic link.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(open(path, flags, Mode::empty())?))
}

fn is_same(file: &File, there: &std::fs::Metadata) -> bool {
    file.metadata().is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// What a status file says: its one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine {
    /// The tenure's term.
    pub term: u64,
    /// Until when the tenure lasts, on the boottime clock of the namespace.
    pub deadline: Time,
    /// The time namespace that the line was written in; `None` where the kernel has none.
    pub namespace: Option<u64>,
}

impl StatusLine {
    /// Reads the line; `None` where the text is no status line.
    pub fn parse(line: &str) -> Option<StatusLine> {
        let mut words = line.trim_end().split(' ');
        let mut next = || words.next();
        let (term, deadline) = (next()?.parse().ok()?, Time::from_nanos(next()?.parse().ok()?));
        let namespace = match next() {
            // An earlier version wrote no namespace.
            None => time_namespace(),
            Some(NONE) => None,
            Some(number) => Some(number.parse().ok()?),
        };
        Some(StatusLine { term, deadline, namespace })
    }

    /// Whether this process's clock is the one that the deadline is of: a time namespace may have shifted it.
    pub fn is_of_this_clock(&self) -> bool {
        self.namespace == time_namespace()
    }
}

/// Stands for a kernel without time namespaces.
const NONE: &str = "-";

fn line(term: u64, deadline: Time, namespace: Option<u64>) -> String {
    let namespace = namespace.map_or_else(|| NONE.to_owned(), |number| number.to_string());
    format!("{term} {} {namespace}\n", deadline.as_nanos())
}

/// The time namespace of this process, by the number that the kernel gives it; `None` where the kernel has none.
pub fn time_namespace() -> Option<u64> {
    let link = std::fs::read_link("/proc/self/ns/time").ok()?;
    link.to_str()?.strip_prefix("time:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line reads back, the folder is private, and nothing is left behind.
    #[test]
    fn the_line_reads_back_and_nothing_stays() {
        let file = StatusFile::create().unwrap();
        for deadline in [5, 7] {
            file.write(3, Time::from_nanos(deadline)).unwrap();
            let line = std::fs::read_to_string(file.path()).unwrap();
            let status = StatusLine::parse(&line).unwrap();
            assert_eq!((status.term, status.deadline), (3, Time::from_nanos(deadline)));
            assert!(status.is_of_this_clock() && !StatusLine { namespace: Some(1), ..status }.is_of_this_clock());
        }
        let secret = file.keep_secret("me:hunter2\n").unwrap();
        assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        file.clear();
        assert!(!secret.exists() && !file.path().exists());
        let folder = file.folder().to_owned();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(file);
        assert!(!folder.exists());
        assert!(StatusLine::parse("1 2 -\n").is_some_and(|status| status.namespace.is_none()));
        assert!(StatusLine::parse("1 2\n").is_some_and(|status| status.is_of_this_clock()));
        for odd in ["", "1", "a 1 -", "1 -1 -", "1 2 x"] {
            assert_eq!(StatusLine::parse(odd), None, "{odd}");
        }
    }

    /// A folder in use stays, as does one with other files in it; a folder whose owner was killed is removed. Another machine's
    /// stays too: its locks may not be visible here.
    #[test]
    fn only_abandoned_folders_are_removed() {
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
        remove_abandoned_within(place.path(), &boot);
        assert!(!left.exists());
        assert!(used.path().exists() && strange.join("precious").exists() && other.join(NAME).exists());
        assert!(link.is_symlink() && named("file").exists() && remote.join(NAME).exists());
        assert!(used.folder().to_string_lossy().contains(&boot));
    }
}
