//! What the suite may do to an emulator: write documents by hand, stop it, kill it, cut a client off.

#[path = "by_hand.rs"]
mod by_hand;

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use by_hand::{ByHand, text};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use serde_json::json;
use tenure_conformance::{BuildError, Killable, Records, Stoppable, StoppableClient, StoreBuilder};
use tenure_firestore::{FirestoreConfig, open, open_documents};
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Cut, CutOff, Firestore, Proxy};

pub(crate) struct Builder {
    server: Mutex<Firestore>,
    host: String,
    project: String,
}

impl Builder {
    pub(crate) fn new(server: Firestore) -> Builder {
        Builder { host: server.host(), project: server.new_project(), server: Mutex::new(server) }
    }

    fn by_hand(&self) -> ByHand {
        ByHand::new(&self.host, &self.project)
    }
}

fn config(project: &str, host: &str) -> Result<FirestoreConfig, BuildError> {
    Ok(format!("firestore://{project}?emulator={host}").parse()?)
}

async fn client(project: &str, host: &str) -> Result<Arc<dyn LeaseStore>, BuildError> {
    Ok(Arc::new(open(&config(project, host)?).await?))
}

/// Where the document of a key that names none itself lies.
fn path(key: &LeaseKey) -> String {
    format!("tenure/{}", URL_SAFE_NO_PAD.encode(key.as_str()))
}

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        "firestore emulator"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        client(&self.project, &self.host).boxed()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        let opened = async {
            let documents: Arc<dyn DocumentStore> =
                Arc::new(open_documents(&config(&self.project, &self.host)?).await?);
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
        Some(self)
    }

    fn stoppable_client(&self) -> Option<BoxFuture<'_, Result<Box<dyn StoppableClient>, BuildError>>> {
        let port = self.server.lock().unwrap().port();
        Some(
            async move {
                let proxy = Proxy::to(port)?;
                let store = client(&self.project, &format!("127.0.0.1:{}", proxy.port())).await?;
                Ok(Box::new(BehindProxy { store, proxy, cut: Mutex::default() }) as Box<dyn StoppableClient>)
            }
            .boxed(),
        )
    }
}

impl Records for Builder {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(async { self.by_hand().delete(&path(key)).await }.map(Ok).boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        let fields = json!({ "key": text(key.as_str()), "owner": text(holder.as_str()) });
        Some(async { self.by_hand().put(&path(key), fields).await }.map(Ok).boxed())
    }
}

impl Stoppable for Builder {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.server.lock().unwrap().server().stop();
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.server.lock().unwrap().server().resume();
        ready(Ok(())).boxed()
    }
}

impl Killable for Builder {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.server.lock().unwrap().server().kill();
        ready(Ok(())).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        ready(self.server.lock().unwrap().start_again().map_err(BuildError::from)).boxed()
    }
}

/// A client whose way to the emulator can be cut, so that packets vanish.
struct BehindProxy {
    store: Arc<dyn LeaseStore>,
    proxy: Proxy,
    cut: Mutex<Option<CutOff>>,
}

impl StoppableClient for BehindProxy {
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
