//! What the suite may do to etcd: write records by hand, stop servers, kill them, cut a client off.

use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Killable, Records, Stoppable, StoppableClient, StoreBuilder};
use tenure_etcd::EtcdConfig;
use tenure_store::{HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Cut, CutOff, Etcd, EtcdNode, Proxy};

/// The suite's way to them.
pub(crate) struct Builder(&'static str, Mutex<Etcd>);

impl Builder {
    pub(crate) fn new(name: &'static str, servers: Etcd) -> Builder {
        Builder(name, Mutex::new(servers))
    }

    fn servers(&self) -> MutexGuard<'_, Etcd> {
        self.1.lock().unwrap()
    }

    fn by_hand(&self, arguments: &[&str]) -> BoxFuture<'_, Result<(), BuildError>> {
        let said = self.servers().nodes()[0].ctl(arguments.iter().copied());
        // A deletion tells how many there were.
        let done = matches!(said.as_str(), "OK" | "0" | "1");
        ready(if done { Ok(()) } else { Err(said.into()) }).boxed()
    }
}

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        self.0
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        let url = self.servers().url();
        async move { open(&url).await }.boxed()
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn stoppable(&self) -> Option<&dyn Stoppable> {
        Some(self)
    }

    fn killable(&self) -> Option<&dyn Killable> {
        Some(self)
    }

    fn stoppable_client(&self) -> Option<BoxFuture<'_, Result<Box<dyn StoppableClient>, BuildError>>> {
        let port = self.servers().nodes()[0].port();
        Some(async move { Ok(Box::new(Behind::start(port).await?) as Box<dyn StoppableClient>) }.boxed())
    }
}

async fn open(url: &str) -> Result<Arc<dyn LeaseStore>, BuildError> {
    Ok(Arc::new(tenure_etcd::open(url.parse::<EtcdConfig>()?).await?))
}

impl Records for Builder {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(self.by_hand(&["del", &format!("tenure/{key}")]))
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(self.by_hand(&["put", &format!("tenure/{key}"), holder.as_str()]))
    }
}

impl Stoppable for Builder {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.servers().nodes().iter_mut().for_each(|etcd| etcd.server().stop());
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let mut servers = self.servers();
        servers.nodes().iter_mut().for_each(|etcd| etcd.server().resume());
        ready(servers.nodes().iter_mut().try_for_each(|etcd| Ok(etcd.wait_until_healthy()?))).boxed()
    }
}

impl Killable for Builder {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.servers().nodes().iter_mut().for_each(|etcd| etcd.server().kill());
        ready(Ok(())).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        let mut servers = self.servers();
        let started = servers.nodes().iter_mut().try_for_each(EtcdNode::start_again);
        let healthy = started.and_then(|()| servers.nodes().iter_mut().try_for_each(EtcdNode::wait_until_healthy));
        ready(healthy.map_err(BuildError::from)).boxed()
    }
}

/// A client behind a proxy that can swallow everything in between.
struct Behind {
    store: Arc<dyn LeaseStore>,
    proxy: Proxy,
    cut: Mutex<Option<CutOff>>,
}

impl Behind {
    async fn start(port: u16) -> Result<Behind, BuildError> {
        let proxy = Proxy::to(port)?;
        let store = open(&format!("etcd://127.0.0.1:{}", proxy.port())).await?;
        Ok(Behind { store, proxy, cut: Mutex::default() })
    }
}

impl StoppableClient for Behind {
    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.store)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        *self.cut.lock().unwrap() = Some(self.proxy.cut(Cut::Silent));
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        *self.cut.lock().unwrap() = None;
        ready(Ok(())).boxed()
    }
}
