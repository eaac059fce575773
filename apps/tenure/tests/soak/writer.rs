//! The child that `tenure run` runs here: it says that it is alive, as often as it can, and under which term.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The argument that makes this program the child.
pub(crate) const MODE: &str = "--writer";
/// How often it says so.
const EVERY: Duration = Duration::from_millis(2);

/// Writes `BOOTTIME_NS PID TERM` lines for ever; with `daemon`, a grandchild in a session of its own does so too.
pub(crate) fn run(file: &str, daemon: bool) -> ! {
    let term = std::env::var("TENURE_TERM").unwrap_or_else(|_| "none".to_owned());
    if daemon {
        // It leaves the process group, the session and its parent's care: only a sub-reaper still finds it.
        let program = std::env::current_exe().unwrap();
        // `setsid --fork` returns at once, so that nobody is left who would wait for the grandchild.
        let mut setsid = Command::new("setsid");
        setsid.arg("--fork").arg(program).args([MODE, file]).stdin(Stdio::null()).stdout(Stdio::null());
        assert!(setsid.status().unwrap().success());
    }
    // One write a line, appended: lines of several processes do not mix.
    let mut file = File::options().append(true).create(true).mode(0o600).open(file).unwrap();
    loop {
        let line = format!("{} {} {term}\n", boottime().as_nanos(), std::process::id());
        file.write_all(line.as_bytes()).unwrap();
        std::thread::sleep(EVERY);
    }
}

/// The clock that counts through sleep, and is the same for every process of this machine.
pub(crate) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}
