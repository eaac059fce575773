//! Two `tenure run` for one command: one runs the command, the other waits.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::command::StartReport;
use crate::clock::shared_ns;
use crate::servers::Access;

/// Which process is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killed {
    /// The command.
    Command,
    /// The program that campaigns and renews.
    Tenure,
}

/// The time-out of a takeover, above the ttl: beyond it something is wrong.
const TIMEOUT: Duration = Duration::from_secs(40);
/// How long the waiting program is left alone before the kill.
const SETTLE: Duration = Duration::from_millis(150);

/// Both programs, and the command that runs.
pub(crate) struct Singleton {
    program: Program,
    folder: tempfile::TempDir,
    listener: UnixListener,
    leader: Instance,
    standby: Instance,
    works: StartReport,
}

/// What is started, over and over.
struct Program {
    tenure: PathBuf,
    store: Access,
    ttl: &'static str,
}

struct Instance {
    child: Child,
    stderr: BufReader<ChildStderr>,
}

impl Singleton {
    /// Starts both.
    ///
    /// # Errors
    /// Where the first does not lead, or the second does not wait.
    pub(crate) fn start(tenure: &Path, store: &Access, ttl: &'static str) -> Result<Self> {
        let program = Program { tenure: tenure.to_owned(), store: store.clone(), ttl };
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let listener = UnixListener::bind(folder.path().join("works")).context("cannot listen")?;
        let leader = Instance::start(&program, folder.path())?;
        let works = hear(&listener)?;
        let mut standby = Instance::start(&program, folder.path())?;
        standby.waits()?;
        Ok(Self { program, folder, listener, leader, standby, works })
    }

    /// Kills one process, and returns after how many milliseconds the other program's command works. Then the killed
    /// side waits in its place.
    ///
    /// # Errors
    /// Where that does not happen, or two commands live.
    pub(crate) fn take_over(&mut self, killed: Killed) -> Result<f64> {
        std::thread::sleep(SETTLE);
        let target = match killed {
            Killed::Command => self.works.pid,
            Killed::Tenure => i32::try_from(self.leader.child.id())?,
        };
        let at = shared_ns();
        kill_process(Pid::from_raw(target).context("no process")?, Signal::KILL)?;
        let works = hear(&self.listener)?;
        ensure!(works.term > self.works.term, "terms must grow");
        ensure!(!is_alive(self.works.pid), "two commands at a time");
        self.leader.child.wait()?;
        let fresh = Instance::start(&self.program, self.folder.path())?;
        self.leader = std::mem::replace(&mut self.standby, fresh);
        self.standby.waits()?;
        self.works = works;
        Ok(works.at_ns.saturating_sub(at) as f64 / 1e6)
    }
}

impl Instance {
    fn start(program: &Program, folder: &Path) -> Result<Self> {
        let Program { tenure, store, ttl } = program;
        let mut child = Command::new(tenure)
            .args(["run", "--lease", "bench/takeover", "--ttl", ttl, "--store", &store.url, "--"])
            .envs(store.environment.iter().cloned())
            .arg(std::env::current_exe().context("cannot find this program")?)
            .arg("work")
            .arg(folder.join("works"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start tenure")?;
        let stderr = BufReader::new(child.stderr.take().context("no standard error")?);
        Ok(Self { child, stderr })
    }

    /// Returns once the program reports that it waits.
    fn waits(&mut self) -> Result<()> {
        let mut said = String::new();
        while self.stderr.read_line(&mut said)? > 0 {
            if said.contains("waiting for") {
                return Ok(());
            }
        }
        bail!("it does not wait: {said}")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // On SIGTERM the program ends its command and releases its lease.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            _ = kill_process(pid, Signal::TERM);
        }
        _ = self.child.wait();
    }
}

/// Receives the next command's report.
fn hear(listener: &UnixListener) -> Result<StartReport> {
    listener.set_nonblocking(true)?;
    let give_up = shared_ns() + u64::try_from(TIMEOUT.as_nanos())?;
    let (mut stream, _) = loop {
        match listener.accept() {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                ensure!(shared_ns() < give_up, "no command works within {TIMEOUT:?}");
                // Polling is precise enough, because the command itself reports the time that counts.
                std::thread::sleep(Duration::from_millis(1));
            }
            accepted => break accepted?,
        }
    };
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        let mut byte = [0];
        ensure!(stream.read(&mut byte)? == 1, "the command said nothing");
        line.extend(byte);
    }
    serde_json::from_slice(&line).context("not the expected words")
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}
