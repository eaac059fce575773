//! One instance of the demo: a real `tenure ingest`, supervisor and worker, as its own processes.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::places::Places;

/// The settings that all instances have in common.
#[derive(Clone, Debug)]
pub(crate) struct Common {
    pub(crate) folder: PathBuf,
    pub(crate) places: Places,
    pub(crate) irc: String,
    pub(crate) channels: Vec<String>,
    pub(crate) ttl: Duration,
}

/// One instance. Dropping it kills its processes.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: String,
    http: SocketAddr,
    common: Common,
    supervisor: Option<Child>,
}

impl Instance {
    /// Starts an instance of this name.
    pub(crate) fn start(name: &str, common: &Common) -> Result<Instance> {
        // The kernel picks a free port, which is released again: the worker binds it anew after each of its deaths.
        let http = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut instance = Instance { name: name.to_owned(), http, common: common.clone(), supervisor: None };
        instance.spawn()?;
        Ok(instance)
    }

    /// Starts its processes again after [`Instance::lose_host`] or [`Instance::wait_end`].
    pub(crate) fn spawn(&mut self) -> Result<()> {
        let common = &self.common;
        let log = File::options()
            .create(true)
            .append(true)
            .open(common.folder.join(format!("{}.log", self.name)))
            .context("cannot write the log of an instance")?;
        let mut command = Command::new(std::env::current_exe()?);
        // Settings in the environment must not change what the demo shows.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if ["TENURE_", "TWITCH_", "BUS_", "NATS_", "IRC_", "PUBLISH_", "MESSAGE_BUS", "NODE_ENV", "K_"]
                .iter()
                .any(|prefix| name_text.starts_with(prefix))
            {
                command.env_remove(&name);
            }
        }
        command
            .args(["ingest", "--instance", &self.name])
            .args(["--irc-url", &common.irc, "--lease", common.places.lease.as_str()])
            .env("BUS_PREFIX", &common.places.bus_prefix)
            // A server's URL may hold a password, which an argument list must not.
            .env("TENURE_STORE", &common.places.store)
            .env("TENURE_BUS", &common.places.bus)
            // What holds for the host must not change what the demo shows.
            .env(crate::host_settings::CONFIG, "")
            .args(["--ttl", &tenure_base_net::durations::show(common.ttl), "--http", &self.http.to_string()])
            .args([
                "--join-budget",
                "1000/10s",
                "--set",
                "auth_budget=1000/10s",
                "--set",
                "irc_reconnect_initial_ms=200",
            ])
            .args(["--set", "irc_reconnect_max_ms=1000", "--log-format", "json"])
            .args(common.channels.iter().flat_map(|channel| ["--channel", channel]))
            // The instances end with the demo, however it ends: the demo's end closes this pipe, and an instance that
            // is stopped at that moment is continued.
            .env(crate::ingest::supervisor::TIED, "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log);
        self.supervisor = Some(command.spawn().context("cannot start an instance")?);
        Ok(())
    }

    /// Kills the worker: the supervisor reaps it and releases.
    pub(crate) async fn kill_worker(&self) -> Result<()> {
        signal(self.worker().await?, Signal::KILL)
    }

    /// Ends worker and supervisor at once, as the loss of their host would: nobody is left to release.
    pub(crate) async fn lose_host(&mut self) -> Result<()> {
        let worker = self.worker().await?;
        // Stopped first, so that neither sees the other die.
        signal(self.pid()?, Signal::STOP)?;
        signal(worker, Signal::STOP)?;
        signal(worker, Signal::KILL)?;
        signal(self.pid()?, Signal::KILL)?;
        self.wait_end().await
    }

    /// Stops supervisor and worker with SIGSTOP; returns the worker's pid for [`Instance::resume`].
    pub(crate) async fn pause(&self) -> Result<i32> {
        let worker = self.worker().await?;
        signal(self.pid()?, Signal::STOP)?;
        signal(worker, Signal::STOP)?;
        Ok(worker)
    }

    /// Continues supervisor and worker with SIGCONT.
    pub(crate) fn resume(&self, worker: i32) -> Result<()> {
        signal(self.pid()?, Signal::CONT)?;
        signal(worker, Signal::CONT)
    }

    /// Asks the instance to drain and end.
    pub(crate) fn terminate(&self) -> Result<()> {
        signal(self.pid()?, Signal::TERM)
    }

    /// Waits until the instance's supervisor has ended.
    pub(crate) async fn wait_end(&mut self) -> Result<()> {
        for _ in 0..2_000 {
            let Some(child) = &mut self.supervisor else { return Ok(()) };
            if child.try_wait()?.is_some() {
                self.supervisor = None;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("instance {} did not end within 20 s", self.name)
    }

    /// The local address of the instance's chat connection.
    pub(crate) async fn chat_address(&self) -> Result<SocketAddr> {
        let twitch = self.get("/_debug/twitch").await?;
        let address = twitch.pointer("/connections/0/localAddress").and_then(Value::as_str);
        address.context("the instance has no chat connection")?.parse().context("not an address")
    }

    /// Whether the instance is ready, as `/readyz` says.
    pub(crate) async fn is_ready(&self) -> bool {
        self.get("/readyz").await.is_ok_and(|ready| ready.get("status").and_then(Value::as_str) == Some("ready"))
    }

    /// Whether the instance is ready and has decided on every line that it read: no line is left that only another
    /// instance can confirm as published.
    pub(crate) async fn is_settled(&self) -> bool {
        let undecided = |vars: Value| vars.pointer("/ingest/undecided").and_then(Value::as_u64);
        self.is_ready().await && self.vars().await.is_ok_and(|vars| undecided(vars) == Some(0))
    }

    /// The content of `/debug/vars`: election and counters.
    async fn vars(&self) -> Result<Value> {
        self.get("/debug/vars").await
    }

    async fn worker(&self) -> Result<i32> {
        let pid = self.vars().await?.get("pid").and_then(Value::as_i64).context("no pid")?;
        Ok(i32::try_from(pid)?)
    }

    fn pid(&self) -> Result<i32> {
        let child = self.supervisor.as_ref().context("the instance does not run")?;
        Ok(i32::try_from(child.id())?)
    }

    /// A handle that reads the instance's endpoints without borrowing the instance.
    pub(crate) fn probe(&self) -> Probe {
        Probe { name: self.name.clone(), http: self.http }
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.probe().get(path).await
    }
}

/// Reads an instance's endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) name: String,
    http: SocketAddr,
}

impl Probe {
    /// The content of `/debug/vars`: election and counters.
    pub(crate) async fn vars(&self) -> Result<Value> {
        self.get("/debug/vars").await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.http).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http);
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            anyhow::Ok(answer)
        };
        let answer = tokio::time::timeout(Duration::from_millis(700), exchange).await??;
        let text = String::from_utf8_lossy(&answer);
        let (_, body) = text.split_once("\r\n\r\n").context("no answer")?;
        Ok(serde_json::from_str(body)?)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(mut child) = self.supervisor.take() {
            // The whole process group is killed at once, stopped or not.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
        }
    }
}

fn signal(pid: i32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid).context("not a pid")?;
    kill_process(pid, signal).with_context(|| format!("cannot signal process {pid:?}"))
}
