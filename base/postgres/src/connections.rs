//! The connections of one client: few, its own, each used by one call at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_postgres::config::{SslMode, TargetSessionAttrs};
use tokio_postgres::{Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{DatabaseConfig, Server, Ssl};
use crate::error::{Call, DatabaseError, DatabaseErrorKind};

/// How many there are at most, besides those that listen.
pub(crate) const CONNECTIONS: usize = 4;

/// How long a server may take to be told that nobody waits for an answer any more.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) struct Connections {
    pub(crate) config: DatabaseConfig,
    pub(crate) tls: MakeRustlsConnect,
    permits: Semaphore,
    idle: Mutex<Vec<Link>>,
    /// The host that took writes last.
    good: AtomicUsize,
}

/// A connection and the task that carries it.
struct Link {
    client: Client,
    carrier: JoinHandle<()>,
}

/// A connection in use. Where it is dropped before [`Using::finish`] the statement is cancelled, and the connection closed: a
/// statement that waits for a lock would stay at the server otherwise, with a connection of its own.
pub(crate) struct Using<'a> {
    link: Option<Link>,
    connections: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

/// A connection that nobody carries yet.
pub(crate) type Open =
    (Client, Connection<Socket, <MakeRustlsConnect as tokio_postgres::tls::MakeTlsConnect<Socket>>::Stream>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Connections {
    pub(crate) fn new(config: DatabaseConfig) -> Result<Connections, DatabaseError> {
        let tls = match config.ssl {
            Some(Ssl::Verified) => config.tls.config(),
            _ => config.tls.opportunistic(),
        };
        let tls = tls.map_err(|error| DatabaseError::invalid(error.to_string()))?;
        let tls = MakeRustlsConnect::new((*tls).clone());
        Ok(Connections {
            config,
            tls,
            permits: Semaphore::new(CONNECTIONS),
            idle: Mutex::default(),
            good: AtomicUsize::new(0),
        })
    }

    /// One that is idle, or a new one.
    pub(crate) async fn get(&self) -> Result<Using<'_>, DatabaseError> {
        let closed = |_| DatabaseError::new(DatabaseErrorKind::Unavailable, "the client is being closed");
        let permit = self.permits.acquire().await.map_err(closed)?;
        let idle = std::iter::from_fn(|| self.idle().pop()).find(|link| !link.client.is_closed());
        let link = match idle {
            Some(link) => link,
            None => {
                let (client, connection) = self.connect().await?;
                let carrier = tokio::spawn(async { drop(connection.await) });
                Link { client, carrier }
            }
        };
        Ok(Using { link: Some(link), connections: self, _permit: permit })
    }

    /// Lets go of every connection that is idle: they lead to a server that takes no writes.
    pub(crate) fn forget(&self) {
        self.idle().clear();
    }

    /// A new connection to the first host that takes writes, beginning with the one that did so last.
    pub(crate) async fn connect(&self) -> Result<Open, DatabaseError> {
        let servers = &self.config.servers;
        let first = self.good.load(Ordering::Relaxed);
        // Each host has its share of the time, so that one that does not answer leaves some to the others.
        let share = self.config.timeout / u32::try_from(servers.len() + 1).unwrap_or(u32::MAX);
        let mut errors: Vec<DatabaseError> = Vec::new();
        for place in (0..servers.len()).map(|place| (first + place) % servers.len()) {
            let server = &servers[place];
            let at = format!("{}:{}", server.host, server.port);
            match tokio::time::timeout(share, self.options(server).connect(self.tls.clone())).await {
                Ok(Ok(open)) => {
                    self.good.store(place, Ordering::Relaxed);
                    return Ok(open);
                }
                Ok(Err(error)) => errors.push(DatabaseError::of(Call::Read, &at, &error)),
                Err(_) => errors.push(DatabaseError::lost(Call::Read, &at, &format!("no answer within {share:?}"))),
            }
        }
        Err(DatabaseError::of_all(&errors))
    }

    pub(crate) fn options(&self, server: &Server) -> tokio_postgres::Config {
        let mut options = tokio_postgres::Config::new();
        options.host(&server.host).port(server.port).application_name("tenure");
        options.target_session_attrs(TargetSessionAttrs::ReadWrite);
        options.ssl_mode(match self.config.ssl {
            Some(Ssl::Never) => SslMode::Disable,
            None | Some(Ssl::IfOffered) => SslMode::Prefer,
            Some(Ssl::Verified) => SslMode::Require,
        });
        // Whoever listens sends nothing, and would never learn that the other end is gone.
        options
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3);
        self.config.user.as_ref().map(|user| options.user(user));
        self.config.database.as_ref().map(|database| options.dbname(database));
        self.config.secret_for(server).map(|secret| options.password(secret));
        options
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Link>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Using<'_> {
    pub(crate) fn client(&self) -> &Client {
        match &self.link {
            Some(link) => &link.client,
            None => unreachable!("the connection is given back by value"),
        }
    }

    /// Closes the connection, whose last statement was answered, or cannot be answered any more.
    pub(crate) fn close(mut self) {
        self.link = None;
    }

    /// Gives the connection back: its last statement was answered.
    pub(crate) fn finish(mut self) {
        self.connections.idle().extend(self.link.take().filter(|link| !link.client.is_closed()));
    }
}

impl Drop for Using<'_> {
    fn drop(&mut self) {
        let Some(Link { client, carrier }) = self.link.take() else { return };
        let (cancel, tls) = (client.cancel_token(), self.connections.tls.clone());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                _ = tokio::time::timeout(CANCEL_TIMEOUT, cancel.cancel_query(tls)).await;
                // It would go on waiting for the answer. It is closed last: a pooler forgets what to cancel with its client.
                carrier.abort();
                drop(client);
            })),
            Err(_) => carrier.abort(),
        }
    }
}
