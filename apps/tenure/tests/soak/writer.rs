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

/// How often each of many says so.
const RARELY: Duration = Duration::from_millis(100);
/// How many a crowd is.
const CROWD: usize = 200;

/// Writes `BOOTTIME_NS PID TERM` lines for ever. With `daemon`, a grandchild in a session of its own does so too; with
/// `crowd`, many of them; with `full`, as many as there can be, which are started anew for ever.
pub(crate) fn run(file: &str, beside: Option<&str>) -> ! {
    let term = std::env::var("TENURE_TERM").unwrap_or_else(|_| "none".to_owned());
    let mut every = EVERY;
    match beside {
        Some("daemon") => daemon(file, None),
        Some("crowd") => (0..CROWD).for_each(|_| daemon(file, Some("many"))),
        Some("full") => {
            let file = file.to_owned();
            std::thread::spawn(move || {
                let fill = || another(&file).spawn();
                loop {
                    // Whoever is missing is replaced: the table stays full.
                    while fill().is_ok() {}
                    std::thread::sleep(EVERY);
                }
            });
        }
        Some(_) => every = RARELY,
        None => {}
    }
    // One write a line, appended: lines of several processes do not mix.
    let mut file = File::options().append(true).create(true).mode(0o600).open(file).unwrap();
    loop {
        let line = format!("{} {} {term}\n", boottime().as_nanos(), std::process::id());
        file.write_all(line.as_bytes()).unwrap();
        std::thread::sleep(every);
    }
}

/// A grandchild that leaves the process group, the session and its parent's care: only a sub-reaper still finds it.
fn daemon(file: &str, mode: Option<&str>) {
    // `setsid --fork` returns at once, so that nobody is left who would wait for the grandchild.
    let mut setsid = Command::new("setsid");
    setsid.arg("--fork").arg(std::env::current_exe().unwrap()).args([MODE, file]).args(mode);
    assert!(setsid.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success());
}

/// One of many.
fn another(file: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([MODE, file, "many"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The clock that counts through sleep, and is the same for every process of this machine.
pub(crate) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap(), u32::try_from(now.tv_nsec).unwrap())
}
