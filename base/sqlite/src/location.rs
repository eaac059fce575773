//! Where a name leads: the real path, with every symlink followed, at which SQLite keeps the log beside the file.

use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::failure::{FileError, FileErrorKind};
use crate::mounts::Mounts;
use crate::name::FileName;
use crate::node::Node;

/// The suffixes of the files that SQLite keeps beside a database in write-ahead logging: the log and its index.
pub(crate) const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// How many symlinks are followed to a file that is not there yet; the system's own bound.
const LINKS: usize = 40;

/// A name and the real path that it leads to. The file itself may be missing; its folder is there.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    name: FileName,
    real: PathBuf,
}

impl Location {
    /// Finds where the name leads now, and refuses what cannot be shared safely there: folders and devices, hard links,
    /// network file systems, files that are mounted alone.
    pub(crate) fn find(name: &FileName) -> Result<Location, FileError> {
        let real = real_path(name).map_err(|error| FileError::looking(name, error))?;
        let location = Location { real, name: name.clone() };
        let Some(folder) = location.real.parent() else { return Err(name.invalid("is a folder; name a file in it")) };
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(name.invalid(format_args!("{} is no folder; see the path", folder.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(name.invalid(format_args!("the folder {} does not exist; create it", folder.display())));
            }
            Err(error) => return Err(FileError::looking(&location, error)),
        }
        let mounts = Mounts::read();
        mounts.check_file_system(&location, folder)?;
        if let Some(found) = location.metadata().map_err(|error| FileError::looking(&location, error))? {
            location.check_file(&location.real, &found, &mounts)?;
            location.check_name(&found)?;
        }
        for suffix in COMPANIONS {
            let path = location.companion(suffix);
            if let Some(found) = look(&path).map_err(|error| FileError::looking(path.display(), error))? {
                location.check_file(&path, &found, &mounts)?;
            }
        }
        Ok(location)
    }

    /// The path without symlinks.
    pub(crate) fn real(&self) -> &Path {
        &self.real
    }

    /// The file's companion with this suffix.
    pub(crate) fn companion(&self, suffix: &str) -> PathBuf {
        let mut path = self.real.as_os_str().to_owned();
        path.push(suffix);
        path.into()
    }

    /// The file at the real path, where there is one.
    pub(crate) fn metadata(&self) -> io::Result<Option<Metadata>> {
        look(&self.real)
    }

    /// Which file the name leads to now, by whatever symlinks there are now.
    pub(crate) fn named(&self) -> io::Result<Option<Node>> {
        Ok(absent(fs::metadata(self.name.absolute()))?.as_ref().map(Node::of))
    }

    /// Whether no symlink stands between the name and the file.
    pub(crate) fn is_direct(&self) -> bool {
        self.real == self.name.absolute()
    }

    pub(crate) fn failure(&self, kind: FileErrorKind, what: impl fmt::Display) -> FileError {
        FileError::at(self, kind, what)
    }

    pub(crate) fn missing(&self) -> FileError {
        self.failure(FileErrorKind::Missing, "there is no such file")
    }

    /// The refusal of a file that has several names, each of which would have a log of its own.
    pub(crate) fn linked(&self, path: &Path, kind: FileErrorKind) -> FileError {
        self.failure(
            kind,
            format_args!(
                "{} has another name, a hard link, and openers under that name would share neither its log nor its locks; \
                 remove the other name (find it with `find -samefile`), or copy the file",
                path.display()
            ),
        )
    }

    /// Refuses what is not one plain file with one name. A companion is held to the same: by a symlink or a hard link it
    /// would be another file's too.
    fn check_file(&self, path: &Path, found: &Metadata, mounts: &Mounts) -> Result<(), FileError> {
        let companion = path != self.real;
        if found.is_dir() && !companion {
            return Err(self.name.invalid("is a folder; name a file in it"));
        }
        if !found.is_file() {
            let what = if found.is_symlink() { "a symlink" } else { "no regular file" };
            let mend = if companion { "remove it while nobody uses the file" } else { "name another one" };
            let what = format_args!("{} is {what}; {mend}", path.display());
            return Err(self.failure(FileErrorKind::Unsafe, what));
        }
        if found.nlink() > 1 {
            return Err(self.linked(path, FileErrorKind::Unsafe));
        }
        mounts.check_file(self, path)
    }

    /// Refuses a name that leads to another file than the path without symlinks does, as one through /proc can.
    fn check_name(&self, found: &Metadata) -> Result<(), FileError> {
        let named = self.named().map_err(|error| FileError::looking(self, error))?;
        if named == Some(Node::of(found)) {
            return Ok(());
        }
        Err(self.failure(
            FileErrorKind::Unavailable,
            "the name and its real path lead to different files; name the file itself",
        ))
    }
}

impl FileName {
    /// Which file the name leads to now. Fails where there is none, or none that can be shared safely.
    pub fn node(&self) -> Result<Node, FileError> {
        let location = Location::find(self)?;
        match location.metadata() {
            Ok(Some(found)) => Ok(Node::of(&found)),
            Ok(None) => Err(location.missing()),
            Err(error) => Err(FileError::looking(&location, error)),
        }
    }
}

impl fmt::Display for Location {
    /// The name as it was given, and the real path where symlinks lead elsewhere.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        if self.is_direct() { Ok(()) } else { write!(f, " ({})", self.real.display()) }
    }
}

/// Looks at what stands at a path itself, without following a symlink there.
///
/// It is never opened: closing any descriptor of a SQLite file gives up the locks that the process holds on it.
pub(crate) fn look(path: &Path) -> io::Result<Option<Metadata>> {
    absent(fs::symlink_metadata(path))
}

fn absent(found: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The path without symlinks, also where the file is missing: then of the place at which it would be made, which for a
/// symlink to nothing is where that points.
fn real_path(name: &FileName) -> io::Result<PathBuf> {
    let mut path = name.absolute().to_owned();
    for _ in 0..LINKS {
        match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let Some(folder) = path.parent() else { return Ok(path) };
        match fs::read_link(&path) {
            Ok(target) => path = folder.join(target),
            Err(_) => {
                // Nothing is there. A folder that is not there either is told by whoever looks at it.
                let Some(file) = path.file_name() else { return Ok(path) };
                return Ok(match folder.canonicalize() {
                    Ok(folder) => folder.join(file),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => path,
                    Err(error) => return Err(error),
                });
            }
        }
    }
    Err(rustix::io::Errno::LOOP.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn location(path: impl Into<PathBuf>) -> Result<Location, FileError> {
        Location::find(&FileName::new(path).unwrap())
    }

    fn refused(path: impl Into<PathBuf>) -> (FileErrorKind, String) {
        let error = location(path).unwrap_err();
        (error.kind(), error.to_string())
    }

    /// Symlinks of the file, of folders, to nothing and through `..` lead to the one real path.
    #[test]
    fn every_symlink_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let real = top.join("real/deep");
        fs::create_dir_all(&real).unwrap();
        symlink("real/deep/x.db", top.join("file")).unwrap();
        symlink("real/deep", top.join("folder")).unwrap();
        symlink("file", top.join("twice")).unwrap();
        symlink(real.join("x.db"), top.join("absolute")).unwrap();
        fs::create_dir(top.join("real/other")).unwrap();
        let names = ["real/deep/x.db", "file", "folder/x.db", "twice", "absolute", "folder/../deep/x.db"];
        for made in [false, true] {
            for name in names {
                assert_eq!(location(top.join(name)).unwrap().real(), real.join("x.db"), "{name}, made: {made}");
            }
            fs::write(real.join("x.db"), "").unwrap();
        }
        // Lexically it would be another file.
        assert_eq!(location(top.join("folder/../x.db")).unwrap().real(), top.join("real/x.db"));
    }

    /// Hard links, circles, folders, pipes and companions that are something else are refused with what, where and how to
    /// mend it.
    #[test]
    fn what_is_not_one_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let path = top.join("x.db");
        fs::write(&path, "").unwrap();
        fs::hard_link(&path, top.join("y.db")).unwrap();
        let (kind, said) = refused(top.join("y.db"));
        assert_eq!(kind, FileErrorKind::Unsafe);
        assert!(
            said.contains("y.db") && said.contains("hard link") && said.contains("remove the other name"),
            "{said}"
        );
        fs::remove_file(top.join("y.db")).unwrap();
        location(&path).unwrap();

        symlink("b", top.join("a")).unwrap();
        symlink("a", top.join("b")).unwrap();
        let (kind, said) = refused(top.join("a"));
        assert!(kind == FileErrorKind::Invalid && said.contains("circle"), "{said}");
        assert!(refused(&top).1.contains("name a file in it"));
        assert!(refused("/").1.contains("name a file in it"));
        assert!(refused(path.join("z.db")).1.contains("see the path"), "{}", refused(path.join("z.db")).1);
        assert!(refused(top.join("no/such.db")).1.contains("create it"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            top.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(refused(top.join("pipe")).1.contains("no regular file"));

        let wal = top.join("x.db-wal");
        symlink("elsewhere", &wal).unwrap();
        let (kind, said) = refused(&path);
        assert!(kind == FileErrorKind::Unsafe && said.contains("x.db-wal is a symlink"), "{said}");
        fs::remove_file(&wal).unwrap();
        fs::write(&wal, "").unwrap();
        fs::hard_link(&wal, top.join("z.db-wal")).unwrap();
        assert!(refused(&path).1.contains("x.db-wal has another name"));
    }
}
