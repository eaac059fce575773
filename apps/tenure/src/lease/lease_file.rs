//! The file that a detached lease's line stands in: private, replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tempfile::NamedTempFile;

use super::detached_lease::DetachedLease;
use crate::exit::Exit;

/// The longest text that is read: more than any line.
const MOST_BYTES: u64 = 128 * 1024;

/// How often, and after which pauses, a turn is asked for: those who take turns need far less.
const TURN_TRIES: u32 = 20;
const TURN_PAUSE: Duration = Duration::from_millis(5);

/// The room that is asked for before the claim; longer notes may still meet a full disk.
const ROOM: usize = 4096;

/// The next content of a lease's file: made and given room before the line is known, so that a missing folder, missing
/// rights and a full disk show before anything is claimed. Removed when dropped.
#[derive(Debug)]
pub(super) struct NextLine {
    path: PathBuf,
    next: NamedTempFile,
}

impl NextLine {
    /// Beside the file `path`, of which a symbolic link is followed. Fails where something else than a file is there.
    pub(super) fn prepare(path: &Path) -> Result<NextLine> {
        let path = match fs::canonicalize(path) {
            Ok(path) if path.is_file() => path,
            Ok(path) => {
                let name = path.display();
                return Err(Exit::usage(anyhow!("{name} is no regular file: name a file, or leave it out")));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            Err(error) => return Err(error).with_context(|| format!("cannot use {}", path.display())),
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().ok_or_else(|| anyhow!("{} is no file's name", path.display()))?;
        let prefix = format!(".{}.", name.to_string_lossy());
        let made = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(folder)
            .and_then(|mut next| next.write_all(&[b' '; ROOM]).map(|()| next));
        let next = made.map_err(|error| {
            let is_misnamed = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
            let error = anyhow::Error::new(error).context(format!("cannot write a file in {}", folder.display()));
            if is_misnamed { Exit::usage(error) } else { error }
        })?;
        Ok(NextLine { path, next })
    }

    /// What the file has to say until now; `None` where there is none, or an empty one.
    pub(super) fn current(&self) -> Result<Option<DetachedLease>> {
        match read(&self.path) {
            Ok(text) if text.trim().is_empty() => Ok(None),
            Ok(text) => DetachedLease::parse(&text).map(Some).with_context(|| self.path.display().to_string()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", self.path.display())),
        }
    }

    /// Puts the line in the file's place: a reader sees what was there or this line, nothing between.
    pub(super) fn replace(mut self, lease: &DetachedLease) -> Result<()> {
        let cannot = || format!("cannot write {}", self.path.display());
        let file = self.next.as_file_mut();
        let written = file.rewind().and_then(|()| writeln!(file, "{}", lease.line()));
        let written = written.and_then(|()| file.stream_position()).and_then(|end| file.set_len(end));
        written.with_context(cannot)?;
        let path = self.path.clone();
        self.next.persist(&path).map_err(|failed| failed.error).with_context(cannot)?;
        Ok(())
    }

    /// Keeps others who ask for a turn from looking at the file and replacing it, until what is returned is dropped. `None` where the
    /// file system knows no such lock.
    pub(super) fn turn(&self) -> Option<File> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::open(folder).ok()?;
        for _ in 0..TURN_TRIES {
            match rustix::fs::flock(&folder, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(folder),
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(TURN_PAUSE),
                Err(_) => return None,
            }
        }
        None
    }

    /// The file's path, with symbolic links followed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads a file of bounded length.
pub(super) fn read(path: &Path) -> io::Result<String> {
    read_from(File::open(path)?)
}

/// Reads a bounded text to its end.
pub(super) fn read_from(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than the line of any lease"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::detached_lease::tests::lease;
    use super::*;

    /// One has the turn at a time, and nobody waits long for a folder that somebody else keeps locked.
    #[test]
    fn turns_are_taken_one_after_the_other_and_never_waited_for_long() {
        let folder = tempfile::tempdir().unwrap();
        let next = NextLine::prepare(&folder.path().join("lease")).unwrap();
        let turn = next.turn();
        assert!(turn.is_some());
        assert!(next.turn().is_none());
        drop(turn);
        assert!(next.turn().is_some());
    }

    /// The file is this user's alone, symbolic links lead to the file that is replaced, and nothing is left beside it.
    #[test]
    fn files_are_private_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("lease"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let next = NextLine::prepare(&link).unwrap();
        assert_eq!(next.current().unwrap(), None);
        let lease = lease(Duration::from_secs(5));
        next.replace(&lease).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(NextLine::prepare(&file).unwrap().current().unwrap(), Some(lease));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// A device, a folder, a missing folder and a file of something else are refused, and stay.
    #[test]
    fn only_a_leases_own_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for path in [Path::new("/dev/null"), folder.path(), &folder.path().join("no/file"), Path::new("/")] {
            assert!(NextLine::prepare(path).is_err(), "{}", path.display());
        }
        let other = folder.path().join("other");
        fs::write(&other, "precious").unwrap();
        assert!(NextLine::prepare(&other).unwrap().current().is_err());
        fs::write(&other, vec![b' '; MOST_BYTES as usize + 1]).unwrap();
        assert!(read(&other).is_err());
    }
}
