//! Redis (or Valkey) servers: a single one, a master with replicas watched by three Sentinels; clusters are in `cluster`.

mod cluster;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

pub use self::cluster::{RedisCluster, RedisClusterOptions};
use crate::folder::durable_folder;
use crate::wall_clock::OWN_ALLOCATOR;
use crate::{Cut, CutOff, Missing, Proxy, Server, StartError, WallClock, find, free_port_and};

const REMEDY: &str = "install the Debian packages redis-server, redis-sentinel and redis-tools";
const VALKEY_REMEDY: &str = "optional: install valkey-server (Debian 12 has it in backports)";

/// How far a node's port for the others of its cluster is from its port for clients.
const BUS: u16 = 10_000;

/// How long several servers may take to find each other.
const ASSEMBLY_TIMEOUT: Duration = Duration::from_secs(60);

/// The programs of Redis, or of Valkey in their place.
#[derive(Clone, Debug)]
pub struct RedisPrograms {
    server: PathBuf,
    cli: PathBuf,
}

/// The options of a server. The default has no password, no TLS and persists nothing.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// The password that clients must authenticate with.
    pub password: Option<String>,
    /// Accepts TLS connections alone, where given.
    pub tls: Option<RedisTls>,
    /// Writes every change to disk before it is answered (`appendfsync always`), so that a kill loses nothing.
    pub durable: bool,
    /// The server's wall clock, where a test sets it.
    pub clock: Option<WallClock>,
    /// Further arguments, such as `["--maxmemory", "100mb"]`.
    pub arguments: Vec<String>,
}

/// The files of a server that speaks TLS, in PEM.
#[derive(Clone, Debug)]
pub struct RedisTls {
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The certificate of the authority that signed it.
    pub ca: PathBuf,
}

/// One running server, on a port of 127.0.0.1 and on a socket in its folder.
#[derive(Debug)]
pub struct Redis {
    // Declared before the folder, so that the server ends before its files are removed.
    server: Server,
    programs: RedisPrograms,
    options: RedisOptions,
    port: u16,
    folder: TempDir,
}

/// A master, two replicas and three Sentinels that call it [`RedisSentinels::MASTER`]; a dead master is replaced after
/// two to four seconds.
#[derive(Debug)]
pub struct RedisSentinels {
    sentinels: Vec<Redis>,
    servers: Vec<Redis>,
    /// The ways to the servers, one each; none where they come to each other directly.
    ways: Vec<Proxy>,
}

impl RedisPrograms {
    /// Redis's own.
    pub fn find() -> Result<RedisPrograms, Missing> {
        Ok(RedisPrograms { server: find("redis-server", REMEDY)?, cli: find("redis-cli", REMEDY)? })
    }

    /// Valkey's.
    pub fn find_valkey() -> Result<RedisPrograms, Missing> {
        Ok(RedisPrograms {
            server: find("valkey-server", VALKEY_REMEDY)?,
            cli: find("valkey-cli", VALKEY_REMEDY).or_else(|_| find("redis-cli", REMEDY))?,
        })
    }

    /// Starts a single server.
    pub fn start(&self, options: RedisOptions) -> Result<Redis, StartError> {
        let folder = if options.durable { durable_folder() } else { tempfile::tempdir() }.map_err(io("redis"))?;
        let port = free_port_and(BUS);
        let mut command = Command::new(&self.server);
        command.args(["--bind", "127.0.0.1", "--daemonize", "no", "--save", "", "--dir"]).arg(folder.path());
        command.arg("--unixsocket").arg(folder.path().join("redis.sock"));
        command.args(["--appendonly", if options.durable { "yes" } else { "no" }, "--appendfsync", "always"]);
        match &options.tls {
            None => drop(command.args(["--port", &port.to_string()])),
            Some(tls) => {
                command.args(["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
                command.arg("--tls-cert-file").arg(&tls.certificate).arg("--tls-key-file").arg(&tls.key);
                command.arg("--tls-ca-cert-file").arg(&tls.ca);
            }
        }
        if let Some(password) = &options.password {
            // A test's password is no secret, so it may stand in the arguments.
            command.args(["--requirepass", password]);
        }
        if let Some(clock) = &options.clock {
            let beside_jemalloc = |(name, value): (&'static str, String)| match name {
                "LD_PRELOAD" => (name, format!("{OWN_ALLOCATOR}:{value}")),
                _ => (name, value),
            };
            command.envs(clock.environment().map(beside_jemalloc));
        }
        command.args(&options.arguments);
        self.launch("redis", command, options, port, folder)
    }

    /// Starts a master with two replicas, and three Sentinels that watch it.
    pub fn start_sentinels(&self) -> Result<RedisSentinels, StartError> {
        self.start_sentinels_of(3)
    }

    /// Starts the same servers with `count` Sentinels.
    pub fn start_sentinels_of(&self, count: usize) -> Result<RedisSentinels, StartError> {
        self.assemble_sentinels(count, false)
    }

    /// Starts the same servers, each behind a way that can be cut: replicas and Sentinels come through it, and name it to
    /// clients ([`RedisSentinels::named`]).
    pub fn start_sentinels_apart(&self) -> Result<RedisSentinels, StartError> {
        self.assemble_sentinels(3, true)
    }

    fn assemble_sentinels(&self, count: usize, apart: bool) -> Result<RedisSentinels, StartError> {
        let servers = (0..3).map(|_| self.start(RedisOptions::default())).collect::<Result<Vec<_>, _>>()?;
        let ways = servers.iter().filter(|_| apart).map(|server| Proxy::to(server.port).map_err(io("a way to redis")));
        let ways = ways.collect::<Result<Vec<_>, _>>()?;
        let mut all = RedisSentinels { sentinels: Vec::new(), servers, ways };
        let master = all.named(0);
        for at in 0..all.servers.len() {
            all.announce(at);
            if at > 0 {
                all.servers[at].cli(["replicaof", "127.0.0.1", &master.to_string()]);
            }
        }
        all.sentinels = (0..count).map(|_| self.start_sentinel(master)).collect::<Result<Vec<_>, _>>()?;
        until("redis sentinels", "", || {
            all.servers[0].cli(["info", "replication"]).contains("connected_slaves:2")
                && all.sentinels.iter().all(|sentinel| {
                    let said = sentinel.cli(["info", "sentinel"]);
                    said.contains("status=ok") && said.contains(&format!("slaves=2,sentinels={count}"))
                })
        })?;
        Ok(all)
    }

    fn start_sentinel(&self, master: u16) -> Result<Redis, StartError> {
        let (folder, port) = (tempfile::tempdir().map_err(io("redis sentinel"))?, free_port_and(BUS));
        let (name, folder_path) = (RedisSentinels::MASTER, folder.path().display());
        // Sentinel rewrites its own configuration.
        let file = folder.path().join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir \"{folder_path}\"\n\
             sentinel monitor {name} 127.0.0.1 {master} 2\nsentinel down-after-milliseconds {name} 1000\n\
             sentinel failover-timeout {name} 3000\nsentinel parallel-syncs {name} 2\n"
        );
        std::fs::write(&file, text).map_err(io("redis sentinel"))?;
        let mut command = Command::new(&self.server);
        command.arg(&file).arg("--sentinel");
        self.launch("redis sentinel", command, RedisOptions::default(), port, folder)
    }

    fn launch(
        &self,
        name: &str,
        command: Command,
        options: RedisOptions,
        port: u16,
        folder: TempDir,
    ) -> Result<Redis, StartError> {
        let tls = options.tls.is_some();
        let log = folder.path().join("log");
        let server = Server::start(name, command, log, || answers(port, tls))?;
        Ok(Redis { server, programs: self.clone(), options, port, folder })
    }
}

impl Redis {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Its folder: log and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL that names it, without its password.
    pub fn url(&self) -> String {
        let scheme = if self.options.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Returns what `redis-cli ARGUMENTS` prints, on stdout and stderr together.
    pub fn cli<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let mut command = Command::new(&self.programs.cli);
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(tls) = &self.options.tls {
            command.arg("--tls").arg("--cacert").arg(&tls.ca);
        }
        if let Some(password) = &self.options.password {
            command.env("REDISCLI_AUTH", password);
        }
        match command.args(arguments).output() {
            Ok(said) => String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr),
            Err(error) => format!("redis-cli cannot be started: {error}"),
        }
    }

    /// The server's process id, while it was not killed.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Stops the server as a whole (SIGSTOP).
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Whether it is stopped; also where it was killed.
    pub fn is_stopped(&self) -> bool {
        self.server.is_stopped()
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Starts it again, with the data that it kept, if any.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        let (port, tls) = (self.port, self.options.tls.is_some());
        self.server.start_again(|| answers(port, tls))
    }
}

impl Redis {
    /// Saves a copy of the data on its disk: with [`RedisOptions::durable`], of everything that it has acknowledged.
    pub fn save(&self) -> Result<(), StartError> {
        copy(&self.folder.path().join(DATA), &self.folder.path().join(SAVED)).map_err(io("redis"))
    }

    /// Kills it, and starts it again with the copy that was saved last, or with no data where none was saved.
    pub fn rewind(&mut self) -> Result<(), StartError> {
        self.kill();
        copy(&self.folder.path().join(SAVED), &self.folder.path().join(DATA)).map_err(io("redis"))?;
        self.start_again()
    }

    /// Kills it, and starts it again without any data.
    pub fn lose(&mut self) -> Result<(), StartError> {
        self.kill();
        let data = self.folder.path().join(DATA);
        if data.exists() {
            std::fs::remove_dir_all(data).map_err(io("redis"))?;
        }
        self.start_again()
    }
}

/// The folder of a server's append-only files, and the folder of their copy.
const DATA: &str = "appendonlydir";
const SAVED: &str = "saved";

/// Replaces `to` by a copy of the folder `from`, or by nothing if there is no such folder.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if to.exists() {
        std::fs::remove_dir_all(to)?;
    }
    if from.exists() {
        std::fs::create_dir(to)?;
        for file in std::fs::read_dir(from)? {
            let file = file?;
            std::fs::copy(file.path(), to.join(file.file_name()))?;
        }
    }
    Ok(())
}

impl RedisSentinels {
    /// The name of the master in the Sentinels' configuration.
    pub const MASTER: &str = "tenure-test";

    /// The URL that names all Sentinels, and the master by its name.
    pub fn url(&self) -> String {
        format!("redis-sentinel://{}/{}", hosts(&self.sentinels), Self::MASTER)
    }

    /// The Sentinels.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// The Sentinels, to kill one.
    pub fn sentinels_mut(&mut self) -> &mut [Redis] {
        &mut self.sentinels
    }

    /// The server that most Sentinels call the master; waits while they do not agree.
    ///
    /// # Panics
    /// Where they go on to name none of these servers.
    pub fn master(&self) -> &Redis {
        &self.servers[self.master_at()]
    }

    /// As [`RedisSentinels::master`], to kill it.
    ///
    /// # Panics
    /// Where they name none of these servers.
    pub fn master_mut(&mut self) -> &mut Redis {
        let at = self.master_at();
        &mut self.servers[at]
    }

    /// Every server, masters and replicas.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// Waits until one master has all other servers as its replicas, as each Sentinel sees it.
    pub fn wait_until_whole(&self) -> Result<(), StartError> {
        until("redis sentinels", "", || {
            let roles = |role: &str| {
                let plays = |server: &&Redis| server.cli(["info", "replication"]).contains(role);
                self.servers.iter().filter(plays).count()
            };
            roles("role:master") == 1 && roles("master_link_status:up") == self.servers.len() - 1
        })
    }

    /// Every server, masters and replicas, to kill one.
    pub fn servers_mut(&mut self) -> &mut [Redis] {
        &mut self.servers
    }

    /// The port by which the others and the Sentinels name this server.
    pub fn named(&self, server: usize) -> u16 {
        self.ways.get(server).map_or(self.servers[server].port, Proxy::port)
    }

    /// Cuts a server off from the others and from the Sentinels, but not from clients that know its own port, until the value
    /// is dropped. Of servers that were started apart.
    pub fn cut_off(&self, server: usize, how: Cut) -> CutOff {
        CutOff::cut(self.ways.get(server).into_iter(), how)
    }

    /// Starts a server again that was killed; the Sentinels make it a replica.
    pub fn start_again(&mut self, server: usize) -> Result<(), StartError> {
        self.servers[server].start_again()?;
        self.announce(server);
        Ok(())
    }

    fn announce(&self, server: usize) {
        if let Some(way) = self.ways.get(server) {
            self.servers[server].cli(["config", "set", "replica-announce-port", &way.port().to_string()]);
        }
    }

    /// Which of the servers is the master: see [`RedisSentinels::master`].
    ///
    /// # Panics
    /// Where they name none of these servers.
    pub fn master_at(&self) -> usize {
        let votes = |server: usize| {
            let port = self.named(server).to_string();
            let named = |sentinel: &&Redis| {
                sentinel
                    .cli(["sentinel", "get-master-addr-by-name", Self::MASTER])
                    .split_whitespace()
                    .any(|word| word.trim_matches('"') == port)
            };
            self.sentinels.iter().filter(named).count()
        };
        // During a failover the Sentinels name different masters for a moment.
        for _ in 0..600 {
            if let Some(at) = (0..self.servers.len()).find(|server| votes(*server) * 2 > self.sentinels.len()) {
                return at;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the Sentinels agree on no master")
    }
}

fn hosts(servers: &[Redis]) -> String {
    servers.iter().map(|server| format!("127.0.0.1:{}", server.port)).collect::<Vec<_>>().join(",")
}

/// Whether a server that speaks Redis listens; with TLS, whether any server listens.
fn answers(port: u16, tls: bool) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    if tls {
        return true;
    }
    let mut answer = [0; 1];
    let asked = stream.set_read_timeout(Some(Duration::from_secs(1))).and_then(|()| stream.write_all(b"PING\r\n"));
    // +PONG, or -NOAUTH; -LOADING is asked again.
    asked.and_then(|()| stream.read_exact(&mut answer)).is_ok() && !loading(&mut stream, answer[0])
}

fn loading(stream: &mut TcpStream, first: u8) -> bool {
    let mut rest = [0; 7];
    first == b'-' && stream.read_exact(&mut rest).is_ok() && &rest == b"LOADING"
}

fn until(name: &str, said: &str, mut done: impl FnMut() -> bool) -> Result<(), StartError> {
    let mut waited = Duration::ZERO;
    while !done() {
        if waited >= ASSEMBLY_TIMEOUT {
            let what = format!("did not come together within {ASSEMBLY_TIMEOUT:?}");
            return Err(StartError::NotReady { name: name.to_owned(), what, log: said.to_owned() });
        }
        std::thread::sleep(Duration::from_millis(50));
        waited += Duration::from_millis(50);
    }
    Ok(())
}

fn io(name: &'static str) -> impl Fn(std::io::Error) -> StartError {
    move |error| StartError::Io { name: name.to_owned(), error }
}
