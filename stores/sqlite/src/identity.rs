//! Which file a path names: to notice that the open database was replaced or deleted.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Device and inode of the database and of its companions `-wal` and `-shm`.
///
/// They are read by stat(2), never by opening the file: closing any descriptor of it would drop the locks that SQLite
/// holds for the whole process. An inode is not used again while the old file is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    database: Option<(u64, u64)>,
    wal: Option<(u64, u64)>,
    shm: Option<(u64, u64)>,
}

impl FileIdentity {
    /// What `path` and its companions name now.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Ok(FileIdentity {
            database: stat(path)?,
            wal: stat(&companion(path, "-wal"))?,
            shm: stat(&companion(path, "-shm"))?,
        })
    }

    /// After `path` was found to name another database, or none: removes companions there that belong to the one of
    /// `self`.
    ///
    /// SQLite would otherwise write the old log into the new database, and share its locks with the old one. Call it while the old one is still open, so that
    /// its inodes cannot have been given out again.
    pub(crate) fn remove_stale_companions(&self, path: &Path) {
        let Ok(now) = FileIdentity::read(path) else { return };
        if now.database == self.database {
            return;
        }
        for (suffix, old, present) in [("-wal", self.wal, now.wal), ("-shm", self.shm, now.shm)] {
            if old.is_some() && old == present {
                // What cannot be removed is met by the next opening, which says so.
                let _ = std::fs::remove_file(companion(path, suffix));
            }
        }
    }

    /// What `path` alone names now.
    pub(crate) fn database(path: &Path) -> io::Result<Option<(u64, u64)>> {
        stat(path)
    }
}

fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn stat(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was moved away and written anew is another file; a companion that vanished counts too.
    #[test]
    fn a_replaced_file_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let wal = folder.path().join("x.db-wal");
        std::fs::write(&path, "old").unwrap();
        std::fs::write(&wal, "").unwrap();
        let before = FileIdentity::read(&path).unwrap();
        assert_eq!(FileIdentity::read(&path).unwrap(), before);
        std::fs::remove_file(&wal).unwrap();
        assert_ne!(FileIdentity::read(&path).unwrap(), before);
        std::fs::rename(&path, folder.path().join("y.db")).unwrap();
        std::fs::write(&path, "new").unwrap();
        assert_ne!(FileIdentity::database(&path).unwrap(), before.database);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(FileIdentity::database(&path).unwrap(), None);
    }
}
