//! The beginning of a connection: TCP, TLS, the server's INFO, and the login.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::{Map, Value, json};
use tenure_base_net::address::Address;
use tenure_base_net::spoken::{PATIENCE, Spoken, spoken};
use tenure_base_net::tls::ClientTls;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::{NatsConfig, TlsMode};
use crate::connection::{Connection, Socket, server_error};
use crate::error::{ConfigError, NatsError};
use crate::protocol::Op;

/// How long one server may take until it is connected to and logged in at.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What each handshake needs, prepared once.
#[derive(Clone, Debug)]
pub(crate) struct Handshake {
    pub(crate) config: Arc<NatsConfig>,
    tls: Arc<ClientConfig>,
    // One was connected to: those that do not answer now are slow, or away.
    known: Arc<AtomicBool>,
}

impl Handshake {
    /// Reads the files that the configuration names.
    pub(crate) fn new(config: NatsConfig) -> Result<Handshake, ConfigError> {
        config.check()?;
        let identity = config.cert_file.clone().zip(config.key_file.clone());
        let tls = ClientTls { ca_file: config.ca_file.clone(), identity }.config();
        let tls = tls.map_err(|error| ConfigError::new(error.to_string()))?;
        Ok(Handshake { config: Arc::new(config), tls, known: Arc::default() })
    }

    /// Connects to `server`, whose certificate must name `certified`, and logs in.
    pub(crate) async fn connect(&self, server: &Address, certified: &str) -> Result<Connection, NatsError> {
        match timeout(TIMEOUT, self.shake_hands_or_tell(server, certified)).await {
            Ok(result) => result.map_err(|error| NatsError::new(error.kind(), format!("{server}: {error}"))),
            Err(_) => {
                // A server that takes one connection at a time answers the question only now that the first one is closed.
                let asked = !self.known.load(Ordering::Relaxed);
                let other = if asked { spoken(&server.host, server.port).await } else { None };
                let other = other.and_then(|found| self.other(found));
                let error =
                    other.unwrap_or_else(|| NatsError::unreachable(format!("has not answered within {TIMEOUT:?}")));
                Err(NatsError::new(error.kind(), format!("{server}: {error}")))
            }
        }
    }

    /// Connects; as long as no server was connected to, the error names another protocol where one is spoken there.
    async fn shake_hands_or_tell(&self, server: &Address, certified: &str) -> Result<Connection, NatsError> {
        let mut shaking = pin!(self.shake_hands(server, certified));
        if self.known.load(Ordering::Relaxed) {
            return shaking.await;
        }
        let other = async {
            let found = spoken(&server.host, server.port).await?;
            self.other(found)
        };
        let connected = match timeout(PATIENCE, shaking.as_mut()).await {
            Ok(Err(error)) if !error.to_string().contains("certificate") => Err(other.await.unwrap_or(error)),
            Ok(connected) => connected,
            Err(_) => tokio::select! {
                biased;
                connected = shaking => connected,
                Some(other) = other => Err(other),
            },
        };
        self.known.fetch_or(connected.is_ok(), Ordering::Relaxed);
        connected
    }

    /// What is wrong with a server that speaks this; nothing where it is what it should be.
    fn other(&self, spoken: Spoken) -> Option<NatsError> {
        let first = self.config.tls == TlsMode::First;
        Some(NatsError::invalid(match spoken {
            Spoken::Nats if first => "does not begin with TLS: leave tls=first away".to_owned(),
            Spoken::Nats => return None,
            Spoken::Tls if first => return None,
            Spoken::Tls => {
                "begins with TLS: where it is a NATS server (handshake_first there), add ?tls=first; else write the \
                            host and port of the NATS server (its usual port is 4222)"
                    .to_owned()
            }
            spoken => format!(
                "{spoken} answers there, not NATS: write the host and port of the NATS server (its usual port is 4222)"
            ),
        }))
    }

    async fn shake_hands(&self, server: &Address, certified: &str) -> Result<Connection, NatsError> {
        let tcp = TcpStream::connect((server.host.as_str(), server.port)).await;
        let tcp = tcp.map_err(|error| {
            let remedy = match error.kind() {
                io::ErrorKind::ConnectionRefused => "; check that a server listens there, and that the URL is right",
                _ if error.to_string().contains("lookup") => "; check the host's name",
                _ => "",
            };
            NatsError::unreachable(format!("cannot be connected to: {error}{remedy}"))
        })?;
        tcp.set_nodelay(true).map_err(|error| NatsError::io("cannot be set up", &error))?;
        let mut connection = Connection::new(tcp, server.clone());
        let tls_first = self.config.tls == TlsMode::First;
        if tls_first {
            connection.socket = self.encrypt(connection.socket, certified).await?;
        }
        match connection.op().await? {
            Op::Info(info) => connection.info = *info,
            other => return Err(NatsError::unreachable(format!("began with {other:?} instead of INFO"))),
        }
        let info = &connection.info;
        if !tls_first && (info.tls_required || self.config.tls == TlsMode::Required) {
            if !info.tls_required && !info.tls_available {
                return Err(NatsError::invalid("speaks no TLS: use nats:// without tls, or configure tls there"));
            }
            if !connection.input.is_empty() {
                return Err(NatsError::unreachable("sent more than INFO before TLS was begun"));
            }
            connection.socket = self.encrypt(connection.socket, certified).await?;
        }
        if !connection.info.headers {
            return Err(NatsError::invalid(
                "takes no headers: nats-server 2.2 or later is needed, without no_header_support",
            ));
        }
        self.log_in(&mut connection).await?;
        Ok(connection)
    }

    async fn encrypt(&self, socket: Box<dyn Socket>, certified: &str) -> Result<Box<dyn Socket>, NatsError> {
        let name = ServerName::try_from(certified.to_owned());
        let name = name.map_err(|_| NatsError::invalid(format!("{certified:?} is no name for a certificate")))?;
        match TlsConnector::from(Arc::clone(&self.tls)).connect(name, socket).await {
            Ok(encrypted) => Ok(Box::new(encrypted)),
            // What rustls does not accept is data that is wrong, and stays so; the rest is the network's.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                Err(NatsError::invalid(format!("TLS: {error} (trust an authority of your own with NATS_CA)")))
            }
            Err(error) => Err(NatsError::io("TLS", &error)),
        }
    }

    /// Says who the client is, subscribes to the inbox, and waits until the server has taken both.
    async fn log_in(&self, connection: &mut Connection) -> Result<(), NatsError> {
        let mut connect = Map::new();
        for (name, value) in [
            ("verbose", json!(false)),
            ("pedantic", json!(false)),
            ("lang", json!("rust")),
            ("version", json!(env!("CARGO_PKG_VERSION"))),
            ("name", json!("tenure")),
            ("protocol", json!(1)),
            ("echo", json!(false)),
            ("headers", json!(true)),
            ("no_responders", json!(true)),
            ("tls_required", json!(self.config.tls != TlsMode::IfAsked)),
        ] {
            connect.insert(name.to_owned(), value);
        }
        self.config.login.answer(&connection.info.nonce, &mut connect).map_err(NatsError::invalid)?;
        connection.output.extend_from_slice(format!("CONNECT {}\r\n", Value::Object(connect)).as_bytes());
        connection.subscribe(&format!("{}*", connection.inbox));
        connection.ping();
        loop {
            match connection.op().await? {
                Op::Pong => return Ok(()),
                Op::Ping => connection.pong(),
                Op::Info(info) => connection.info = *info,
                Op::Ok | Op::Message(_) => {}
                Op::Error(text) => return Err(server_error(&text)),
            }
        }
    }
}
