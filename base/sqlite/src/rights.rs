//! Whose the file, its log, the index of that and their folder are, where this user may not write them.

use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat, stat};
use rustix::io::Errno;

use crate::failure::{FileError, FileErrorKind};
use crate::location::{COMPANIONS, Location};

impl Location {
    /// Which of the files that are there, or the folder where one is missing, this user may not write, and why; `None` where
    /// nothing is known against it. SQLite itself would only say that something is read-only.
    pub(crate) fn not_writable(&self) -> Option<FileError> {
        let companions = COMPANIONS.map(|suffix| self.companion(suffix));
        let is_whole = companions.iter().all(|path| stat(path).is_ok());
        let folder = self.real().parent().filter(|_| !is_whole);
        let files = std::iter::once(self.real()).chain(companions.iter().map(|path| path.as_path()));
        files.chain(folder).find_map(|path| self.denied(path))
    }

    fn denied(&self, path: &Path) -> Option<FileError> {
        match accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS) {
            Err(Errno::ROFS) => {
                let what = "the file system is read-only; mount it to be written, or name a file on another one";
                Some(self.failure(FileErrorKind::Denied, what))
            }
            Err(Errno::ACCESS | Errno::PERM) => {
                let found = stat(path).ok()?;
                let what = format_args!(
                    "{} belongs to uid {} and gid {} with mode {:o}, and uid {} may not write it; let it, with `chmod g+rw` (a \
                     folder: `chmod g+rwxs`) where a group shares it",
                    path.display(),
                    found.st_uid,
                    found.st_gid,
                    found.st_mode & 0o7777,
                    rustix::process::geteuid().as_raw(),
                );
                Some(self.failure(FileErrorKind::Denied, what))
            }
            _ => None,
        }
    }
}
