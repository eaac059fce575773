//! The status file: CMD's own answer to "do I still lead?", without a network call.
//!
//! One line, `TERM DEADLINE_BOOTTIME_NS`, replaced as a whole at each renewal, in a folder that nobody else can enter.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tenure_core::Time;

/// The file's name in its folder.
const NAME: &str = "status";
/// What is written first and then put in its place.
const NEXT: &str = "status.next";

/// A status file; it and its folder go when this is dropped.
#[derive(Debug)]
pub(super) struct StatusFile {
    folder: TempDir,
}

impl StatusFile {
    /// Makes the folder: below `XDG_RUNTIME_DIR`, which is memory and private already, or else the usual place.
    pub(super) fn new() -> io::Result<StatusFile> {
        let places = std::env::var_os("XDG_RUNTIME_DIR").filter(|place| !place.is_empty()).map(PathBuf::from);
        let mut outcome = Err(io::Error::from(io::ErrorKind::NotFound));
        for place in places.into_iter().chain([std::env::temp_dir()]) {
            let private = Permissions::from_mode(0o700);
            outcome = tempfile::Builder::new().prefix("tenure-run-").permissions(private).tempdir_in(place);
            if outcome.is_ok() {
                break;
            }
        }
        Ok(StatusFile { folder: outcome? })
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
        std::fs::write(&next, format!("{term} {}\n", deadline.as_nanos()))?;
        std::fs::rename(next, self.path())
    }

    /// Says that nothing is led any more.
    pub(super) fn remove(&self) {
        let _ = std::fs::remove_file(self.path());
    }
}

/// Reads a status file's line: the term and its deadline.
pub(crate) fn parse(line: &str) -> Option<(u64, Time)> {
    let (term, deadline) = line.trim_end().split_once(' ')?;
    Some((term.parse().ok()?, Time::from_nanos(deadline.parse().ok()?)))
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
            assert_eq!(parse(&line), Some((3, Time::from_nanos(deadline))));
        }
        let folder = file.folder().to_owned();
        assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        drop(file);
        assert!(!folder.exists());
        assert_eq!((parse(""), parse("1"), parse("a 1"), parse("1 -1")), (None, None, None, None));
    }
}
