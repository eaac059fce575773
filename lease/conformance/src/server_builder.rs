//! A builder for stores on a server that a test has started: what is particular to the server, and nothing else, is the test's.

use std::any::Any;
use std::sync::{Arc, Mutex as Cell, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};
use tokio::sync::Mutex;

use crate::builder::{BuildError, Killable, Records, Stoppable, StoppableClient, StoreBuilder};

/// A client of a [`TestServer`], once it is opened.
pub type Opening<C> = BoxFuture<'static, Result<Arc<C>, BuildError>>;

/// A server, or several that are one, and how a store over it is opened. Its methods may block.
pub trait TestServer: Send {
    /// What the store is opened with: a URL, or the path of a file.
    fn url(&self) -> String;

    /// Opens a client of the store there.
    fn open(url: String) -> Opening<dyn LeaseStore>;

    /// Opens a client of the documents beside the leases.
    fn open_documents(url: String) -> Opening<dyn DocumentStore>;

    /// Deletes everything that is kept for the key, with the server's own tool or protocol.
    fn forget<'a>(&'a mut self, key: &'a LeaseKey) -> BoxFuture<'a, Result<(), BuildError>>;

    /// Writes a record of another program, or of an unknown format, in the key's place.
    fn plant<'a>(&'a mut self, key: &'a LeaseKey, holder: &'a HolderId) -> BoxFuture<'a, Result<(), BuildError>>;

    /// Stops it (SIGSTOP): once this returns, nobody gets an answer.
    fn stop(&mut self);

    /// Lets it go on, and waits until it answers where that takes a while.
    fn resume(&mut self) -> Result<(), BuildError>;

    /// Kills it (SIGKILL).
    fn kill(&mut self);

    /// Starts it again over what it kept, and waits until it answers.
    fn start(&mut self) -> Result<(), BuildError>;

    /// A way of its own for one client.
    fn relay(&self) -> Result<Relay, BuildError>;
}

/// A way to a server that swallows everything while it is cut.
pub struct Relay {
    url: String,
    cut: Box<dyn Fn() -> Box<dyn Any + Send> + Send + Sync>,
}

impl Relay {
    /// The way that `url` leads along. `cut` cuts it, until what it returns is dropped.
    pub fn new<G: Send + 'static>(url: String, cut: impl Fn() -> G + Send + Sync + 'static) -> Relay {
        Relay { url, cut: Box::new(move || Box::new(cut())) }
    }
}

/// Offers a [`TestServer`] to the suite.
pub struct ServerBuilder<S> {
    name: &'static str,
    server: Mutex<S>,
}

impl<S: TestServer> ServerBuilder<S> {
    /// This server, under this name in the report.
    pub fn new(name: &'static str, server: S) -> Self {
        ServerBuilder { name, server: Mutex::new(server) }
    }

    fn act<'a>(
        &'a self,
        act: impl FnOnce(&mut S) -> Result<(), BuildError> + Send + 'a,
    ) -> BoxFuture<'a, Result<(), BuildError>> {
        async { act(&mut *self.server.lock().await) }.boxed()
    }

    async fn behind_relay(&self) -> Result<Box<dyn StoppableClient>, BuildError> {
        let relay = self.server.lock().await.relay()?;
        let store = S::open(relay.url.clone()).await?;
        Ok(Box::new(BehindRelay { store, relay, cut: Cell::default() }))
    }
}

impl<S: TestServer> StoreBuilder for ServerBuilder<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        async {
            let url = self.server.lock().await.url();
            S::open(url).await
        }
        .boxed()
    }

    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        let opening = async {
            let url = self.server.lock().await.url();
            S::open_documents(url).await
        };
        Some(opening.boxed())
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
        Some(self.behind_relay().boxed())
    }
}

impl<S: TestServer> Records for ServerBuilder<S> {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(async { self.server.lock().await.forget(key).await }.boxed())
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        Some(async { self.server.lock().await.plant(key, holder).await }.boxed())
    }
}

impl<S: TestServer> Stoppable for ServerBuilder<S> {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.act(|server| {
            server.stop();
            Ok(())
        })
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.act(S::resume)
    }
}

impl<S: TestServer> Killable for ServerBuilder<S> {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.act(|server| {
            server.kill();
            Ok(())
        })
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.act(S::start)
    }
}

/// A client whose packets vanish while it is stopped.
struct BehindRelay {
    store: Arc<dyn LeaseStore>,
    relay: Relay,
    cut: Cell<Option<Box<dyn Any + Send>>>,
}

impl BehindRelay {
    fn set(&self, cut: Option<Box<dyn Any + Send>>) -> BoxFuture<'_, Result<(), BuildError>> {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = cut;
        std::future::ready(Ok(())).boxed()
    }
}

impl StoppableClient for BehindRelay {
    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.store)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.set(Some((self.relay.cut)()))
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.set(None)
    }
}
