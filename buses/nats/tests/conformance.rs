//! The NATS bus, in the suite that every bus runs: both versions of the server, alone and as a cluster of three.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tenure_bus::{Bus, BusError};
use tenure_bus_conformance::{BusBuilder, suite};
use tenure_bus_nats::{Login, NatsBus, NatsBusConfig};
use tenure_test_servers::{Nats, NatsCluster, NatsLogin, NatsOptions, nats_program, or_skip};

/// The servers, and an account of its own for each bus: that is what keeps equal subjects apart.
struct Servers {
    url: String,
    nodes: Arc<Mutex<Vec<Nats>>>,
    accounts: Mutex<HashMap<String, usize>>,
    replicas: u8,
}

const ACCOUNTS: usize = 40;

#[async_trait]
impl BusBuilder for Servers {
    async fn open(&self, name: &str) -> Result<Arc<dyn Bus>, BusError> {
        let account = {
            let mut accounts = self.accounts.lock().unwrap();
            let next = accounts.len();
            *accounts.entry(name.to_owned()).or_insert(next)
        };
        let mut config = NatsBusConfig::parse(&self.url).unwrap();
        config.login = Login::User { name: format!("u{account}"), password: format!("p{account}") };
        config.subjects = vec!["conformance.ingress.v1".into(), "conformance.finalize.v1".into()];
        config.replicas = Some(self.replicas);
        // Three servers that were all stopped elect a leader first, once they go on.
        config.timeout = Duration::from_secs(if self.replicas > 1 { 18 } else { 10 });
        Ok(Arc::new(NatsBus::open(config).await?))
    }

    fn can_lock(&self) -> bool {
        true
    }

    async fn lock(&self, _name: &str) -> Box<dyn Send> {
        for node in self.nodes.lock().unwrap().iter_mut() {
            node.server().stop();
        }
        Box::new(Stopped(Arc::clone(&self.nodes)))
    }
}

/// Servers that are stopped until this is dropped.
struct Stopped(Arc<Mutex<Vec<Nats>>>);

impl Drop for Stopped {
    fn drop(&mut self) {
        for node in self.0.lock().unwrap().iter_mut() {
            node.server().resume();
        }
    }
}

async fn conforms(version: &str, clustered: bool, replicas: u8) {
    let name = format!("bus-nats {version}, {} servers, {replicas} replicas", if clustered { 3 } else { 1 });
    let Some(program) = or_skip(&name, true, nats_program(version)) else { return };
    let options = NatsOptions { login: NatsLogin::Accounts(ACCOUNTS), ..NatsOptions::default() };
    // The cluster's folder is kept until the end.
    let (url, nodes, _folder) = if clustered {
        let mut cluster = NatsCluster::start(&program, &options).unwrap();
        (cluster.url(), cluster.take_nodes(), Some(cluster))
    } else {
        let server = Nats::start(&program, &options).unwrap();
        (server.url(), vec![server], None)
    };
    let nodes = Arc::new(Mutex::new(nodes));
    suite(&Servers { url, nodes, accounts: Mutex::default(), replicas }).await.assert();
}

/// One server of Debian's version.
#[tokio::test(flavor = "multi_thread")]
async fn debians_server_conforms() {
    conforms("2.9", false, 1).await;
}

/// One server of the newest version.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_server_conforms() {
    conforms("2.15", false, 1).await;
}

/// Three servers of Debian's version, the stream on one of them.
#[tokio::test(flavor = "multi_thread")]
async fn debians_cluster_conforms_with_one_replica() {
    conforms("2.9", true, 1).await;
}

/// Three servers of Debian's version, the stream on each of them.
#[tokio::test(flavor = "multi_thread")]
async fn debians_cluster_conforms_with_three_replicas() {
    conforms("2.9", true, 3).await;
}

/// Three servers of the newest version, the stream on one of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_cluster_conforms_with_one_replica() {
    conforms("2.15", true, 1).await;
}

/// Three servers of the newest version, the stream on each of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_cluster_conforms_with_three_replicas() {
    conforms("2.15", true, 3).await;
}
