//! Two `tenure ingest` with a simulated Twitch: one publishes, the other stands by.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tenure_test_servers::free_port;

use super::ttl::TTL;
use crate::clock::shared_ns;

/// The time-out of a takeover: beyond it something is wrong.
const TIMEOUT: Duration = Duration::from_secs(40);
/// How long two daemons that are ready are left alone before the kill.
const SETTLE: Duration = Duration::from_millis(300);
const LEADS: &str = "Starting IRC subsystem";

/// Both daemons, and which of them leads.
pub(super) struct Daemons {
    settings: Settings,
    daemons: BTreeMap<&'static str, Daemon>,
    leader: &'static str,
    said: mpsc::Receiver<LogLine>,
    tell: mpsc::Sender<LogLine>,
    // Declared last, so that the daemons that use it end before it.
    _twitch: TerminateOnDrop,
    _folder: tempfile::TempDir,
}

/// Which daemon logged it, when, and the line.
type LogLine = (&'static str, u64, String);

struct Settings {
    tenure: PathBuf,
    store: String,
    bus: String,
    irc: String,
}

struct Daemon {
    process: TerminateOnDrop,
    http: u16,
}

impl Daemons {
    /// Starts all three and waits until one leads and both are ready.
    ///
    /// # Errors
    /// Where nobody does.
    pub(super) fn start(tenure: &Path, url: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder")?;
        let mut twitch = Command::new(tenure)
            .args(["twitch-sim", "--listen", "127.0.0.1:0", "--rate", "50", "--join-budget", "0", "--auth-budget", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the simulated Twitch")?;
        let mut line = String::new();
        BufReader::new(twitch.stdout.take().context("no output")?).read_line(&mut line)?;
        let twitch = TerminateOnDrop(twitch);
        let addresses: Value = serde_json::from_str(&line).context("the simulated Twitch does not say where it is")?;
        let irc = addresses["irc"].as_str().context("the simulated Twitch has no address")?;
        let irc = if irc.contains("://") { irc.to_owned() } else { format!("irc://{irc}") };
        let bus = format!("sqlite:{}", folder.path().join("bus.db").display());
        let settings = Settings { tenure: tenure.to_owned(), store: url.to_owned(), bus, irc };
        let (tell, said) = mpsc::channel();
        let daemons = BTreeMap::new();
        let mut daemons = Self { settings, daemons, leader: "", said, tell, _twitch: twitch, _folder: folder };
        daemons.add("a")?;
        daemons.add("b")?;
        daemons.leads()?;
        Ok(daemons)
    }

    /// Kills the leader's worker, and returns after how many milliseconds the other daemon reports that it leads. A
    /// fresh daemon replaces the killed one, whose supervisor would wait longer after each death.
    ///
    /// # Errors
    /// Where it does not.
    pub(super) fn take_over(&mut self) -> Result<f64> {
        for daemon in self.daemons.values() {
            daemon.ready()?;
        }
        std::thread::sleep(SETTLE);
        while self.said.try_recv().is_ok() {}
        let killed = self.leader;
        let worker = self.daemons.get(killed).context("no leader")?.worker()?;
        let at = shared_ns();
        kill_process(Pid::from_raw(worker).context("no process")?, Signal::KILL)?;
        let led = self.leads()?;
        ensure!(self.leader != killed, "the killed one leads again: the other did not take over");
        self.daemons.remove(killed);
        self.add(killed)?;
        Ok(led.saturating_sub(at) as f64 / 1e6)
    }

    fn add(&mut self, name: &'static str) -> Result<()> {
        let http = free_port();
        let Settings { tenure, store, bus, irc } = &self.settings;
        let mut child = Command::new(tenure)
            .args(["ingest", "--instance", name, "--store", store, "--bus", bus, "--irc-url", irc, "--ttl", TTL])
            .args(["--channel", "sim_channel_001", "--join-budget", "1000/10s", "--log-format", "json"])
            .args(["--http", &format!("127.0.0.1:{http}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start tenure ingest")?;
        let lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
        self.daemons.insert(name, Daemon { process: TerminateOnDrop(child), http });
        let tell = self.tell.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if tell.send((name, shared_ns(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(())
    }

    /// Waits until a daemon reports that it leads.
    fn leads(&mut self) -> Result<u64> {
        let mut log = String::new();
        loop {
            let Ok((name, at, line)) = self.said.recv_timeout(TIMEOUT) else {
                bail!("nobody leads within {TIMEOUT:?}: {log}");
            };
            if line.contains(LEADS) {
                self.leader = name;
                return Ok(at);
            }
            log.push_str(&line);
            log.push('\n');
        }
    }
}

impl Daemon {
    /// Returns once the daemon reports that it is ready: it reads every channel, and its store answers.
    fn ready(&self) -> Result<()> {
        let give_up = shared_ns() + u64::try_from(TIMEOUT.as_nanos())?;
        while !self.is_ready().unwrap_or(false) {
            ensure!(shared_ns() < give_up, "a daemon is not ready within {TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_ready(&self) -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200 "))
    }

    /// The supervisor's only child.
    fn worker(&self) -> Result<i32> {
        let pid = self.process.0.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.context("the supervisor has gone")?;
        children.split_whitespace().next().context("it has no worker")?.parse().context("not a process")
    }
}

/// A process that gets SIGTERM when this value is dropped.
struct TerminateOnDrop(Child);

impl Drop for TerminateOnDrop {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            _ = kill_process(pid, Signal::TERM);
        }
        _ = self.0.wait();
    }
}
