//! One server process: started, waited for, paused, killed, started again, and ended when its value is dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the server is asked meanwhile whether it is ready.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Why a server did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program could not be started, or its log not written.
    #[error("{name} cannot be started: {error}")]
    Io {
        /// The server's name.
        name: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The server ended, or did not answer in time.
    #[error("{name} {what}; the end of its log:\n{log}")]
    NotReady {
        /// The server's name.
        name: String,
        /// What happened to it.
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
}

/// A running (or stopped, or killed) server process. Dropping it kills the process and waits for its end.
#[derive(Debug)]
pub struct Server {
    name: String,
    command: Command,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Starts `command` in the foreground, its output in `log`, and waits until `ready` answers true.
    pub fn start(
        name: impl Into<String>,
        command: Command,
        log: impl Into<PathBuf>,
        ready: impl FnMut() -> bool,
    ) -> Result<Server, StartError> {
        let mut server = Server { name: name.into(), command, log: log.into(), child: None };
        server.start_again(ready)?;
        Ok(server)
    }

    /// Starts the same command again after [`Server::kill`], and waits until `ready` answers true.
    pub fn start_again(&mut self, mut ready: impl FnMut() -> bool) -> Result<(), StartError> {
        self.kill();
        let failed = |error| StartError::Io { name: self.name.clone(), error };
        let out = File::options().create(true).append(true).open(&self.log).map_err(failed)?;
        let err = out.try_clone().map_err(failed)?;
        self.command.stdin(Stdio::null()).stdout(out).stderr(err);
        self.child = Some(self.command.spawn().map_err(failed)?);
        let mut waited = Duration::ZERO;
        while !ready() {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Err(self.not_ready(format!("ended: {status}")));
            }
            if waited >= START_TIMEOUT {
                return Err(self.not_ready(format!("did not answer within {START_TIMEOUT:?}")));
            }
            std::thread::sleep(POLL_INTERVAL);
            waited += POLL_INTERVAL;
        }
        Ok(())
    }

    /// Its process id, while it was not killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Stops the process as a whole (SIGSTOP): it answers nobody, and its connections stay open. Returns once each of its
    /// threads stands still (on Linux; elsewhere at once).
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let mut waited = Duration::ZERO;
        while !self.is_stopped() && waited < START_TIMEOUT {
            std::thread::sleep(POLL_INTERVAL);
            waited += POLL_INTERVAL;
        }
    }

    /// Whether none of its threads runs; true where that cannot be determined.
    pub fn is_stopped(&self) -> bool {
        let Some(pid) = self.pid() else { return true };
        let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The state follows the name, which stands in parentheses and may contain parentheses.
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
        })
    }

    /// Lets a stopped process go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks the process to end (SIGTERM) and waits for it.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Kills the process (SIGKILL) and waits for its end. Its data stay for [`Server::start_again`].
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        if let Some(pid) = pid {
            // The process was not waited for yet, so the pid is still its own.
            let _ = kill_process(pid, signal);
        }
    }

    fn not_ready(&mut self, what: String) -> StartError {
        self.kill();
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        StartError::NotReady { name: self.name.clone(), what, log: end }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Result<Server, StartError> {
        let mut command = Command::new("sleep");
        command.arg("600");
        Server::start("sleep", command, folder.join("log"), || true)
    }

    /// A dropped server is gone, whatever state it was in.
    #[test]
    fn a_dropped_server_is_gone_even_when_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let server = sleeper(folder.path()).unwrap();
        let process = PathBuf::from(format!("/proc/{}", server.pid().unwrap()));
        server.stop();
        assert!(process.exists());
        drop(server);
        assert!(!process.exists());
    }

    /// A server that ends at once is an error with the end of its log, not a wait.
    #[test]
    fn a_server_that_ends_is_an_error_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such option; exit 3"]);
        let error = Server::start("sh", command, folder.path().join("log"), || false).unwrap_err().to_string();
        assert!(error.contains("no such option") && error.contains("exit status: 3"), "{error}");
    }
}
