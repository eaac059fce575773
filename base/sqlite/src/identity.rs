//! Which file it is: to notice that the open one was replaced, deleted, or given a second name.

use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use crate::location::{COMPANIONS, Location, look};
use crate::node::Node;

/// One file over all its time, also after a reboot: its inode, and when it was made. A copy has another one, and so has
/// what was restored from a backup, but not a file that was moved within its file system, or written over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birth(String);

impl Birth {
    pub(crate) fn of(found: &Metadata) -> Birth {
        // Not every file system tells when; the inode has to do there.
        let made = found.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok());
        Birth(format!("{}@{}", found.ino(), made.map_or(0, |made| made.as_nanos())))
    }

    /// As it can be kept in the file itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an opener has in its hands, as long as it has: the file, its log and the index of that, and where they lie. Two who
/// have the same see all that the other writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pub(crate) real: PathBuf,
    pub(crate) identity: Identity,
}

impl Incarnation {
    /// That `next` has taken the place of this one, in words that are the same for all who had this one open, in this boot.
    /// `None` where it lies elsewhere: then the other name of a symlink may still lead to this one.
    pub fn replaced_by(&self, next: &Incarnation) -> Option<String> {
        (self.real == next.real).then(|| format!("{} {}", self.identity, next.identity))
    }
}

/// The database and its companions, as one place shows them at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The database; `None` also where the name leads elsewhere than the real path.
    pub(crate) database: Option<Node>,
    /// `-wal` and `-shm`.
    pub(crate) companions: [Option<Node>; 2],
    /// Whether the database has more than one name.
    pub(crate) linked: bool,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [wal, shm] = self.companions;
        for (between, node) in ["", "/", "/"].iter().zip([self.database, wal, shm]) {
            f.write_str(between)?;
            node.map_or(f.write_str("-"), |node| node.fmt(f))?;
        }
        Ok(())
    }
}

impl Identity {
    /// What is there now. A symlink where a file was, or one in the name that leads elsewhere now, is another file.
    pub(crate) fn read(location: &Location) -> io::Result<Identity> {
        let found = location.metadata()?;
        let mut database = found.as_ref().map(Node::of);
        if !location.is_direct() && location.named()? != database {
            database = None;
        }
        let companions = companions(location)?;
        Ok(Identity { database, companions, linked: found.is_some_and(|found| found.nlink() > 1) })
    }

    /// After `place` was found to hold another database, or none: removes companions there that belong to the one of
    /// `self`.
    ///
    /// SQLite would otherwise write the old log into the new database, and share its locks with the old one. Call it
    /// while the old one is still open, so that its inodes cannot have been given out again.
    pub(crate) fn remove_stale_companions(&self, location: &Location) {
        let Ok(found) = location.metadata() else { return };
        let Ok(now) = companions(location) else { return };
        if found.as_ref().map(Node::of) == self.database {
            return;
        }
        for (suffix, (old, present)) in COMPANIONS.iter().zip(self.companions.iter().zip(now)) {
            if old.is_some() && *old == present {
                // What cannot be removed is met by the next opening, which says so.
                let _ = std::fs::remove_file(location.companion(suffix));
            }
        }
    }
}

/// The log and its index beside the database.
pub(crate) fn companions(location: &Location) -> io::Result<[Option<Node>; 2]> {
    let node = |suffix| Ok::<_, io::Error>(look(&location.companion(suffix))?.as_ref().map(Node::of));
    let [wal, shm] = COMPANIONS;
    Ok([node(wal)?, node(shm)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::FileName;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A file that was moved away and written anew is another file; a companion that vanished counts, and so does a
    /// second name.
    #[test]
    fn a_replaced_file_is_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let wal = folder.path().join("x.db-wal");
        fs::write(&path, "old").unwrap();
        fs::write(&wal, "").unwrap();
        let location = Location::find(&FileName::new(&path).unwrap()).unwrap();
        let read = || Identity::read(&location).unwrap();
        let before = read();
        assert!(before.database.is_some() && before == read());
        fs::remove_file(&wal).unwrap();
        assert_ne!(read(), before);
        fs::hard_link(&path, folder.path().join("y.db")).unwrap();
        assert!(read().linked);
        fs::rename(&path, folder.path().join("z.db")).unwrap();
        fs::write(&path, "new").unwrap();
        assert_ne!(read().database, before.database);
        fs::remove_file(&path).unwrap();
        assert_eq!(read().database, None);
    }

    /// A symlink, of the file or of a folder, that is switched to another file names no longer the one that is open.
    #[test]
    fn a_switched_symlink_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        for name in ["one", "two"] {
            fs::create_dir(top.join(name)).unwrap();
            fs::write(top.join(name).join("x.db"), name).unwrap();
        }
        for (link, target, name) in [("file", "/x.db", "file"), ("folder", "", "folder/x.db")] {
            symlink(format!("one{target}"), top.join(link)).unwrap();
            let location = Location::find(&FileName::new(top.join(name)).unwrap()).unwrap();
            let before = Identity::read(&location).unwrap();
            assert!(before.database.is_some());
            fs::remove_file(top.join(link)).unwrap();
            symlink(format!("two{target}"), top.join(link)).unwrap();
            assert_eq!(Identity::read(&location).unwrap().database, None, "{link}");
        }
    }
}
