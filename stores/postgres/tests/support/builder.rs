//! What the suite may do to PostgreSQL: write records by hand, stop the server, kill it, cut a client off.

use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Killable, Records, Stoppable, StoppableClient, StoreBuilder};
use tenure_store::{HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::Postgres;

use crate::proxy::{Mode, Proxy};

/// The suite's way to one server.
pub(crate) struct Builder(Mutex<Postgres>);

impl Builder {
    pub(crate) fn new(server: Postgres) -> Builder {
        Builder(Mutex::new(server))
    }

    fn server(&self) -> MutexGuard<'_, Postgres> {
        self.0.lock().unwrap()
    }

    fn by_hand(&self, sql: &str) -> Option<BoxFuture<'_, Result<(), BuildError>>> {
        let said = self.server().psql(sql);
        Some(ready(if said.trim().is_empty() { Ok(()) } else { Err(said.into()) }).boxed())
    }
}

impl StoreBuilder for Builder {
    fn name(&self) -> &str {
        "postgres"
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>> {
        let url = self.server().url();
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
        let port = self.server().port();
        let client = async move {
            let proxy = Proxy::to(port).await;
            let store = open(&proxy.url()).await?;
            Ok(Box::new(CutOff { store, proxy }) as Box<dyn StoppableClient>)
        };
        Some(client.boxed())
    }
}

async fn open(url: &str) -> Result<Arc<dyn LeaseStore>, BuildError> {
    Ok(Arc::new(tenure_postgres::open(url.parse::<tenure_postgres::PostgresConfig>()?).await?))
}

impl Records for Builder {
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        self.by_hand(&format!("delete from tenure_leases where key = '{key}'"))
    }

    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>> {
        self.by_hand(&format!(
            "insert into tenure_leases (key, version, holder, ttl_ms, hold_ms, resign_requested, touched_at, format) \
             values ('{key}', 1, '{holder}', 0, 0, false, now(), 9)"
        ))
    }
}

impl Stoppable for Builder {
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.server().stop();
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.server().resume();
        ready(Ok(())).boxed()
    }
}

impl Killable for Builder {
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.server().kill();
        ready(Ok(())).boxed()
    }

    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        ready(self.server().start_again().map_err(BuildError::from)).boxed()
    }
}

/// A client behind a proxy that can hold everything back.
struct CutOff {
    store: Arc<dyn LeaseStore>,
    proxy: Proxy,
}

impl StoppableClient for CutOff {
    fn store(&self) -> Arc<dyn LeaseStore> {
        Arc::clone(&self.store)
    }

    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.proxy.set(Mode::Hold);
        ready(Ok(())).boxed()
    }

    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>> {
        self.proxy.set(Mode::Pass);
        ready(Ok(())).boxed()
    }
}
