//! The name that somebody gave a file: checked for what SQLite would read as something else, made absolute once.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::failure::{FileError, FileErrorKind};

/// A file's name, as it was given and as it stands whatever folder the process works in later.
///
/// Where it leads is found anew with each opening: symlinks in it may be switched meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    given: PathBuf,
    absolute: PathBuf,
}

impl FileName {
    /// The name, seen from the folder that the process works in now. Nothing is looked for.
    ///
    /// Fails as [`FileName::check`] does, or where that folder is gone.
    pub fn new(given: impl Into<PathBuf>) -> Result<FileName, FileError> {
        let given = given.into();
        FileName::check(&given)?;
        let absolute = std::path::absolute(&given).map_err(|error| FileError::looking(given.display(), error))?;
        // Without `.` and the slash at the end, which SQLite would take off as well.
        let name = FileName { absolute: absolute.components().collect(), given };
        // Seen from another folder it may be such a name too.
        FileName::check(&name.absolute)?;
        Ok(name)
    }

    /// Whether the path can name a file at all; the error says what would be right.
    ///
    /// The empty path, `:memory:` and `file:` mean something else to SQLite than to everybody else; a path through a
    /// process's descriptors means whatever that has open.
    pub fn check(given: &Path) -> Result<(), FileError> {
        let text = given.as_os_str().as_encoded_bytes();
        let what = if text.is_empty() {
            "names no file; write sqlite:PATH"
        } else if text.contains(&0) {
            "has a zero byte in it; write sqlite:PATH"
        } else if text == b":memory:" {
            "would be private to each opener; name a file"
        } else if text.starts_with(b"file:") {
            "file: is no part of a path; write sqlite:PATH without it"
        } else if BY_PROCESS.iter().any(|folder| given.starts_with(folder)) {
            "names a file by way of a process; name the file itself"
        } else {
            return Ok(());
        };
        Err(FileError::new(FileErrorKind::Invalid, format!("sqlite:{}: {what}", given.display())))
    }

    /// From the root.
    pub fn absolute(&self) -> &Path {
        &self.absolute
    }

    pub(crate) fn invalid(&self, what: impl fmt::Display) -> FileError {
        FileError::at(self, FileErrorKind::Invalid, what)
    }
}

/// Folders whose entries stand for whatever a process has open, under a number that may mean another file next.
const BY_PROCESS: &[&str] = &["/proc", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"];

impl fmt::Display for FileName {
    /// As it was given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.given.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What SQLite would not read as a path is refused with the remedy.
    #[test]
    fn names_that_are_no_paths_are_refused() {
        for (name, said) in [
            ("", "sqlite:PATH"),
            ("a\0b", "zero byte"),
            (":memory:", "private"),
            ("file:/data/x.db", "without it"),
            ("/proc/self/fd/3", "name the file itself"),
            ("/dev/fd/3", "name the file itself"),
        ] {
            let error = FileName::new(name).unwrap_err();
            assert_eq!(error.kind(), FileErrorKind::Invalid, "{name:?}");
            assert!(error.to_string().contains(said), "{name:?}: {error}");
        }
    }

    /// A relative name is bound to the folder of this moment; it is shown as it was given.
    #[test]
    fn a_relative_name_is_made_absolute_once() {
        let name = FileName::new("./x/leases.db/").unwrap();
        assert_eq!(name.absolute(), std::env::current_dir().unwrap().join("x/leases.db"));
        assert_eq!(name.to_string(), "./x/leases.db/");
    }
}
