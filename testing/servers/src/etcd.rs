//! etcd: one server, or a cluster of several.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::folder::{copy_folder, durable_folder};
use crate::{Cut, CutOff, Missing, Proxy, Server, StartError, find, free_port};

/// The programs of etcd.
#[derive(Clone, Debug)]
pub struct EtcdPrograms {
    server: PathBuf,
    tool: PathBuf,
}

/// The options of a server. The default asks for no login and speaks no TLS.
#[derive(Clone, Debug, Default)]
pub struct EtcdOptions {
    /// Accepts TLS connections alone, where given.
    pub tls: Option<EtcdTls>,
    /// Further arguments of the program.
    pub arguments: Vec<String>,
}

/// The files of a server that speaks TLS, in PEM.
#[derive(Clone, Debug)]
pub struct EtcdTls {
    /// The server's certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Clients must show a certificate that this authority signed, where given.
    pub clients_ca: Option<PathBuf>,
}

/// One of the servers, on a port of 127.0.0.1.
#[derive(Debug)]
pub struct EtcdNode {
    server: Server,
    tool: PathBuf,
    port: u16,
    health: u16,
}

/// Servers that form one cluster.
#[derive(Debug)]
pub struct Etcd {
    // Declared before the folder, so that the servers end before their files are removed.
    nodes: Vec<EtcdNode>,
    /// The ways to each of them for the others; none where they come to each other directly.
    ways: Vec<Proxy>,
    folder: TempDir,
}

impl EtcdPrograms {
    /// Looks for `etcd` and `etcdctl`.
    pub fn find() -> Result<EtcdPrograms, Missing> {
        let remedy = "install the Debian packages etcd-server and etcd-client";
        Ok(EtcdPrograms { server: find("etcd", remedy)?, tool: find("etcdctl", remedy)? })
    }

    /// Starts so many servers, which form one cluster, and waits until each of them knows a leader.
    pub fn start(&self, nodes: usize, options: &EtcdOptions) -> Result<Etcd, StartError> {
        self.assemble(nodes, options, false)
    }

    /// As [`EtcdPrograms::start`], with ways between the servers that can be cut ([`Etcd::cut_off`]).
    pub fn start_apart(&self, nodes: usize, options: &EtcdOptions) -> Result<Etcd, StartError> {
        self.assemble(nodes, options, true)
    }

    fn assemble(&self, nodes: usize, options: &EtcdOptions, apart: bool) -> Result<Etcd, StartError> {
        let folder = durable_folder().map_err(io)?;
        let listened: Vec<u16> = (0..nodes).map(|_| free_port()).collect();
        let ways = listened.iter().filter(|_| apart).map(|port| Proxy::between(*port).map_err(io));
        let ways = ways.collect::<Result<Vec<_>, _>>()?;
        let named: Vec<u16> = if apart { ways.iter().map(Proxy::port).collect() } else { listened.clone() };
        let all: Vec<_> = named.iter().enumerate().map(|(n, port)| format!("e{n}=http://127.0.0.1:{port}")).collect();
        let launch = |n: usize| {
            let peer = (listened[n], named[n]);
            self.launch(options, folder.path(), &format!("e{n}"), peer, &all.join(","))
        };
        let nodes = (0..nodes).map(launch).collect::<Result<Vec<_>, _>>()?;
        let mut etcd = Etcd { nodes, ways, folder };
        etcd.wait_until_healthy()?;
        Ok(etcd)
    }

    fn launch(
        &self,
        options: &EtcdOptions,
        folder: &Path,
        name: &str,
        (listened, named): (u16, u16),
        cluster: &str,
    ) -> Result<EtcdNode, StartError> {
        let (port, health) = (free_port(), free_port());
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let client = format!("{scheme}://127.0.0.1:{port}");
        let (peer, named) = (format!("http://127.0.0.1:{listened}"), format!("http://127.0.0.1:{named}"));
        let mut command = Command::new(&self.server);
        command.args(["--name", name, "--data-dir"]).arg(folder.join(name));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &named]);
        command.args(["--initial-cluster", cluster, "--logger", "zap"]);
        command.args(["--listen-metrics-urls", &format!("http://127.0.0.1:{health}")]);
        if let Some(tls) = &options.tls {
            command.arg("--cert-file").arg(&tls.certificate).arg("--key-file").arg(&tls.key);
            if let Some(ca) = &tls.clients_ca {
                command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(ca);
            }
        }
        command.args(&options.arguments);
        // Servers of one cluster wait for each other, so that none is asked here.
        let server = Server::start(name, command, folder.join(format!("{name}.log")), || true)?;
        Ok(EtcdNode { server, tool: self.tool.clone(), port, health })
    }
}

impl EtcdNode {
    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process: to stop, resume and kill it.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Starts it again after a kill, on the same port and with the same data, and does not wait until it answers: alone of
    /// three servers it never would.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        self.server.start_again(|| true)
    }

    /// Waits until it knows a leader and can write.
    pub fn wait_until_healthy(&mut self) -> Result<(), StartError> {
        let look = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while !ask(self.health, "GET /health", "").is_some_and(|answer| answer.contains(r#""health":"true""#)) {
            if waited > READY_TIMEOUT {
                let log = std::fs::read_to_string(self.server.log()).unwrap_or_default();
                let what = format!("was not healthy within {READY_TIMEOUT:?}");
                return Err(StartError::NotReady { name: "etcd".to_owned(), what, log });
            }
            std::thread::sleep(look);
            waited += look;
        }
        Ok(())
    }

    /// Whether it leads its cluster. Only without TLS.
    pub fn leads(&self) -> bool {
        let status = ask(self.port, "POST /v3/maintenance/status", "{}").unwrap_or_default();
        let of = |name: &str| status.split(&format!("\"{name}\":\"")).nth(1).and_then(|rest| rest.split('"').next());
        of("leader").is_some() && of("leader") == of("member_id")
    }

    /// What `etcdctl` prints. Only without TLS.
    pub fn ctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let mut command = Command::new(&self.tool);
        command.env("ETCDCTL_API", "3").args(["--endpoints", &format!("127.0.0.1:{}", self.port)]).args(arguments);
        match command.output() {
            Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

impl Etcd {
    /// The servers.
    pub fn nodes(&mut self) -> &mut [EtcdNode] {
        &mut self.nodes
    }

    /// How many servers there are.
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// The ports that clients connect to.
    pub fn ports(&self) -> Vec<u16> {
        self.nodes.iter().map(EtcdNode::port).collect()
    }

    /// Their version, such as `3.4.23`. Only without TLS.
    pub fn version(&self) -> String {
        let said = ask(self.nodes[0].port, "GET /version", "").unwrap_or_default();
        let version = said.split("\"etcdserver\":\"").nth(1).and_then(|rest| rest.split('"').next());
        version.unwrap_or("unknown").to_owned()
    }

    /// Cuts a server off from the others, but not from clients, until the value is dropped. Of servers that stand apart.
    pub fn cut_off(&self, node: usize, how: Cut) -> CutOff {
        let own = CutOff::cut(self.ways.get(node).into_iter(), how);
        let others = self.ways.iter().enumerate().filter(|(other, _)| *other != node);
        let process = self.nodes[node].server.pid().unwrap_or_default();
        own.and(others.map(|(_, way)| way.cut_from(process, how)))
    }

    /// Saves a copy of what each of them has on its disk.
    pub fn save(&self) -> Result<(), StartError> {
        // They stand still meanwhile, so that the copy is one of a single moment.
        self.nodes.iter().for_each(|node| node.server.stop());
        let copied = (0..self.nodes.len()).try_for_each(|n| self.copy(&format!("e{n}"), &format!("saved{n}")));
        self.nodes.iter().for_each(|node| node.server.resume());
        copied
    }

    /// Kills all of them, and starts them again with the copy that was saved last.
    pub fn rewind(&mut self) -> Result<(), StartError> {
        self.nodes.iter_mut().for_each(|node| node.server.kill());
        (0..self.nodes.len()).try_for_each(|n| self.copy(&format!("saved{n}"), &format!("e{n}")))?;
        self.nodes.iter_mut().try_for_each(EtcdNode::start_again)
    }

    /// Kills all of them, and starts them again with nothing.
    pub fn lose(&mut self) -> Result<(), StartError> {
        for n in 0..self.nodes.len() {
            self.nodes[n].server.kill();
            std::fs::remove_dir_all(self.folder.path().join(format!("e{n}"))).map_err(io)?;
        }
        self.nodes.iter_mut().try_for_each(EtcdNode::start_again)
    }

    fn copy(&self, from: &str, to: &str) -> Result<(), StartError> {
        copy_folder(&self.folder.path().join(from), &self.folder.path().join(to)).map_err(io)
    }

    /// Which server leads, once one does.
    ///
    /// # Panics
    /// Where none leads for a minute.
    pub fn leader(&self) -> usize {
        let look = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        loop {
            if let Some(leader) = self.nodes.iter().position(EtcdNode::leads) {
                return leader;
            }
            assert!(waited < READY_TIMEOUT, "no server of the cluster leads");
            std::thread::sleep(look);
            waited += look;
        }
    }

    /// Waits until each server knows a leader.
    pub fn wait_until_healthy(&mut self) -> Result<(), StartError> {
        self.nodes.iter_mut().try_for_each(EtcdNode::wait_until_healthy)
    }

    /// `etcd://127.0.0.1:PORT`, with the ports of all.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("etcd://{}", hosts.join(","))
    }
}

fn io(error: std::io::Error) -> StartError {
    StartError::Io { name: "etcd".to_owned(), error }
}

/// How long a server may take until it knows a leader.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The answer to one request.
fn ask(port: u16, what: &str, body: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let head = format!("{what} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}
