//! Wall clocks of processes that a test can set, through libfaketime. Clocks that measure spans stay right.

use std::io;
use std::path::{Path, PathBuf};

/// Where Debian puts it, by architecture.
const LIBRARIES: [&str; 3] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// The wall clock of one process.
#[derive(Clone, Debug)]
pub struct WallClock {
    library: &'static str,
    file: PathBuf,
}

impl WallClock {
    /// A clock that is right for now, kept in `file`; `None` where libfaketime is absent (Debian's package `faketime`).
    pub fn new(file: &Path) -> io::Result<Option<WallClock>> {
        let Some(library) = LIBRARIES.into_iter().find(|path| Path::new(path).exists()) else { return Ok(None) };
        let clock = WallClock { library, file: file.to_owned() };
        clock.set("+0")?;
        Ok(Some(clock))
    }

    /// Sets it so far off, as in `+1h` or `-30s`, from the next time on that the process reads it.
    pub fn set(&self, offset: &str) -> io::Result<()> {
        // Never half written: a process that reads may do so at any moment.
        let written = self.file.with_extension("new");
        std::fs::write(&written, offset)?;
        std::fs::rename(written, &self.file)
    }

    /// What the process is to be started with.
    pub fn environment(&self) -> [(&'static str, String); 6] {
        [
            ("LD_PRELOAD", self.library.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // Without this every timer of the process hangs.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("FAKETIME_DISABLE_SHM", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ]
    }
}

/// The C library's own allocator, for programs with jemalloc: that one reads the clock before libfaketime is ready for it.
pub(crate) const OWN_ALLOCATOR: &str = "libc_malloc_debug.so.0";

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn hour(clock: &WallClock) -> i64 {
        let output = Command::new("date").arg("+%s").envs(clock.environment()).output().unwrap();
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let seen: i64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        (seen - i64::try_from(now).unwrap() + 1_800).div_euclid(3_600)
    }

    /// A process reads the clock that was set, and the right one before.
    #[test]
    fn a_process_reads_the_clock_that_was_set() {
        let folder = tempfile::tempdir().unwrap();
        let Some(clock) = WallClock::new(&folder.path().join("clock")).unwrap() else {
            println!("SKIPPED: wall clocks: libfaketime is absent; install it with: apt-get install faketime");
            return;
        };
        assert_eq!(hour(&clock), 0);
        clock.set("+1h").unwrap();
        assert_eq!(hour(&clock), 1);
        clock.set("-1h").unwrap();
        assert_eq!(hour(&clock), -1);
    }
}
