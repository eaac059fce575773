//! Connecting: a socket to a server, encrypted where the configuration says so, and the client's task that carries it.

use std::io;
use std::pin::Pin;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, RedisError};
use rustls_pki_types::ServerName;
use tenure_base_net::secret::ExposeSecret;
use tenure_base_net::spoken::Spoken;
use tenure_base_net::tls::{ClientTls, TlsError};
use tenure_store::{StoreError, StoreErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use crate::address::Address;
use crate::config::Credentials;
use crate::error::{ErrorReply, for_read, invalid, unavailable};

/// Connects to the servers of one kind: data servers or Sentinels.
#[derive(Clone)]
pub(crate) struct Connector {
    tls: Option<TlsConnector>,
    credentials: Credentials,
    database: i64,
    timeout: Duration,
}

/// A connection that was greeted. Dropping it ends its task, which closes the socket.
pub(crate) struct Connection {
    client: MultiplexedConnection,
    task: AbortOnDropHandle<()>,
}

/// Takes the messages that a server pushes to subscribers. It must not block.
pub(crate) type PushHandler = Box<dyn Fn(PushInfo) + Send + Sync>;

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

impl Connector {
    /// Reads certificates, if there are any to read. A call may take as long as `timeout`.
    pub(crate) fn new(
        tls: Option<&ClientTls>,
        credentials: &Credentials,
        database: i64,
        timeout: Duration,
    ) -> Result<Connector, StoreError> {
        let tls = tls.map(ClientTls::config).transpose().map_err(|error| match error {
            TlsError::File { .. } => invalid(format!("redis: {error} (ca=, cert= and key= of the URL)")),
            TlsError::Setup(_) => StoreError::new(StoreErrorKind::Unsupported, format!("redis: {error}")),
        })?;
        let tls = tls.map(TlsConnector::from);
        Ok(Connector { tls, credentials: credentials.clone(), database, timeout })
    }

    /// How long a call may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Connects and authenticates; `on_push` is for connections that will subscribe. The caller bounds the wait: connecting
    /// itself has no time-out.
    pub(crate) async fn connect(
        &self,
        address: &Address,
        on_push: Option<PushHandler>,
    ) -> Result<Connection, StoreError> {
        let stream = self.stream(address).await.map_err(|error| {
            let remedy = self.remedy(&error);
            unavailable(format!("redis {address}: not reachable: {error}{remedy}"))
        })?;
        let mut info = RedisConnectionInfo::default().set_db(self.database).set_skip_set_lib_name();
        if let Some(user) = &self.credentials.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.credentials.password {
            info = info.set_password(password.expose_secret());
        }
        // The client's own time-outs are off: each caller knows its deadline.
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        if let Some(on_push) = on_push {
            info = info.set_protocol(ProtocolVersion::RESP3);
            config = config.set_push_sender(move |push: PushInfo| {
                on_push(push);
                Ok::<(), ()>(())
            });
        }
        match MultiplexedConnection::new_with_config(&info, stream, config).await {
            Ok((client, driver)) => Ok(Connection { client, task: AbortOnDropHandle::new(tokio::spawn(driver)) }),
            Err(error) => Err(self.not_greeted(address, &error).await),
        }
    }

    /// Why a server that was reached refused the connection.
    async fn not_greeted(&self, address: &Address, error: &RedisError) -> StoreError {
        match ErrorReply::of(error) {
            Some(reply) if reply.is_no_database() && self.database != 0 => self.no_database(address).await,
            Some(reply) => for_read(reply.to_error(address)),
            None if error.kind() == redis::ErrorKind::AuthenticationFailed => {
                let remedy = if error.to_string().contains("without any password") {
                    "this server asks for no password, and refuses one; leave it out"
                } else {
                    "the password was refused; see TENURE_REDIS_USER and TENURE_REDIS_PASSWORD"
                };
                StoreError::new(StoreErrorKind::Denied, format!("redis {address}: {remedy}"))
            }
            None => {
                let remedy = self.tls_remedy(error);
                unavailable(format!("redis {address}: no greeting: {error}{remedy}"))
            }
        }
    }

    /// Says how many databases the server has, where it tells.
    async fn no_database(&self, address: &Address) -> StoreError {
        let first = Connector { database: 0, ..self.clone() };
        let count = async {
            // Every server has database 0, so that this does not end here again.
            let connection = Box::pin(first.connect(address, None)).await.ok()?;
            let mut question = redis::cmd("CONFIG");
            question.arg("GET").arg("databases");
            let (_, count): (String, u64) = question.query_async(&mut connection.client()).await.ok()?;
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
        invalid(message)
    }

    /// What may help where a socket could not be opened.
    fn remedy(&self, error: &io::Error) -> &'static str {
        let text = error.to_string();
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => {
                "; check that a server listens there, and that the store's URL is right"
            }
            _ if text.contains("not valid for name") => "; name the server as its certificate does",
            _ if text.contains("CaUsedAsEndEntity") => {
                "; the server shows an authority's own certificate: give it one that is signed by that, or made with CA:FALSE"
            }
            _ if text.contains("certificate") => "; name the PEM file of its authority with ?ca=FILE",
            _ if text.contains("lookup") => "; check the host's name",
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                self.silence_remedy()
            }
            _ => "",
        }
    }

    /// What may help where a server closes a connection before it has answered anything.
    pub(crate) fn tls_remedy(&self, error: &impl ToString) -> &'static str {
        match self.tls {
            None => "; where it wants TLS, write rediss://",
            Some(_) if error.to_string().contains("CertificateRequired") => {
                "; name the PEM files of the client's own certificate and key with ?cert=FILE&key=FILE"
            }
            Some(_) => "",
        }
    }

    /// Whether a server that speaks this is none that this connector is for.
    pub(crate) fn is_other(&self, spoken: Spoken) -> bool {
        spoken != if self.tls.is_some() { Spoken::Tls } else { Spoken::Redis }
    }

    /// What is wrong where [`Connector::is_other`] says so.
    pub(crate) fn other(&self, address: &Address, spoken: Spoken) -> StoreError {
        invalid(match (spoken, &self.tls) {
            (Spoken::Tls, _) => format!("redis {address}: speaks TLS; write rediss://"),
            (Spoken::Redis, _) => format!("redis {address}: speaks no TLS; write redis://"),
            (spoken, _) => format!(
                "redis {address}: {spoken} answers there, not Redis; write the host and port of the Redis server (its usual \
                 port is 6379)"
            ),
        })
    }

    /// What may help where a server answers nothing, or nothing that can be read.
    pub(crate) fn silence_remedy(&self) -> &'static str {
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

impl Connection {
    /// A handle to send commands with; all of them share the socket.
    pub(crate) fn client(&self) -> MultiplexedConnection {
        self.client.clone()
    }

    /// Whether the socket is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.task.is_finished()
    }
}
