//! What the suite may do to Kubernetes: write Leases by hand, stop the API server, kill it with its etcd, cut clients off.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Killable, Records, Stoppable, StoppableClient, StoreBuilder};
use tenure_kubernetes::KubernetesConfig;
use tenure_store::{HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Cut, CutOff, Kube, KubeWay};

pub(crate) struct Builder(Mutex<Kube>);

impl Builder {
    pub(crate) fn new(kube: Kube) -> Builder {
        Builder(Mutex::new(kube))
    }

    fn kube(&self) -> MutexGuard<'_, Kube> {
        self.0.lock().unwrap()
    }
}

pub(crate) async fn open(kubeconfig: PathBuf) -> Result<Arc<dyn LeaseStore>, BuildError> {
    let config = KubernetesConfig { kubeconfig: Some(kubeconfig), ..KubernetesConfig::default() };
    Ok(Arc::new(tenure_kubernetes::open(config).await?))
}

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        "kubernetes"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        open(self.kube().admin()).boxed()
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
        let way = self.kube().way();
        let client = async move {
            let way = way?;
            let store = open(way.config().to_owned()).await?;
            Ok(Box::new(Behind { store, way, cut: Mutex::default() }) as Box<dyn StoppableClient>)
        };
        Some(client.boxed())
    }
}

impl Records for Builder {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(ready(self.kube().forget(key.as_str()).map_err(BuildError::from)).boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        // A Lease of ours that client-go has taken over.
        let (store, kube) = (self.open(), self);
        let plant = async move {
            let store = store.await?;
            let nonce = tenure_store::Nonce { process: 1, campaign: 1 };
            let claim =
                tenure_store::Claim::new(key.clone(), holder.clone(), nonce, std::time::Duration::from_secs(600));
            store.acquire(&[claim]).await?;
            kube.kube().take_over(key.as_str(), holder.as_str())?;
            Ok(())
        };
        Some(plant.boxed())
    }
}

impl Stoppable for Builder {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.kube().server().stop();
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.kube().server().resume();
        ready(Ok(())).boxed()
    }
}

impl Killable for Builder {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.kube().kill();
        ready(Ok(())).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        ready(self.kube().start_again().map_err(BuildError::from)).boxed()
    }
}

/// A client behind a proxy that can swallow everything in between.
struct Behind {
    store: Arc<dyn LeaseStore>,
    way: KubeWay,
    cut: Mutex<Option<CutOff>>,
}

impl StoppableClient for Behind {
    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.store)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        *self.cut.lock().unwrap() = Some(self.way.cut(Cut::Silent));
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        drop(self.cut.lock().unwrap().take());
        ready(Ok(())).boxed()
    }
}
