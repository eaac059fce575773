//! The NATS bus, in the suite that every bus runs: each version of the server that the documentation names, alone and as
//! a cluster of three.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::ConnectOptions;
use async_trait::async_trait;
use tenure_base_nats::Login;
use tenure_bus::{Bus, BusError};
use tenure_bus_conformance::{BusBuilder, suite};
use tenure_bus_nats::{NatsBus, NatsBusConfig};
use tenure_test_servers::{Cut, Nats, NatsCluster, NatsLogin, NatsOptions, nats_program, or_skip};
use tokio::time::{Instant, sleep};

/// The servers, and an account of its own for each bus: that is what keeps equal subjects apart.
struct Servers {
    url: String,
    running: Arc<Mutex<Running>>,
    /// The number of each bus's account, and how many clients it has been given.
    accounts: Mutex<HashMap<String, (usize, usize)>>,
    version: &'static str,
    replicas: u8,
    cut: Cut,
}

enum Running {
    One(Box<Nats>),
    Three(NatsCluster),
}

impl Running {
    fn nodes(&mut self) -> &mut [Nats] {
        match self {
            Running::One(server) => std::slice::from_mut(&mut **server),
            Running::Three(cluster) => cluster.nodes(),
        }
    }
}

const ACCOUNTS: usize = 40;

impl Servers {
    /// The name of the server that leads the stream of this account.
    async fn leader(&self, account: usize) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        let login = ConnectOptions::with_user_and_password(format!("u{account}"), format!("p{account}"));
        let context = async_nats::jetstream::new(login.connect(addresses(&self.url)).await.unwrap());
        loop {
            if let Ok(stream) = context.get_stream("TENURE").await
                && let Some(leader) = stream.cached_info().cluster.clone().and_then(|cluster| cluster.leader)
            {
                return leader;
            }
            assert!(Instant::now() < deadline, "the stream has no leader");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The servers of a URL, as the independent client takes them.
fn addresses(url: &str) -> Vec<async_nats::ServerAddr> {
    url.trim_start_matches("nats://").split(',').map(|host| host.parse().unwrap()).collect()
}

#[async_trait]
impl BusBuilder for Servers {
    async fn open(&self, name: &str) -> Result<Arc<dyn Bus>, BusError> {
        let (account, client) = {
            let mut accounts = self.accounts.lock().unwrap();
            let next = accounts.len();
            let (account, clients) = accounts.entry(name.to_owned()).or_insert((next, 0));
            *clients += 1;
            (*account, *clients)
        };
        let mut config = NatsBusConfig::parse(&self.url).unwrap();
        // Each client begins with another server.
        let servers = config.client.servers.len();
        config.client.servers.rotate_left(client % servers);
        config.client.login = Login::User { name: format!("u{account}"), password: format!("p{account}") };
        config.subjects = vec!["conformance.ingress.v1".into(), "conformance.finalize.v1".into()];
        config.replicas = Some(self.replicas);
        // Three servers that were all stopped elect a leader first, once they go on.
        config.client.timeout = Duration::from_secs(if self.replicas > 1 { 18 } else { 10 });
        Ok(Arc::new(NatsBus::open(config).await?))
    }

    fn can_lock(&self) -> bool {
        true
    }

    async fn lock(&self, _name: &str) -> Box<dyn Send> {
        for node in self.running.lock().unwrap().nodes() {
            node.server().stop();
        }
        Box::new(Stopped(Arc::clone(&self.running)))
    }

    fn cannot_cut(&self) -> Option<&'static str> {
        match &*self.running.lock().unwrap() {
            Running::One(_) => Some("the server has no peers"),
            // Seen in a quarter of the runs: messages that were acknowledged are gone, or no leader is elected any more.
            Running::Three(_) if self.replicas > 1 && self.version == "2.9" => {
                Some("2.9 takes back what it has acknowledged where a stream has replicas, see docs/buses.md")
            }
            Running::Three(_) => None,
        }
    }

    async fn cut(&self, name: &str) -> Box<dyn Send> {
        let account = self.accounts.lock().unwrap()[name].0;
        let leader = self.leader(account).await;
        match &*self.running.lock().unwrap() {
            Running::One(_) => Box::new(()),
            Running::Three(cluster) => Box::new(cluster.cut_off(&leader, self.cut)),
        }
    }
}

/// Servers that are stopped until this is dropped.
struct Stopped(Arc<Mutex<Running>>);

impl Drop for Stopped {
    fn drop(&mut self) {
        for node in self.0.lock().unwrap().nodes() {
            node.server().resume();
        }
    }
}

async fn conforms(version: &'static str, clustered: bool, replicas: u8) {
    let name = format!("bus-nats {version}, {} servers, {replicas} replicas", if clustered { 3 } else { 1 });
    let Some(program) = or_skip(&name, true, nats_program(version)) else { return };
    let options = NatsOptions { login: NatsLogin::Accounts(ACCOUNTS), ..NatsOptions::default() };
    let (url, running) = if clustered {
        let cluster = NatsCluster::start(&program, &options).unwrap();
        (cluster.url(), Running::Three(cluster))
    } else {
        let server = Nats::start(&program, &options).unwrap();
        (server.url(), Running::One(Box::new(server)))
    };
    // What a cut looks like can be chosen as how long it lasts can be, see `BusBuilder::cut_lasts`.
    let cut = if std::env::var("TENURE_CUT").is_ok_and(|how| how == "closed") { Cut::Closed } else { Cut::Silent };
    let running = Arc::new(Mutex::new(running));
    suite(&Servers { url, running, accounts: Mutex::default(), version, replicas, cut }).await.assert();
}

/// One server of Debian's version.
#[tokio::test(flavor = "multi_thread")]
async fn debians_server_conforms() {
    conforms("2.9", false, 1).await;
}

/// One server of a version that knows ids before it has stored them.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_between_conforms() {
    conforms("2.10", false, 1).await;
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

/// Three servers of the version between, the stream on each of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_between_conforms_with_three_replicas() {
    conforms("2.10", true, 3).await;
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
