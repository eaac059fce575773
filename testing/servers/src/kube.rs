//! A kube-apiserver over an etcd of its own, with RBAC and tokens from a file.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rcgen::KeyPair;
use tempfile::TempDir;

use crate::find::{Missing, find};
use crate::folder::{copy_folder, durable_folder};
use crate::ports::free_port;
use crate::proxy::{Cut, CutOff, Proxy};
use crate::server::{Server, StartError};

/// The programs that a [`Kube`] is made of.
#[derive(Clone, Debug)]
pub struct KubePrograms {
    etcd: PathBuf,
    apiserver: PathBuf,
    kubectl: PathBuf,
}

impl KubePrograms {
    /// Looks for `etcd`, `kube-apiserver` and `kubectl`.
    pub fn find() -> Result<KubePrograms, Missing> {
        Ok(KubePrograms {
            etcd: find("etcd", "apt-get install etcd-server")?,
            apiserver: find("kube-apiserver", "build it from Debian's source package kubernetes")?,
            kubectl: find("kubectl", "apt-get install kubernetes-client")?,
        })
    }

    /// Starts both servers, and waits until the API answers and has its namespace `default`.
    pub fn start(&self) -> Result<Kube, StartError> {
        let folder = durable_folder().map_err(failed)?;
        let at = |name: &str| folder.path().join(name);
        let (port, etcd_port, peer_port) = (free_port(), free_port(), free_port());

        let (clients, peers) = (format!("http://127.0.0.1:{etcd_port}"), format!("http://127.0.0.1:{peer_port}"));
        let mut etcd = Command::new(&self.etcd);
        etcd.args(["--name", "s", "--data-dir"]).arg(at("etcd"));
        etcd.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
        etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        etcd.args(["--initial-cluster", &format!("s={peers}")]);
        let etcd = Server::start("etcd", etcd, at("etcd.log"), || listens(etcd_port))?;

        let key = KeyPair::generate().map_err(|error| failed(std::io::Error::other(error)))?;
        std::fs::write(at("sa.key"), key.serialize_pem()).map_err(failed)?;
        std::fs::write(at("sa.pub"), key.public_key_pem()).map_err(failed)?;
        let tokens = format!("{ADMIN},admin,1,\"system:masters\"\n{LIMITED},limited,2\n{NOBODY},nobody,3\n");
        std::fs::write(at("tokens.csv"), tokens).map_err(failed)?;
        let mut command = Command::new(&self.apiserver);
        let with = |flag: &str, file: &str| format!("--{flag}={}", at(file).display());
        command
            .arg(format!("--etcd-servers={clients}"))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--authorization-mode=RBAC"])
            .arg(format!("--secure-port={port}"))
            .arg(with("cert-dir", "certs"))
            .args(["--service-account-issuer=https://k.local", "--service-cluster-ip-range=10.0.0.0/24"])
            .arg(with("service-account-signing-key-file", "sa.key"))
            .arg(with("service-account-key-file", "sa.pub"))
            .arg(with("token-auth-file", "tokens.csv"))
            .args(["--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none"]);
        let kubectl = self.kubectl.clone();
        std::fs::create_dir(at("certs")).map_err(failed)?;
        write_config(folder.path(), "admin.yaml", port, ADMIN, &at("certs/apiserver.crt")).map_err(failed)?;
        let ready = readiness(&kubectl, folder.path(), port);
        let api = Server::start("kube-apiserver", command, at("apiserver.log"), ready)?;
        Ok(Kube { api, etcd, port, etcd_port, kubectl, folder })
    }
}

/// The token of a user who may do everything.
const ADMIN: &str = "tok-admin";
/// The token of the user `limited`, who may do what a test gives it.
const LIMITED: &str = "tok-limited";
/// The token of a user who may do nothing.
const NOBODY: &str = "tok-nobody";

/// A running API server. Both servers end with it.
#[derive(Debug)]
pub struct Kube {
    // Fields are dropped in order: who asks before who is asked.
    api: Server,
    etcd: Server,
    port: u16,
    etcd_port: u16,
    kubectl: PathBuf,
    folder: TempDir,
}

/// A way to the API server that can be cut.
#[derive(Debug)]
pub struct KubeWay {
    proxy: Proxy,
    config: PathBuf,
}

impl Kube {
    /// The port that the API answers on, over TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A folder that goes with the servers.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// PEM file of the authority that signed the server's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("certs/apiserver.crt")
    }

    /// The kubeconfig of the user who may do everything.
    pub fn admin(&self) -> PathBuf {
        self.folder.path().join("admin.yaml")
    }

    /// The kubeconfig of `limited`, who may do what [`Kube::allow`] gives that user, or of a user who may do nothing.
    pub fn limited(&self, may_something: bool) -> std::io::Result<PathBuf> {
        let (name, token) = if may_something { ("limited.yaml", LIMITED) } else { ("nobody.yaml", NOBODY) };
        write_config(self.folder.path(), name, self.port, token, &self.ca())
    }

    /// A way of the user who may do everything, through a proxy.
    pub fn way(&self) -> std::io::Result<KubeWay> {
        let proxy = Proxy::to(self.port)?;
        let config = self.config_at(proxy.port())?;
        Ok(KubeWay { proxy, config })
    }

    /// The kubeconfig of the user who may do everything, who finds the server at this port.
    pub fn config_at(&self, port: u16) -> std::io::Result<PathBuf> {
        write_config(self.folder.path(), &format!("way-{port}.yaml"), port, ADMIN, &self.ca())
    }

    /// The API server's version, such as `1.20.2`; `0.0.0-master` where whoever built it gave it none.
    pub fn version(&self) -> String {
        let said = self.kubectl(["get", "--raw", "/version"]).map(|output| output.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let version = said.split("\"gitVersion\"").nth(1).and_then(|rest| rest.split('"').nth(1));
        let version = version.map(|version| version.trim_start_matches('v'));
        version.and_then(|version| version.split('+').next()).unwrap_or("unknown").to_owned()
    }

    /// Runs `kubectl` as the user who may do everything.
    pub fn kubectl<I: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = I>,
    ) -> std::io::Result<Output> {
        self.kubectl_command().args(arguments).output()
    }

    /// `kubectl` as that user, to be given its arguments.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(self.admin()).arg(CACHE);
        command
    }

    /// Applies a manifest with `kubectl`, or what a manifest changes. The error is what kubectl said.
    pub fn apply(&self, manifest: &str) -> std::io::Result<()> {
        let file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        std::fs::write(file.path(), manifest)?;
        self.done(&["apply", "-f", &file.path().display().to_string()])
    }

    /// Allows the user `limited` these verbs on Leases, such as `get, create`, everywhere and nothing else. The API server learns
    /// of it a moment later.
    pub fn allow(&self, verbs: &str) -> std::io::Result<()> {
        self.apply(&format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: limited}}\n\
             rules: [{{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [{verbs}]}}]\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: limited}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: limited}}\n\
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: limited}}]\n"
        ))
    }

    /// The name of the Lease that is annotated with this key.
    fn lease_of(&self, key: &str) -> std::io::Result<String> {
        let path =
            "jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.metadata.annotations.tenure/key}{\"\\n\"}{end}";
        let listed = self.kubectl(["get", "leases", "-l", "tenure/kind=lease", "-o", path])?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let mut rows = listed.lines().filter_map(|row| row.split_once('\t'));
        let named = rows.find(|(_, annotated)| *annotated == key).map(|(name, _)| name.to_owned());
        named.ok_or_else(|| std::io::Error::other(format!("no Lease of {key:?}")))
    }

    /// Deletes the Lease of this key, if there is one.
    pub fn forget(&self, key: &str) -> std::io::Result<()> {
        match self.lease_of(key) {
            Ok(name) => self.done(&["delete", "lease", &name]),
            Err(_) => Ok(()),
        }
    }

    /// Writes into the Lease of this key what a candidate on client-go writes when it is elected.
    pub fn take_over(&self, key: &str, holder: &str) -> std::io::Result<()> {
        let spec = format!(
            "{{\"spec\": {{\"holderIdentity\": {holder:?}, \"leaseDurationSeconds\": 600, \
             \"renewTime\": \"2026-01-02T03:04:05.678901Z\"}}}}"
        );
        self.done(&["patch", "lease", &self.lease_of(key)?, "--type", "merge", "-p", &spec])
    }

    fn done(&self, arguments: &[&str]) -> std::io::Result<()> {
        let output = self.kubectl(arguments)?;
        match output.status.success() {
            true => Ok(()),
            false => Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }

    /// The API server's process: to stop and to resume it.
    pub fn server(&self) -> &Server {
        &self.api
    }

    /// The etcd's process.
    pub fn etcd(&self) -> &Server {
        &self.etcd
    }

    /// Kills both servers.
    pub fn kill(&mut self) {
        self.api.kill();
        self.etcd.kill();
    }

    /// Stops both servers (SIGSTOP): nobody is answered, and connections stay open.
    pub fn stop(&self) {
        self.api.stop();
        self.etcd.stop();
    }

    /// Lets both go on (SIGCONT).
    pub fn resume(&self) {
        self.etcd.resume();
        self.api.resume();
    }

    /// Saves a copy of what etcd has on its disk, while it stands still.
    pub fn save(&self) -> Result<(), StartError> {
        self.etcd.stop();
        let copied = copy_folder(&self.folder.path().join("etcd"), &self.folder.path().join("saved"));
        self.etcd.resume();
        copied.map_err(failed)
    }

    /// Kills both, and starts them again with the copy that was saved last.
    pub fn rewind(&mut self) -> Result<(), StartError> {
        self.kill();
        copy_folder(&self.folder.path().join("saved"), &self.folder.path().join("etcd")).map_err(failed)?;
        self.start_again()
    }

    /// Kills both, and starts them again with nothing.
    pub fn lose(&mut self) -> Result<(), StartError> {
        self.kill();
        std::fs::remove_dir_all(self.folder.path().join("etcd")).map_err(failed)?;
        self.start_again()
    }

    /// Starts both again after a kill, over the same data.
    pub fn start_again(&mut self) -> Result<(), StartError> {
        let etcd_port = self.etcd_port;
        self.etcd.start_again(|| listens(etcd_port))?;
        self.api.start_again(readiness(&self.kubectl, self.folder.path(), self.port))
    }
}

impl KubeWay {
    /// The kubeconfig of whoever goes this way.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.proxy.port()
    }

    /// Cuts it, until the value is dropped.
    pub fn cut(&self, how: Cut) -> CutOff {
        CutOff::cut(std::iter::once(&self.proxy), how)
    }
}

fn failed(error: std::io::Error) -> StartError {
    StartError::Io { name: "kube-apiserver".to_owned(), error }
}

/// What kubectl knows of servers lies in the temporary folder of each, and not in the user's.
const CACHE: &str = "--cache-dir=/dev/null/none";

fn write_config(folder: &Path, name: &str, port: u16, token: &str, ca: &Path) -> std::io::Result<PathBuf> {
    let ca = ca.display();
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters:\n- name: test\n  cluster: {{server: \"https://127.0.0.1:{port}\", certificate-authority: \"{ca}\"}}\n\
         users:\n- name: test\n  user: {{token: \"{token}\"}}\n\
         contexts:\n- name: test\n  context: {{cluster: test, user: test, namespace: default}}\n"
    );
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path)
}

/// Whether the API answers that it is ready, and has made its first namespace. Asks no more often than twice a second, for
/// kubectl is a large program.
fn readiness(kubectl: &Path, folder: &Path, port: u16) -> impl FnMut() -> bool {
    let (kubectl, config) = (kubectl.to_owned(), folder.join("admin.yaml"));
    move || {
        if !listens(port) {
            return false;
        }
        let ask = |arguments: &[&str]| {
            let mut command = Command::new(&kubectl);
            command.arg("--kubeconfig").arg(&config).args([CACHE, "--request-timeout=2s"]).args(arguments);
            command.output().is_ok_and(|output| output.status.success())
        };
        let ready = ask(&["get", "--raw", "/readyz"]) && ask(&["get", "namespace", "default"]);
        if !ready {
            std::thread::sleep(Duration::from_millis(500));
        }
        ready
    }
}

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
