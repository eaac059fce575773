//! Finds a server's program, and reports a test as skipped where it is missing.

use std::path::PathBuf;

/// A server that is not on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{program} is not here: {remedy}")]
pub struct Missing {
    /// The program that was looked for.
    pub program: &'static str,
    /// How to get it.
    pub remedy: &'static str,
}

/// Looks for `program` in the folder of `TENURE_SERVERS` (default: `~/.cache/tenure-servers`), then in `PATH`, then where
/// Debian keeps servers (`/usr/sbin`). `remedy` says how to get it.
pub fn find(program: &'static str, remedy: &'static str) -> Result<PathBuf, Missing> {
    let own = match std::env::var_os("TENURE_SERVERS") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/tenure-servers")),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = own.into_iter().chain(std::env::split_paths(&path)).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file()).ok_or(Missing { program, remedy })
}

/// The server, or `None` after a line `SKIPPED: SUITE: REASON` on stdout that the closing table of `cargo xtask test`
/// shows.
///
/// # Panics
/// Where `CI` is `true` and the server is `required`: there a missing one is a failure.
pub fn or_skip<T>(suite: &str, required: bool, found: Result<T, Missing>) -> Option<T> {
    match found {
        Ok(found) => Some(found),
        Err(missing) if required && std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{suite}: {missing}")
        }
        Err(missing) => {
            println!("SKIPPED: {suite}: {missing}");
            None
        }
    }
}
