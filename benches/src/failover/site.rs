//! The servers: each started for its rows, and ended with them.

use anyhow::{Context, Result};
use rusqlite::Connection;
use tempfile::TempDir;
use tenure_test_servers::{
    Cut, CutOff, Etcd, EtcdOptions, EtcdPrograms, Firestore, FirestorePrograms, Kube, KubePrograms, KubeWay, Postgres,
    PostgresOptions, PostgresPrograms, Proxy, Redis,
};

use super::options::Store;
use crate::servers::{self, Access};

/// A store with its server.
pub(super) struct Site {
    /// The store's name for people.
    pub(super) name: &'static str,
    /// The server's version.
    pub(super) version: String,
    pub(super) server: Server,
}

/// The server of a site.
pub(super) enum Server {
    Sqlite(TempDir),
    Redis(Redis),
    Etcd(Etcd),
    Postgres(Postgres),
    Kubernetes(Kube),
    Firestore(Firestore),
}

/// A way to the server that can be cut.
pub(super) struct Way {
    /// How a program goes it.
    pub(super) access: Access,
    cut: Box<dyn Fn(Cut) -> CutOff>,
}

/// What a kubeconfig of these tests says.
pub(super) struct Kubeconfig {
    pub(super) server: String,
    pub(super) token: String,
}

/// The environment of whoever reads a kubeconfig.
const KUBECONFIG: &str = "KUBECONFIG";
/// The environment of whoever uses the emulator.
const EMULATOR: &str = "FIRESTORE_EMULATOR_HOST";

impl Site {
    /// Starts the server.
    ///
    /// # Errors
    /// Where it is not here, or does not start.
    pub(super) fn start(store: Store) -> Result<Site> {
        let (server, version) = match store {
            Store::Memory => anyhow::bail!("no server"),
            Store::Sqlite => {
                (Server::Sqlite(tempfile::tempdir().context("no temporary folder")?), rusqlite::version().to_owned())
            }
            Store::Redis => {
                let server = servers::redis()?;
                let said = server.cli(["info", "server"]);
                let version = said.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown");
                let version = version.trim().to_owned();
                (Server::Redis(server), version)
            }
            Store::Etcd => {
                let server = EtcdPrograms::find()?.start(1, &EtcdOptions::default())?;
                let version = server.version();
                (Server::Etcd(server), version)
            }
            Store::Postgres => {
                let server = PostgresPrograms::find()?.start(PostgresOptions::default())?;
                let version =
                    server.psql("show server_version").split_whitespace().next().unwrap_or_default().to_owned();
                (Server::Postgres(server), version)
            }
            Store::Kubernetes => {
                let server = KubePrograms::find()?.start()?;
                let said = server.kubectl(["get", "--raw", "/version"])?;
                let said: serde_json::Value = serde_json::from_slice(&said.stdout)?;
                let version = said["gitVersion"].as_str().unwrap_or("unknown").to_owned();
                (Server::Kubernetes(server), version)
            }
            Store::Firestore => (Server::Firestore(FirestorePrograms::find()?.start()?), String::new()),
        };
        Ok(Site { name: store.name(), version, server })
    }

    /// How a program reaches the server.
    pub(super) fn access(&self) -> Access {
        match &self.server {
            Server::Sqlite(folder) => Access::of(format!("sqlite:{}", folder.path().join("leases.db").display())),
            Server::Kubernetes(server) => through(server.admin().display().to_string()),
            _ => self.through_port(self.port().unwrap_or_default()),
        }
    }

    /// Whether there is a network between it and the candidates.
    pub(super) fn has_network(&self) -> bool {
        self.port().is_some()
    }

    /// Another way to it; none where there is no network.
    pub(super) fn way(&self) -> Result<Option<Way>> {
        if let Server::Kubernetes(server) = &self.server {
            let way: KubeWay = server.way()?;
            let access = through(way.config().display().to_string());
            return Ok(Some(Way { access, cut: Box::new(move |how| way.cut(how)) }));
        }
        let Some(port) = self.port() else { return Ok(None) };
        let proxy = Proxy::to(port)?;
        let access = self.through_port(proxy.port());
        Ok(Some(Way { access, cut: Box::new(move |how| proxy.cut(how)) }))
    }

    /// The file of SQLite, opened as the store opens it, or none.
    pub(super) fn sqlite(&self) -> Option<Result<Connection>> {
        let Server::Sqlite(folder) = &self.server else { return None };
        let opened = Connection::open(folder.path().join("bare.db")).and_then(|file| {
            file.pragma_update(None, "journal_mode", "wal")?;
            file.pragma_update(None, "synchronous", "full")?;
            Ok(file)
        });
        Some(opened.context("cannot open a file"))
    }

    fn port(&self) -> Option<u16> {
        match &self.server {
            Server::Sqlite(_) => None,
            Server::Redis(server) => Some(server.port()),
            Server::Etcd(server) => server.ports().first().copied(),
            Server::Postgres(server) => Some(server.port()),
            Server::Kubernetes(server) => Some(server.port()),
            Server::Firestore(server) => Some(server.port()),
        }
    }

    fn through_port(&self, port: u16) -> Access {
        match &self.server {
            Server::Etcd(_) => Access::of(format!("etcd://127.0.0.1:{port}")),
            Server::Postgres(_) => Access::of(format!("postgres://postgres@127.0.0.1:{port}/postgres")),
            Server::Firestore(_) => {
                let environment = vec![(EMULATOR, format!("127.0.0.1:{port}"))];
                Access { url: "firestore://demo-bench".to_owned(), environment }
            }
            _ => Access::of(format!("redis://127.0.0.1:{port}")),
        }
    }
}

impl Kubeconfig {
    /// Reads the one that the environment names.
    pub(super) fn read(access: &Access) -> Result<Kubeconfig> {
        let file = access.environment.iter().find(|(name, _)| *name == KUBECONFIG).context("no kubeconfig")?;
        let text = std::fs::read_to_string(&file.1).context("cannot read the kubeconfig")?;
        let of = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            Some(rest.split([',', '}']).next()?.trim().trim_matches('"').to_owned())
        };
        let (server, token) = of("server:").zip(of("token:")).context("a kubeconfig without server or token")?;
        Ok(Kubeconfig { server, token })
    }
}

impl Way {
    /// Cuts it, until the value is dropped.
    pub(super) fn cut(&self, how: Cut) -> CutOff {
        (self.cut)(how)
    }
}

fn through(kubeconfig: String) -> Access {
    Access { url: "kubernetes:default".to_owned(), environment: vec![(KUBECONFIG, kubeconfig)] }
}
