//! What the suite may do to etcd: write records by hand, stop servers, kill them, cut a client off.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Opening, Relay, ServerBuilder, TestServer};
use tenure_etcd::EtcdConfig;
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Cut, Etcd, EtcdNode, Proxy};

/// The servers of one cluster.
pub(crate) struct Servers(Etcd);

pub(crate) fn builder(name: &'static str, servers: Etcd) -> ServerBuilder<Servers> {
    ServerBuilder::new(name, Servers(servers))
}

impl Servers {
    fn by_hand(&mut self, arguments: &[&str]) -> BoxFuture<'_, Result<(), BuildError>> {
        let said = self.0.nodes()[0].ctl(arguments.iter().copied());
        // A deletion tells how many there were.
        let done = matches!(said.as_str(), "OK" | "0" | "1");
        ready(if done { Ok(()) } else { Err(said.into()) }).boxed()
    }
}

impl TestServer for Servers {
    fn url(&self) -> String {
        self.0.url()
    }

    fn open(url: String) -> Opening<dyn LeaseStore> {
        async move { Ok(Arc::new(tenure_etcd::open(url.parse::<EtcdConfig>()?).await?) as _) }.boxed()
    }

    fn open_documents(url: String) -> Opening<dyn DocumentStore> {
        async move { Ok(Arc::new(tenure_etcd::open_documents(url.parse::<EtcdConfig>()?).await?) as _) }.boxed()
    }

    fn forget<'a>(&'a mut self, key: &'a LeaseKey) -> BoxFuture<'a, Result<(), BuildError>> {
        self.by_hand(&["del", &format!("tenure/{key}")])
    }

    fn plant<'a>(&'a mut self, key: &'a LeaseKey, holder: &'a HolderId) -> BoxFuture<'a, Result<(), BuildError>> {
        self.by_hand(&["put", &format!("tenure/{key}"), holder.as_str()])
    }

    fn stop(&mut self) {
        self.0.nodes().iter_mut().for_each(|etcd| etcd.server().stop());
    }

    fn resume(&mut self) -> Result<(), BuildError> {
        self.0.nodes().iter_mut().for_each(|etcd| etcd.server().resume());
        Ok(self.0.wait_until_healthy()?)
    }

    fn kill(&mut self) {
        self.0.nodes().iter_mut().for_each(|etcd| etcd.server().kill());
    }

    fn start(&mut self) -> Result<(), BuildError> {
        self.0.nodes().iter_mut().try_for_each(EtcdNode::start_again)?;
        Ok(self.0.wait_until_healthy()?)
    }

    fn relay(&self) -> Result<Relay, BuildError> {
        let proxy = Proxy::to(self.0.ports()[0])?;
        Ok(Relay::new(format!("etcd://127.0.0.1:{}", proxy.port()), move || proxy.cut(Cut::Silent)))
    }
}
