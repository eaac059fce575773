//! The folder of a server that writes everything to disk: where it is, and copies of what is in it.

use std::io;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A file system in memory, where the system has one.
const IN_MEMORY: &str = "/dev/shm";
/// How much must be free there: etcd reserves 128 MiB for its log, and a cluster has three.
const FREE: u64 = 2 << 30;

/// A temporary folder: where `TMPDIR` says, else in memory where there is room, else on the disk.
///
/// A process that is killed loses nothing of what it has written, wherever that lies; and on a disk that is busy with other
/// things a server that waits for each write answers nobody for seconds, which no test means to play.
pub(crate) fn durable_folder() -> io::Result<TempDir> {
    let room =
        |place: &Path| rustix::fs::statvfs(place).is_ok_and(|of| of.f_bavail.saturating_mul(of.f_frsize) >= FREE);
    let is_free = std::env::var_os("TMPDIR").is_none();
    let in_memory = Some(Path::new(IN_MEMORY)).filter(|place| is_free && room(place)).map(tempfile::tempdir_in);
    match in_memory {
        Some(Ok(folder)) => Ok(folder),
        _ => tempfile::tempdir(),
    }
}

/// Replaces `to` by a copy of the folder `from`, owners and rights included.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    let said = Command::new("cp").arg("-a").arg(from).arg(to).output()?;
    match said.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&said.stderr).into_owned())),
    }
}
