//! A command's program: where it is, whether it can be run, and why it cannot.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The shell's exit code for a program that exists and cannot be run.
const NOT_EXECUTABLE: u8 = 126;
/// The shell's exit code for a program that does not exist, or lacks what it needs to start.
const NOT_FOUND: u8 = 127;
/// How much of a file the kernel reads for its first line, in bytes.
const FIRST_LINE: u64 = 256;

/// Why a program cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct CannotRun {
    text: String,
    /// The exit code that shells use for it: 126 or 127.
    pub exit_code: u8,
}

/// Checks that a shell could run the program now. To be asked before the campaign: a standby with a mistyped command should not
/// learn of it when it is needed.
pub fn check_executable(program: &OsStr) -> Result<(), CannotRun> {
    let found = find(program).and_then(|path| match interpreter(&path) {
        Some(interpreter) if is_missing(&interpreter) => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(()),
    });
    found.map_err(|error| CannotRun::new(program, &error))
}

impl CannotRun {
    /// Explains the error of `execve(2)` for this program.
    pub(crate) fn new(program: &OsStr, error: &io::Error) -> CannotRun {
        let (text, exit_code) = explain(program, error);
        CannotRun { text, exit_code }
    }
}

fn explain(program: &OsStr, error: &io::Error) -> (String, u8) {
    let name = program.to_string_lossy();
    if error.kind() != io::ErrorKind::NotFound {
        let is_file = || program.as_bytes().contains(&b'/') && Path::new(program).is_file();
        let denied = error.kind() == io::ErrorKind::PermissionDenied && is_file();
        let remedy = if denied { "; see `chmod +x`" } else { "" };
        return (format!("{name}: cannot be run: {error}{remedy}"), NOT_EXECUTABLE);
    }
    let text = match find(program).map(|path| interpreter(&path)) {
        Ok(Some(interpreter)) if interpreter.as_os_str().as_bytes().ends_with(b"\r") => format!(
            "{name}: its interpreter {interpreter:?} is not there: the first line ends as lines do on Windows; save the file \
             with the line ends of Unix"
        ),
        Ok(Some(interpreter)) if is_missing(&interpreter) => {
            format!("{name}: its interpreter {}, which the first line names, is not there", interpreter.display())
        }
        // The file exists: what is missing is the ELF interpreter (loader) that it or its script's interpreter names.
        Ok(_) => format!("{name}: what it needs to start is not there; was it built for another system?"),
        Err(_) => format!("{name}: command not found; see PATH, or name the file"),
    };
    (text, NOT_FOUND)
}

/// The file that a shell would run.
fn find(program: &OsStr) -> io::Result<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return executable(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let mut outcome = Err(io::Error::from(io::ErrorKind::NotFound));
    for folder in std::env::split_paths(&path) {
        match executable(folder.join(program)) {
            Ok(path) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => outcome = Err(error),
            Err(_) => {}
        }
    }
    outcome
}

fn executable(path: PathBuf) -> io::Result<PathBuf> {
    match std::fs::metadata(&path)? {
        file if file.is_file() && file.permissions().mode() & 0o111 != 0 => Ok(path),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// The interpreter that the first line of a script names, as the kernel reads it; `None` where the file is no script, or cannot
/// be read.
fn interpreter(path: &Path) -> Option<PathBuf> {
    let mut start = Vec::new();
    File::open(path).ok()?.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let word = line.split(|byte| matches!(byte, b' ' | b'\t')).find(|word| !word.is_empty())?;
    Some(OsString::from_vec(word.to_vec()).into())
}

fn is_missing(path: &Path) -> bool {
    std::fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What can be run, what cannot, and what is not there, by path and by name.
    #[test]
    fn commands_are_found_as_shells_find_them() {
        let code = |program: &str| check_executable(program.as_ref()).map_err(|error| error.exit_code);
        assert_eq!((code("sh"), code("/bin/sh")), (Ok(()), Ok(())));
        assert_eq!((code("/etc/passwd"), code("/etc")), (Err(NOT_EXECUTABLE), Err(NOT_EXECUTABLE)));
        assert_eq!(code("no-such-command-anywhere"), Err(NOT_FOUND));
    }

    /// A script that is there and cannot start is not taken for one that is not there: what it lacks is named.
    #[test]
    fn a_missing_interpreter_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        let missing = io::Error::from(io::ErrorKind::NotFound);
        for (content, fine, says) in [
            ("#!/bin/sh\n", true, "was it built for another system"),
            ("#! /bin/sh -e", true, "was it built for another system"),
            ("no script", true, "was it built for another system"),
            ("#!\t/no/such/interpreter -x\n", false, "its interpreter /no/such/interpreter, which"),
            ("#!/bin/sh\r\necho\r\n", false, "Windows"),
        ] {
            std::fs::write(&path, content).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            assert_eq!(check_executable(path.as_os_str()).is_ok(), fine, "{content:?}");
            let (text, code) = explain(path.as_os_str(), &missing);
            assert!(text.contains(says) && code == NOT_FOUND, "{content:?}: {text}");
        }
        assert!(explain("no-such-command-anywhere".as_ref(), &missing).0.contains(": command not found; "));
    }
}
