//! What the suite may do to PostgreSQL: write records by hand, stop the server, kill it, cut a client off.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use tenure_conformance::{BuildError, Opening, Relay, ServerBuilder, TestServer};
use tenure_postgres::PostgresConfig;
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};
use tenure_test_servers::{Cut, Postgres, Proxy};

/// One server.
pub(crate) struct Server(Postgres);

pub(crate) fn builder(name: &'static str, server: Postgres) -> ServerBuilder<Server> {
    ServerBuilder::new(name, Server(server))
}

impl Server {
    fn by_hand(&self, sql: &str) -> BoxFuture<'_, Result<(), BuildError>> {
        let said = self.0.psql(sql);
        ready(if said.trim().is_empty() { Ok(()) } else { Err(said.into()) }).boxed()
    }
}

impl TestServer for Server {
    fn url(&self) -> String {
        self.0.url()
    }

    fn open(url: String) -> Opening<dyn LeaseStore> {
        async move { Ok(Arc::new(tenure_postgres::open(url.parse::<PostgresConfig>()?).await?) as _) }.boxed()
    }

    fn open_documents(url: String) -> Opening<dyn DocumentStore> {
        async move { Ok(Arc::new(tenure_postgres::open_documents(url.parse::<PostgresConfig>()?).await?) as _) }.boxed()
    }

    fn forget<'a>(&'a mut self, key: &'a LeaseKey) -> BoxFuture<'a, Result<(), BuildError>> {
        self.by_hand(&format!("delete from tenure_leases where key = '{key}'"))
    }

    fn plant<'a>(&'a mut self, key: &'a LeaseKey, holder: &'a HolderId) -> BoxFuture<'a, Result<(), BuildError>> {
        self.by_hand(&format!(
            "insert into tenure_leases (key, version, holder, ttl_ms, hold_ms, resign_requested, touched_at, format) \
             values ('{key}', 1, '{holder}', 0, 0, false, now(), 9)"
        ))
    }

    fn stop(&mut self) {
        self.0.stop();
    }

    fn resume(&mut self) -> Result<(), BuildError> {
        self.0.resume();
        Ok(())
    }

    fn kill(&mut self) {
        self.0.kill();
    }

    fn start(&mut self) -> Result<(), BuildError> {
        Ok(self.0.start_again()?)
    }

    fn relay(&self) -> Result<Relay, BuildError> {
        let proxy = Proxy::to(self.0.port())?;
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", proxy.port());
        Ok(Relay::new(url, move || proxy.cut(Cut::Silent)))
    }
}
