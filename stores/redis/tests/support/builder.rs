//! What the suite may do to Redis: write records by hand, stop servers, kill them, cut clients off.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{
    BuildError, Killable, Records, Rewindable, ShardFault, Shards, Stoppable, StoppableClient, StoreBuilder,
};
use tenure_redis::{RedisConfig, RedisDocuments, RedisStore};
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Redis, RedisCluster, RedisSentinels};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// One of the ways to run Redis.
pub(crate) trait Servers: Send {
    /// The URL of all of it.
    fn url(&self) -> String;
    /// The servers that may have to be stopped or killed, so that nobody gets an answer.
    fn all(&mut self) -> Vec<&mut Redis>;
    /// Waits until it is whole again after a restart.
    fn whole(&self) -> Result<(), BuildError> {
        Ok(())
    }
    /// Whether it comes back as it was after all of it was killed.
    fn comes_back(&self) -> bool {
        true
    }
    /// Which of the servers keeps a lease of this name, where that depends on the name.
    fn server_of(&self, _name: &str) -> Option<usize> {
        None
    }
    /// Whether a client finds it by the URL's address alone, so that a proxy can stand between.
    fn one_address(&self) -> Option<u16> {
        None
    }
}

/// The suite's way to them. They keep what they acknowledged or are never killed, so that nobody waits out a restart.
pub(crate) struct Builder<S> {
    name: &'static str,
    servers: Mutex<S>,
    // The one of several that failed.
    failed: Mutex<Option<(usize, ShardFault)>>,
}

impl<S: Servers> Builder<S> {
    pub(crate) fn new(name: &'static str, servers: S) -> Self {
        Builder { name, servers: Mutex::new(servers), failed: Mutex::default() }
    }

    fn servers(&self) -> MutexGuard<'_, S> {
        self.servers.lock().unwrap()
    }

    fn url(&self) -> String {
        self.servers().url() + "?durable=true"
    }

    /// Runs `redis-cli -c` on the first server that takes writes.
    fn by_hand(&self, arguments: &[&str]) -> Result<(), BuildError> {
        let mut servers = self.servers();
        let mut said = String::new();
        for server in servers.all() {
            said = server.cli(["-c"].iter().chain(arguments));
            if !said.contains("READONLY") && !said.contains("Connection refused") && !said.starts_with("ERR") {
                return Ok(());
            }
        }
        Err(said.into())
    }
}

impl<S: Servers> StoreBuilder for Builder<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        async { open(&self.url()).await }.boxed()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        let url = self.url();
        let opened = async move {
            let documents: Arc<dyn DocumentStore> = Arc::new(RedisDocuments::open(url.parse::<RedisConfig>()?).await?);
            Ok(documents)
        };
        Some(opened.boxed())
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn stoppable(&self) -> Option<&dyn Stoppable> {
        Some(self)
    }

    fn killable(&self) -> Option<&dyn Killable> {
        self.servers().comes_back().then_some(self)
    }

    fn rewindable(&self) -> Option<&dyn Rewindable> {
        self.servers().comes_back().then_some(self)
    }

    fn shards(&self) -> Option<&dyn Shards> {
        self.servers().server_of("").map(|_| self as &dyn Shards)
    }

    fn stoppable_client(&self) -> Option<BoxFuture<'_, Result<Box<dyn StoppableClient>, BuildError>>> {
        let port = self.servers().one_address()?;
        Some(async move { Ok(Box::new(CutOff::start(port).await?) as Box<dyn StoppableClient>) }.boxed())
    }
}

pub(crate) async fn open(url: &str) -> Result<Arc<dyn LeaseStore>, BuildError> {
    Ok(Arc::new(RedisStore::open(url.parse::<RedisConfig>()?).await?))
}

impl<S: Servers> Records for Builder<S> {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        let deleted = self.by_hand(&["del", key.as_str(), &format!("{{{key}}}:tenure")]);
        Some(ready(deleted).boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(ready(self.by_hand(&["set", key.as_str(), holder.as_str()])).boxed())
    }
}

impl<S: Servers> Stoppable for Builder<S> {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.servers().all().iter().for_each(|server| server.stop());
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.servers().all().iter().for_each(|server| server.resume());
        ready(self.servers().whole()).boxed()
    }
}

impl<S: Servers> Killable for Builder<S> {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.servers().all().iter_mut().for_each(|server| server.kill());
        ready(Ok(())).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let mut servers = self.servers();
        let started: Result<(), BuildError> =
            servers.all().iter_mut().try_for_each(|server| server.start_again()).map_err(BuildError::from);
        ready(started.and_then(|()| servers.whole())).boxed()
    }
}

impl<S: Servers> Rewindable for Builder<S> {
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        let url = self.servers().url();
        async move { open(&url).await }.boxed()
    }

    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let saved = self.servers().all().iter().try_for_each(|server| server.save());
        ready(saved.map_err(BuildError::from)).boxed()
    }

    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let mut servers = self.servers();
        let rewound: Result<(), BuildError> =
            servers.all().iter_mut().try_for_each(|server| server.rewind()).map_err(BuildError::from);
        ready(rewound.and_then(|()| servers.whole())).boxed()
    }
}

impl<S: Servers> Shards for Builder<S> {
    fn together(&self, one: &LeaseKey, other: &LeaseKey) -> bool {
        let servers = self.servers();
        servers.server_of(one.as_str()) == servers.server_of(other.as_str())
    }

    fn fail<'a>(&'a self, key: &'a LeaseKey, fault: ShardFault) -> BoxFuture<'a, Result<(), BuildError>> {
        let mut servers = self.servers();
        let at = servers.server_of(key.as_str()).unwrap_or_default();
        match fault {
            ShardFault::Killed => servers.all()[at].kill(),
            ShardFault::Stopped => servers.all()[at].stop(),
        }
        *self.failed.lock().unwrap() = Some((at, fault));
        ready(Ok(())).boxed()
    }

    fn mend(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let mut servers = self.servers();
        let mended = match self.failed.lock().unwrap().take() {
            Some((at, ShardFault::Killed)) => servers.all()[at].start_again().map_err(BuildError::from),
            Some((at, ShardFault::Stopped)) => {
                servers.all()[at].resume();
                Ok(())
            }
            None => Ok(()),
        };
        ready(mended.and_then(|()| servers.whole())).boxed()
    }
}

impl Servers for Redis {
    fn url(&self) -> String {
        Redis::url(self)
    }

    fn all(&mut self) -> Vec<&mut Redis> {
        vec![self]
    }

    fn one_address(&self) -> Option<u16> {
        Some(self.port())
    }
}

impl Servers for RedisCluster {
    fn url(&self) -> String {
        RedisCluster::url(self)
    }

    fn all(&mut self) -> Vec<&mut Redis> {
        self.nodes_mut().iter_mut().collect()
    }

    fn whole(&self) -> Result<(), BuildError> {
        Ok(self.wait_until_whole()?)
    }

    fn server_of(&self, name: &str) -> Option<usize> {
        Some(RedisCluster::server_of(self, self.slot(name)))
    }
}

impl Servers for RedisSentinels {
    fn url(&self) -> String {
        RedisSentinels::url(self)
    }

    fn all(&mut self) -> Vec<&mut Redis> {
        self.servers_mut().iter_mut().collect()
    }

    /// The Sentinels would call another one the master meanwhile; what they do then is another test's matter.
    fn comes_back(&self) -> bool {
        false
    }
}

/// A client behind a proxy that can swallow everything in between.
struct CutOff {
    store: Arc<dyn LeaseStore>,
    cut: Arc<AtomicBool>,
    proxy: tokio::task::JoinHandle<()>,
}

impl CutOff {
    async fn start(port: u16) -> Result<CutOff, BuildError> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let cut = Arc::new(AtomicBool::new(false));
        let proxy = tokio::spawn(forward(listener, port, Arc::clone(&cut)));
        let store = open(&format!("redis://{address}?durable=true")).await?;
        Ok(CutOff { store, cut, proxy })
    }
}

/// Carries connections as long as they are not cut; cut ones stay open and silent.
async fn forward(listener: TcpListener, port: u16, cut: Arc<AtomicBool>) {
    let mut carried = tokio::task::JoinSet::new();
    while let Ok((mut client, _)) = listener.accept().await {
        let cut = Arc::clone(&cut);
        carried.spawn(async move {
            let server = SocketAddr::from(([127, 0, 0, 1], port));
            let Ok(mut server) = TcpStream::connect(server).await else { return };
            loop {
                let uncut = async {
                    while !cut.load(Ordering::SeqCst) {
                        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    }
                };
                tokio::select! {
                    biased;
                    () = uncut => {}
                    _ = copy_bidirectional(&mut client, &mut server) => return,
                }
                while cut.load(Ordering::SeqCst) {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
        });
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        self.proxy.abort();
    }
}

impl StoppableClient for CutOff {
    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.store)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.cut.store(true, Ordering::SeqCst);
        // Until the proxy has seen it.
        tokio::time::sleep(std::time::Duration::from_millis(50)).map(Ok).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.cut.store(false, Ordering::SeqCst);
        ready(Ok(())).boxed()
    }
}
