//! What the suite may do to an emulator: write documents by hand, stop it, kill it, cut a client off.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tenure_conformance::{BuildError, Opening, Relay, ServerBuilder, TestServer};
use tenure_firestore::FirestoreConfig;
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Cut, Firestore, Proxy};

use crate::by_hand::{ByHand, text};

/// One project of an emulator.
pub(crate) struct Project {
    emulator: Firestore,
    project: String,
}

pub(crate) fn builder(emulator: Firestore) -> ServerBuilder<Project> {
    ServerBuilder::new("firestore emulator", Project { project: emulator.new_project(), emulator })
}

impl Project {
    fn at(&self, host: &str) -> String {
        format!("firestore://{}?emulator={host}", self.project)
    }

    fn by_hand(&self) -> ByHand {
        ByHand::new(&self.emulator.host(), &self.project)
    }
}

/// Where the document of a key that names none itself lies.
fn path(key: &LeaseKey) -> String {
    format!("tenure/{}", URL_SAFE_NO_PAD.encode(key.as_str()))
}

impl TestServer for Project {
    fn url(&self) -> String {
        self.at(&self.emulator.host())
    }

    fn open(url: String) -> Opening<dyn LeaseStore> {
        async move { Ok(Arc::new(tenure_firestore::open(&url.parse::<FirestoreConfig>()?).await?) as _) }.boxed()
    }

    fn open_documents(url: String) -> Opening<dyn DocumentStore> {
        async move { Ok(Arc::new(tenure_firestore::open_documents(&url.parse::<FirestoreConfig>()?).await?) as _) }
            .boxed()
    }

    fn forget<'a>(&'a mut self, key: &'a LeaseKey) -> BoxFuture<'a, Result<(), BuildError>> {
        async { self.by_hand().delete(&path(key)).await }.map(Ok).boxed()
    }

    fn plant<'a>(&'a mut self, key: &'a LeaseKey, holder: &'a HolderId) -> BoxFuture<'a, Result<(), BuildError>> {
        let fields = json!({ "key": text(key.as_str()), "owner": text(holder.as_str()) });
        async { self.by_hand().put(&path(key), fields).await }.map(Ok).boxed()
    }

    fn stop(&mut self) {
        self.emulator.server().stop();
    }

    fn resume(&mut self) -> Result<(), BuildError> {
        self.emulator.server().resume();
        Ok(())
    }

    fn kill(&mut self) {
        self.emulator.server().kill();
    }

    fn start(&mut self) -> Result<(), BuildError> {
        Ok(self.emulator.start_again()?)
    }

    fn relay(&self) -> Result<Relay, BuildError> {
        let proxy = Proxy::to(self.emulator.port())?;
        Ok(Relay::new(self.at(&format!("127.0.0.1:{}", proxy.port())), move || proxy.cut(Cut::Silent)))
    }
}
