//! What the suite may do to Kubernetes: write Leases by hand, stop the API server, kill it with its etcd, cut clients off.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Opening, Relay, ServerBuilder, TestServer};
use tenure_kubernetes::{Cluster, KubernetesConfig};
use tenure_store::{Claim, DocumentStore, HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Cut, Kube};

/// An API server and its etcd.
pub(crate) struct Servers(Kube);

pub(crate) fn builder(kube: Kube) -> ServerBuilder<Servers> {
    ServerBuilder::new("kubernetes", Servers(kube))
}

fn config(kubeconfig: String) -> KubernetesConfig {
    let cluster = Cluster { kubeconfig: Some(kubeconfig.into()), ..Cluster::default() };
    KubernetesConfig { cluster, ..KubernetesConfig::default() }
}

impl TestServer for Servers {
    fn url(&self) -> String {
        self.0.admin().display().to_string()
    }

    fn open(url: String) -> Opening<dyn LeaseStore> {
        async { Ok(Arc::new(tenure_kubernetes::open(config(url)).await?) as _) }.boxed()
    }

    fn open_documents(url: String) -> Opening<dyn DocumentStore> {
        async { Ok(Arc::new(tenure_kubernetes::open_documents(config(url)).await?) as _) }.boxed()
    }

    fn forget<'a>(&'a mut self, key: &'a LeaseKey) -> BoxFuture<'a, Result<(), BuildError>> {
        ready(self.0.forget(key.as_str()).map_err(BuildError::from)).boxed()
    }

    /// A Lease of ours that client-go has taken over.
    fn plant<'a>(&'a mut self, key: &'a LeaseKey, holder: &'a HolderId) -> BoxFuture<'a, Result<(), BuildError>> {
        let plant = async move {
            let nonce = tenure_store::Nonce { process: 1, campaign: 1 };
            let claim = Claim::new(key.clone(), holder.clone(), nonce, std::time::Duration::from_secs(600));
            Self::open(self.url()).await?.acquire(&[claim]).await?;
            Ok(self.0.take_over(key.as_str(), holder.as_str())?)
        };
        plant.boxed()
    }

    fn stop(&mut self) {
        self.0.server().stop();
    }

    fn resume(&mut self) -> Result<(), BuildError> {
        self.0.server().resume();
        Ok(())
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn start(&mut self) -> Result<(), BuildError> {
        Ok(self.0.start_again()?)
    }

    fn relay(&self) -> Result<Relay, BuildError> {
        let way = self.0.way()?;
        Ok(Relay::new(way.config().display().to_string(), move || way.cut(Cut::Silent)))
    }
}
