//! Dialling: a socket to a server, encrypted where it should be, with the client's task behind it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::ExposeSecret;
use tenure_store::{StoreError, StoreErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::config::{Address, Credentials, Tls};
use crate::failure::{Failure, Reply};

/// How to reach servers of one kind.
#[derive(Clone)]
pub(crate) struct Dial {
    tls: Option<TlsConnector>,
    credentials: Credentials,
    database: i64,
    timeout: Duration,
}

/// A connection, and the task that carries it. Dropping the last clone of it closes the socket.
pub(crate) struct Line {
    connection: MultiplexedConnection,
    task: JoinHandle<()>,
}

/// Takes what servers send unasked. It must not wait.
pub(crate) type Pushed = Box<dyn Fn(PushInfo) + Send + Sync>;

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

impl Dial {
    /// Reads certificates, if there are any to read. A call may take as long as `timeout`.
    pub(crate) fn new(
        tls: Option<&Tls>,
        credentials: &Credentials,
        database: i64,
        timeout: Duration,
    ) -> Result<Dial, StoreError> {
        let tls = tls.map(client_config).transpose()?.map(TlsConnector::from);
        Ok(Dial { tls, credentials: credentials.clone(), database, timeout })
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects and says who we are. `pushed` is for lines that are subscribed to something. It has no bound of its own.
    pub(crate) async fn line(&self, address: &Address, pushed: Option<Pushed>) -> Result<Line, Failure> {
        let stream = self.stream(address).await.map_err(|error| {
            let remedy = self.remedy(&error);
            Failure::unavailable(format!("redis {address}: not reachable: {error}{remedy}"))
        })?;
        let mut info = RedisConnectionInfo::default().set_db(self.database).set_skip_set_lib_name();
        if let Some(user) = &self.credentials.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.credentials.password {
            info = info.set_password(password.expose_secret());
        }
        // Bounds are kept by those who call: they know until when.
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        if let Some(pushed) = pushed {
            info = info.set_protocol(ProtocolVersion::RESP3);
            config = config.set_push_sender(move |push: PushInfo| {
                pushed(push);
                Ok::<(), ()>(())
            });
        }
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        match made {
            Ok((connection, driver)) => Ok(Line { connection, task: tokio::spawn(driver) }),
            Err(error) => Err(self.not_greeted(address, &error).await),
        }
    }

    /// Why a server that was reached did not let us in.
    async fn not_greeted(&self, address: &Address, error: &RedisError) -> Failure {
        match Reply::of(error) {
            Some(reply) if reply.is_no_database() && self.database != 0 => self.no_database(address).await,
            Some(reply) => reply.failure(&address.to_string()).of_question(),
            None if error.kind() == redis::ErrorKind::AuthenticationFailed => {
                let remedy = "the password was refused; see TENURE_REDIS_USER and TENURE_REDIS_PASSWORD";
                Failure::new(StoreErrorKind::Denied, format!("redis {address}: {remedy}"))
            }
            None => {
                let remedy = self.not_heard();
                Failure::unavailable(format!("redis {address}: no greeting: {error}{remedy}"))
            }
        }
    }

    /// Says how many databases the server has, where it tells.
    async fn no_database(&self, address: &Address) -> Failure {
        let first = Dial { database: 0, ..self.clone() };
        let count = async {
            // What is dialled has no database to be refused, so that this is asked once.
            let line = Box::pin(first.line(address, None)).await.ok()?;
            let mut question = redis::cmd("CONFIG");
            question.arg("GET").arg("databases");
            let (_, count): (String, u64) = question.query_async(&mut line.connection()).await.ok()?;
            Some(count)
        };
        let there_are = match count.await {
            Some(count) => format!("there are {count}, the last is {}", count.saturating_sub(1)),
            None => "there are 16 where redis.conf does not say otherwise".to_owned(),
        };
        let message = format!(
            "redis {address}: has no database {}: {there_are}; name one of these in the URL, or raise `databases` in redis.conf",
            self.database
        );
        Failure::new(StoreErrorKind::Invalid, message)
    }

    /// What may help where a socket could not be opened.
    fn remedy(&self, error: &io::Error) -> &'static str {
        let text = error.to_string();
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                "; check that a server listens there, and that the store's URL (--store, TENURE_STORE) is right"
            }
            _ if text.contains("certificate") => "; name the PEM file of its authority with ?ca=FILE",
            _ if text.contains("lookup") => "; check the host's name",
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => self.silent(),
            _ => "",
        }
    }

    /// What may help where a server ends a connection before it has answered anything.
    pub(crate) fn not_heard(&self) -> &'static str {
        if self.tls.is_some() { "" } else { "; where it wants TLS, write rediss://" }
    }

    /// What may help where nothing intelligible comes.
    pub(crate) fn silent(&self) -> &'static str {
        match self.tls {
            Some(_) => "; it may speak no TLS there: then write redis://",
            None => "; check the address, and that no firewall lies in between",
        }
    }

    async fn stream(&self, address: &Address) -> io::Result<Pin<Box<dyn Stream>>> {
        let (host, port) = match address {
            Address::Tcp(host, port) => (host.as_str(), *port),
            #[cfg(unix)]
            Address::Unix(path) => return Ok(Box::pin(tokio::net::UnixStream::connect(path).await?)),
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::Error::new(io::ErrorKind::Unsupported, "no such sockets here")),
        };
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => Ok(Box::pin(stream)),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                Ok(Box::pin(tls.connect(name, stream).await?))
            }
        }
    }
}

impl Line {
    /// The connection, to send on.
    pub(crate) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Whether it is known to be of no more use.
    pub(crate) fn is_dead(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The system's trust, or only the certificates of the `ca` file.
fn client_config(tls: &Tls) -> Result<Arc<ClientConfig>, StoreError> {
    let failed = |error: rustls::Error| StoreError::new(StoreErrorKind::Unsupported, format!("redis: TLS: {error}"));
    // The provider is named here, so that no other crate's choice of a process-wide one matters.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)?;
    let builder = match &tls.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.with_platform_verifier().map_err(failed)?,
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

fn roots(path: &std::path::Path) -> Result<RootCertStore, StoreError> {
    let wrong = |why: String| {
        StoreError::new(StoreErrorKind::Invalid, format!("redis: ca={}: {why}; name a PEM file", path.display()))
    };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(format!("it is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| wrong(format!("a certificate in it is not usable: {error}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(roots)
}
