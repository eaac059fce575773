//! A fleet for one test: a simulated Twitch, instances as processes, their store and bus in a folder of their own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use futures_util::StreamExt;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tenure_core::{KeyPrefix, LeaseRecord};
use tenure_store::LeaseStore;
use tenure_twitch_sim::{Checker, Sim, SimConfig, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest that anything may take here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn tenure() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        if ["TENURE_", "TWITCH_", "BUS_", "NATS_", "IRC_", "PUBLISH_", "MESSAGE_BUS", "NODE_ENV", "K_"]
            .iter()
            .any(|prefix| text.starts_with(prefix))
        {
            command.env_remove(&name);
        }
    }
    // Nor may the settings of the host, or of whoever runs the tests.
    command.env("TENURE_CONFIG", "");
    command.stdin(Stdio::null());
    command
}

/// Waits until `condition` holds; panics with `what` where it does not in time.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let give_up = tokio::time::Instant::now() + DEADLINE;
    while !condition().await {
        assert!(tokio::time::Instant::now() < give_up, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The simulator for tests: no budgets of real Twitch, everything else as it is.
pub(crate) fn quick(channels: usize, rate: f64) -> SimConfig {
    SimConfig {
        channels: SimConfig::numbered_channels(channels),
        rate,
        join_budget: None,
        auth_budget: None,
        queue_bytes: 64 << 20,
        ..SimConfig::default()
    }
}

/// The fleet.
pub(crate) struct Fleet {
    pub(crate) folder: TempDir,
    pub(crate) sim: Sim,
    pub(crate) channels: Vec<String>,
    pub(crate) ttl: &'static str,
    pub(crate) join_budget: &'static str,
    pub(crate) extra: Vec<String>,
    /// Where instances find the chat, where it is not the simulator's plain port.
    pub(crate) irc: Option<String>,
    /// The store, where it is not a file in the folder.
    pub(crate) store: Option<String>,
    /// The NATS server that is the bus, where it is not a file in the folder.
    pub(crate) nats: Option<String>,
    /// Options of the bus that is a file: what stands behind its path.
    pub(crate) bus_options: &'static str,
}

/// One instance of it. Dropping it kills it.
pub(crate) struct Instance {
    pub(crate) http: SocketAddr,
    pub(crate) log: PathBuf,
    child: Child,
}

impl Fleet {
    pub(crate) async fn new(sim: SimConfig, ttl: &'static str) -> Fleet {
        let channels = sim.channels.clone();
        let sim = Sim::start(sim).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let join_budget = "1000/10s";
        Fleet {
            folder,
            sim,
            channels,
            ttl,
            join_budget,
            extra: Vec::new(),
            irc: None,
            store: None,
            nats: None,
            bus_options: "",
        }
    }

    pub(crate) fn store_url(&self) -> String {
        let file = || format!("sqlite:{}", self.folder.path().join("leases.db").display());
        self.store.clone().unwrap_or_else(file)
    }

    pub(crate) fn bus_url(&self) -> String {
        let file = || format!("sqlite:{}{}", self.bus_file().display(), self.bus_options);
        self.nats.clone().unwrap_or_else(file)
    }

    pub(crate) fn bus_file(&self) -> PathBuf {
        self.folder.path().join("chat.db")
    }

    pub(crate) fn instance(&self, name: &str) -> Instance {
        self.instance_with(name, &[])
    }

    pub(crate) fn instance_with(&self, name: &str, flags: &[&str]) -> Instance {
        self.instance_under(name, flags, &[])
    }

    /// The same with this in its environment.
    pub(crate) fn instance_under(&self, name: &str, flags: &[&str], environment: &[(&str, &str)]) -> Instance {
        let http = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
        let log = self.folder.path().join(format!("{name}.log"));
        let irc = self.irc.clone().unwrap_or_else(|| format!("irc://{}", self.sim.addresses().irc));
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = tenure()
            .args(["ingest", "--instance", name, "--store", &self.store_url()])
            .args(["--bus", &self.bus_url()])
            .args(["--irc-url", &irc, "--ttl", self.ttl])
            .args(["--http", &http.to_string(), "--log-format", "json", "--join-budget", self.join_budget])
            .args(["--set", "irc_reconnect_initial_ms=100", "--set", "irc_reconnect_max_ms=500"])
            .args(self.channels.iter().flat_map(|channel| ["--channel", channel]))
            .args(&self.extra)
            .args(flags)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Instance { http, log, child }
    }

    /// The lease as the store shows it.
    pub(crate) async fn lease(&self) -> Option<LeaseRecord> {
        let store = tenure_open::open(&self.store_url()).await.ok()?;
        record(&*store).await
    }

    /// Waits until somebody leads; answers the record.
    pub(crate) async fn leader(&self) -> LeaseRecord {
        let mut found = None;
        until("a leader", async || {
            found = self.lease().await;
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// The bodies on the bus, read from its file, or by another client than the product's.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        match &self.nats {
            None => bodies(&self.bus_file()),
            Some(url) => tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(stored(url))),
        }
    }

    /// The checker's verdict now.
    pub(crate) fn verdict(&self) -> Verdict {
        Checker::judge(&self.sim.ledger(), self.bodies())
    }

    /// Waits until all lines that are queued were written to sockets, where these take them, and until none of them is missing on
    /// the bus; answers the verdict.
    pub(crate) async fn settled(&self) -> Verdict {
        self.sim.drained(Duration::from_secs(5)).await;
        until("everything on the bus", async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            (self.nats.is_some() || self.bus_file().exists()) && self.verdict().lost.count == 0
        })
        .await;
        self.verdict()
    }

    /// Envelopes of this type, as JSON.
    pub(crate) fn envelopes(&self, kind: &str) -> Vec<Value> {
        let all = self.bodies();
        let all = all.iter().map(|body| serde_json::from_slice::<Value>(body).unwrap());
        all.filter(|envelope| envelope["type"] == kind).collect()
    }
}

/// The bodies in a bus's file; none where it is not one yet.
pub(crate) fn bodies(file: &Path) -> Vec<Vec<u8>> {
    let read = || -> rusqlite::Result<Vec<Vec<u8>>> {
        let connection = rusqlite::Connection::open_with_flags(file, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(DEADLINE)?;
        let mut rows =
            connection.prepare("SELECT body FROM envelopes WHERE subject = 'internal.ingress.v1' ORDER BY pos")?;
        let rows = rows.query_map([], |row| Ok(row.get_ref(0)?.as_bytes()?.to_vec()))?;
        rows.collect()
    };
    read().unwrap_or_default()
}

/// The bodies in the stream `TENURE` of a NATS server; none where there is no stream yet.
async fn stored(url: &str) -> Vec<Vec<u8>> {
    let client = async_nats::connect(url).await.unwrap();
    let Ok(mut stream) = async_nats::jetstream::new(client).get_stream("TENURE").await else { return Vec::new() };
    let count = usize::try_from(stream.info().await.unwrap().state.messages).unwrap();
    let config = async_nats::jetstream::consumer::pull::OrderedConfig {
        filter_subject: "internal.ingress.v1".to_owned(),
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap().take(count);
    let mut bodies = Vec::new();
    while let Some(message) = messages.next().await {
        bodies.push(message.unwrap().payload.to_vec());
    }
    bodies
}

pub(crate) async fn record(store: &dyn LeaseStore) -> Option<LeaseRecord> {
    let key = "system/ircLeader";
    let records = store.list(&KeyPrefix::new(key).unwrap()).await.ok()?;
    records.into_iter().find(|record| record.key.as_str() == key)
}

impl Instance {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The worker's pid, once its endpoints answer.
    pub(crate) async fn worker(&self) -> i32 {
        let mut pid = None;
        until("the worker's endpoints", async || {
            pid = self.get("/debug/vars").await.and_then(|(_, vars)| vars["pid"].as_i64());
            pid.is_some()
        })
        .await;
        i32::try_from(pid.unwrap()).unwrap()
    }

    /// Status code and JSON of an endpoint; nothing where it does not answer.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, Value)> {
        let (code, body) = self.get_text(path).await?;
        Some((code, serde_json::from_str(&body).ok()?))
    }

    pub(crate) async fn get_text(&self, path: &str) -> Option<(u16, String)> {
        let (head, body) = self.get_answer(path).await?;
        Some((head.split_whitespace().nth(1)?.parse().ok()?, body))
    }

    /// Head and body of an endpoint's answer.
    pub(crate) async fn get_answer(&self, path: &str) -> Option<(String, String)> {
        let exchange = async {
            let mut stream = tokio::net::TcpStream::connect(self.http).await?;
            let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        let answer = tokio::time::timeout(Duration::from_secs(2), exchange).await.ok()?.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.to_owned(), body.to_owned()))
    }

    pub(crate) async fn ready(&self) {
        until("readiness", async || self.get("/readyz").await.is_some_and(|(code, _)| code == 200)).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Worker and supervisor killed at once: nobody is left to release.
    pub(crate) async fn lose_host(&mut self) {
        let worker = self.worker().await;
        self.signal(Signal::STOP);
        send(worker, Signal::STOP);
        send(worker, Signal::KILL);
        self.signal(Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let mut status = None;
        until("the instance's end", async || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process of a test. Dropping it ends it, and waits for that.
pub(crate) struct Started(pub(crate) Child);

impl Drop for Started {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            send(pid, Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// Whether a process is there and not a zombie.
pub(crate) fn alive(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}
