//! Memory of an idle TLS connection: ours beside bare tokio-rustls, each in a process of its own.

pub(crate) mod bare;
pub(crate) mod ours;
pub(crate) mod server;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::pairs::{self, Batch, Effort};
use crate::report::{Report, Row, Target};

/// The name of the group.
pub(crate) const GROUP: &str = "memory";

/// Connections that are idle, and the memory that they take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Idle {
    connections: usize,
    before_bytes: u64,
    after_bytes: u64,
}

impl Idle {
    /// Records how much memory there was before the first connection.
    pub(crate) fn before(connections: usize) -> Result<Self> {
        raise_open_files();
        Ok(Self { connections, before_bytes: anonymous_bytes()?, after_bytes: 0 })
    }

    /// Waits a moment, so that memory that only connecting needs is freed, and measures again.
    pub(crate) async fn after(&mut self) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(500)).await;
        self.after_bytes = anonymous_bytes()?;
        Ok(())
    }

    fn batch(self) -> Batch {
        let cost = self.after_bytes.saturating_sub(self.before_bytes) as f64;
        Batch { things: self.connections as u64, cost }
    }
}

/// The server in a process of its own, which ends when this value is dropped.
pub(crate) struct Server {
    child: Child,
    folder: tempfile::TempDir,
    /// Where it listens on this machine.
    pub(crate) port: u16,
}

impl Server {
    /// Starts it and waits for its port.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut child = Command::new(env::current_exe()?)
            .arg("serve-tls")
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the TLS server")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let port = line.trim().parse();
        let server = Self { child, folder, port: port.unwrap_or(0) };
        if server.port == 0 {
            bail!("the TLS server did not start");
        }
        Ok(server)
    }

    /// The certificate to trust.
    pub(crate) fn ca(&self) -> std::path::PathBuf {
        self.folder.path().join(server::CA_FILE)
    }

    /// Makes the server send this many lines on every connection, counted over all calls.
    pub(crate) fn talk(&mut self, lines: u64) -> Result<()> {
        let stdin = self.child.stdin.as_mut().context("the TLS server has no input")?;
        writeln!(stdin, "{lines}").context("the TLS server has ended")
    }

    /// Runs one of this program's clients against the server, lets the server talk once the client is ready, and reads
    /// the result.
    pub(crate) fn listener<T: serde::de::DeserializeOwned>(
        &mut self,
        kind: &str,
        more: &[&str],
        lines: u64,
    ) -> Result<T> {
        let mut child = Command::new(env::current_exe()?)
            .arg(kind)
            .arg(self.port.to_string())
            .arg(self.ca())
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {kind}"))?;
        let mut stdout = BufReader::new(child.stdout.take().context("no output")?);
        let (mut ready, mut answer) = (String::new(), String::new());
        stdout.read_line(&mut ready)?;
        if ready.trim() == "ready" {
            self.talk(lines)?;
            stdout.read_line(&mut answer)?;
        }
        let status = child.wait()?;
        if !status.success() {
            bail!("{kind}: {status}");
        }
        serde_json::from_str(&answer).with_context(|| format!("{kind}: not the expected answer"))
    }

    /// Runs one of this program's clients against the server and reads its result.
    pub(crate) fn client<T: serde::de::DeserializeOwned>(&self, kind: &str, more: &[&str]) -> Result<T> {
        let output = Command::new(env::current_exe()?)
            .arg(kind)
            .arg(self.port.to_string())
            .arg(self.ca())
            .args(more)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {kind}"))?;
        if !output.status.success() {
            bail!("{kind}: {}", output.status);
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("{kind}: not the expected answer"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Measures with so many connections at once.
///
/// # Errors
/// Where the server or a client fails.
pub(crate) fn measure(report: &mut Report, effort: Effort, connections: usize) -> Result<()> {
    let server = Server::start()?;
    let count = connections.to_string();
    let hold = |kind: &str| -> Result<Batch> { Ok(server.client::<Idle>(kind, &[&count])?.batch()) };
    let compared = pairs::compare(effort, |_| hold("idle-ours"), |_| hold("idle-bare"))?;
    let target = Target { goal: 1.2, at_least: 1.5 };
    report.rows.push(
        Row::of_memory(GROUP, "memory per idle TLS connection", "bare tokio-rustls, 8 KiB buffer", compared, target).noting(format!(
            "{connections} connections with one channel each; growth of the process's anonymous memory; less is better"
        )),
    );
    Ok(())
}

/// This process's resident memory that is not backed by a file.
pub(crate) fn anonymous_bytes() -> Result<u64> {
    let status = fs::read_to_string(Path::new("/proc/self/status")).context("cannot read /proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("no RssAnon in /proc/self/status")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("RssAnon is not a number")?;
    Ok(kib * 1024)
}

/// Raises the limit on open files as far as the system allows this process.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // If the limit cannot be raised, connecting fails with an error that says so.
    _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
