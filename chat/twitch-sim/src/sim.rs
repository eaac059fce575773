//! The simulator: its listeners, its tasks, and the handle that controls it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::chat::Chat;
use crate::chat_state::ChatState;
use crate::config::SimConfig;
use crate::connection::{Connection, TransportKind};
use crate::error::SimError;
use crate::fault::{Fault, FaultOutcome};
use crate::feed::{self, LineSource};
use crate::ledger::{Ledger, LedgerLine, Recorder};
use crate::lock;
use crate::outbox::Close;
use crate::replay::Replay;
use crate::room::RoomName;
use crate::serve::serve;
use crate::shared::Shared;
use crate::stats::{self, Stats};
use crate::tls::Tls;
use crate::transport::Transport;
use crate::websocket::WebSocket;
use crate::world::World;

/// A running simulated Twitch. Dropping it ends it without waiting; [`Sim::shutdown`] waits.
#[derive(Debug)]
pub struct Sim {
    shared: Arc<Shared>,
    addresses: Addresses,
    ca_pem: Option<Arc<str>>,
}

/// The addresses that the simulator listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// IRC.
    pub irc: SocketAddr,
    /// IRC with TLS.
    pub ircs: Option<SocketAddr>,
    /// WebSocket.
    pub ws: Option<SocketAddr>,
    /// WebSocket with TLS.
    pub wss: Option<SocketAddr>,
    /// `/stats` and the others.
    pub http: Option<SocketAddr>,
}

impl Sim {
    /// Starts the listeners, and the chat as the start rule says. Needs a tokio runtime.
    pub async fn start(config: SimConfig) -> Result<Sim, SimError> {
        let mut config = config.checked()?;
        let replay = config.replay.as_deref().map(Replay::read).transpose()?;
        if let Some(replay) = &replay {
            config.channels.extend(replay.rooms());
        }
        let closed = |name: &String| config.closed_rooms().any(|(other, _)| other == name.as_str());
        let mut seen = std::collections::HashSet::new();
        let names: Vec<_> = config.channels.iter().filter(|name| !closed(name) && seen.insert(name.as_str())).collect();
        let rooms: Arc<[RoomName]> = names.into_iter().map(|name| RoomName::new(name)).collect();
        let config = Arc::new(config);
        let recorder = Arc::new(Recorder::new(config.ledger_bytes));
        let world = World::new(config.clone(), &rooms, recorder.clone());

        let tls = match config.tls_listen.or(config.wss_listen) {
            Some(_) => {
                let listens = [config.tls_listen, config.wss_listen].into_iter().flatten().map(|addr| addr.ip());
                let tls = Tls::new(listens)?;
                write_ca(config.tls_ca_file.as_deref(), &tls.ca_pem)?;
                Some(tls)
            }
            None => None,
        };
        let mut listeners = Vec::new();
        let mut bound = [None; 4];
        for (transport, what, addr) in [
            (TransportKind::Irc, "IRC", Some(config.listen)),
            (TransportKind::Ircs, "IRC with TLS", config.tls_listen),
            (TransportKind::Ws, "WebSocket", config.ws_listen),
            (TransportKind::Wss, "WebSocket with TLS", config.wss_listen),
        ] {
            let Some(addr) = addr else { continue };
            let (listener, addr) = listen(what, addr).await?;
            bound[transport as usize] = Some(addr);
            let tls = tls.clone().filter(|_| matches!(transport, TransportKind::Ircs | TransportKind::Wss));
            listeners.push((listener, ListenerProtocol { transport, tls }));
        }
        let http = match config.http_listen {
            Some(addr) => Some(listen("HTTP", addr).await?),
            None => None,
        };
        let [irc, ircs, ws, wss] = bound;
        let addresses =
            Addresses { irc: irc.unwrap_or(config.listen), ircs, ws, wss, http: http.as_ref().map(|(_, addr)| *addr) };
        let ca_pem = tls.map(|tls| tls.ca_pem);

        let source = match replay {
            Some(replay) => {
                let skipped = replay.skipped as u64;
                let source = LineSource::replayed(replay, |name| world.room_number(name));
                (source, skipped)
            }
            None => (LineSource::Generated(Box::new(Chat::new(config.seed, rooms, config.people))), 0),
        };
        let shared = Arc::new(Shared::new(config.clone(), world, recorder));
        shared.counts.replay_skipped.store(source.1, Ordering::Relaxed);
        let sim = Sim { shared: shared.clone(), addresses, ca_pem: ca_pem.clone() };
        sim.schedule_faults()?;
        let next_id = Arc::new(AtomicU64::new(1));
        for (listener, protocol) in listeners {
            shared.tasks.spawn(accept(listener, protocol, shared.clone(), next_id.clone()));
        }
        if let Some((listener, _)) = http {
            shared.tasks.spawn(crate::http::serve(listener, shared.clone(), ca_pem));
        }
        shared.tasks.spawn(feed::run(shared.clone(), source.0));
        shared.tasks.spawn(feed::tell_membership(shared.clone()));
        Ok(sim)
    }

    /// The addresses that the simulator listens on.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The certificate that clients of the TLS listener must trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca_pem.as_deref()
    }

    /// Injects a fault now.
    pub fn fault(&self, fault: Fault) -> Result<FaultOutcome, SimError> {
        self.shared.fault(fault).map_err(SimError::Config)
    }

    /// The ledger as it is now.
    pub fn ledger(&self) -> Ledger {
        self.shared.recorder.snapshot()
    }

    /// The lines of the ledger from this number on, without the rest: for who follows the chat while it goes on.
    pub fn lines_from(&self, index: u32) -> Vec<LedgerLine> {
        self.shared.recorder.lines_from(index)
    }

    /// The counts as they are now.
    pub fn stats(&self) -> Stats {
        stats::read(&self.shared)
    }

    /// The state of the chat.
    pub fn chat_state(&self) -> ChatState {
        *self.shared.chat.borrow()
    }

    /// Waits until no further line will be sent; for ever where there is neither a file nor a limit.
    pub async fn chat_over(&self) -> ChatState {
        let mut state = self.shared.chat.subscribe();
        // The sender lives as long as `self`, so this only ends with the state.
        state.wait_for(|state| state.is_over()).await.map_or(ChatState::Stopped, |state| *state)
    }

    /// Ends the chat; connections stay. When this returns the ledger has every line, though perhaps not yet every
    /// write: see [`Sim::drained`].
    pub async fn stop_chat(&self) -> ChatState {
        self.shared.stop_chat.cancel();
        self.chat_over().await
    }

    /// Waits until every open connection was sent everything that is queued for it, but at most `at_most`. Returns
    /// whether all was sent.
    pub async fn drained(&self, at_most: Duration) -> bool {
        let empty = async {
            loop {
                let all = lock(&self.shared.world).selected(&crate::fault::Select::All);
                if all.iter().all(|connection| connection.outbox.is_empty()) {
                    return;
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(at_most, empty).await.is_ok()
    }

    /// Ends everything and waits for it. The ledger returned is final.
    pub async fn shutdown(self) -> Ledger {
        let shared = &self.shared;
        shared.shutdown.cancel();
        lock(&shared.world).close_all(Close::Shutdown);
        shared.tasks.close();
        // Connections end within a second or two; one that takes longer is left to the runtime.
        if timeout(Duration::from_secs(5), shared.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = shared.tasks.len(), "some connections did not end in time");
        }
        shared.recorder.snapshot()
    }

    fn schedule_faults(&self) -> Result<(), SimError> {
        for timed in self.shared.config.faults.clone() {
            let Some(after) = timed.after else {
                self.fault(timed.fault)?;
                continue;
            };
            let shared = self.shared.clone();
            self.shared.tasks.spawn(async move {
                let mut chat = shared.chat.subscribe();
                let due = async {
                    // The sender lives in `shared`; an error cannot come while this runs.
                    let _ = chat.wait_for(|state| *state != ChatState::Waiting).await;
                    sleep(after).await;
                };
                tokio::select! {
                    () = due => if let Err(problem) = shared.fault(timed.fault) {
                        tracing::warn!(problem, "a planned fault did not happen");
                    },
                    () = shared.shutdown.cancelled() => {}
                }
            });
        }
        Ok(())
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.shared.shutdown.cancel();
        lock(&self.shared.world).close_all(Close::Shutdown);
    }
}

async fn listen(what: &'static str, addr: SocketAddr) -> Result<(TcpListener, SocketAddr), SimError> {
    let failed = |source| SimError::Listen { what, addr, source };
    let listener = TcpListener::bind(addr).await.map_err(failed)?;
    let addr = listener.local_addr().map_err(failed)?;
    Ok((listener, addr))
}

fn write_ca(path: Option<&Path>, pem: &str) -> Result<(), SimError> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, pem).map_err(|source| SimError::Write {
        what: "the certificate of the authority",
        path: path.to_owned(),
        source,
    })
}

/// The protocol that a listener speaks.
#[derive(Clone)]
struct ListenerProtocol {
    transport: TransportKind,
    tls: Option<Tls>,
}

async fn accept(listener: TcpListener, protocol: ListenerProtocol, shared: Arc<Shared>, next_id: Arc<AtomicU64>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.shutdown.cancelled() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely the process is out of descriptors; connections that end will free some.
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if shared.refuses() {
            shared.counts.refused.fetch_add(1, Ordering::Relaxed);
            let _ = stream.set_zero_linger();
            continue;
        }
        let id = next_id.fetch_add(1, Ordering::Relaxed);
        shared.tasks.spawn(run_connection(stream, peer, id, protocol.clone(), shared.clone()));
    }
}

/// How long a client may take for the handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

async fn run_connection(stream: TcpStream, peer: SocketAddr, id: u64, protocol: ListenerProtocol, shared: Arc<Shared>) {
    // The pieces of a split line must leave as they are written.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &protocol.tls else {
        return upgrade(stream, peer, id, protocol.transport, shared).await;
    };
    if let Some(stall) = shared.tls_stall() {
        shared.counts.tls_stalled.fetch_add(1, Ordering::Relaxed);
        tokio::select! {
            () = sleep(stall) => {}
            () = shared.shutdown.cancelled() => {}
        }
        let _ = stream.set_zero_linger();
        return;
    }
    match timeout(HANDSHAKE_TIMEOUT, tls.acceptor.accept(stream)).await {
        Ok(Ok(stream)) => upgrade(stream, peer, id, protocol.transport, shared).await,
        failed => {
            shared.counts.tls_failed.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%peer, ?failed, "TLS handshake failed");
        }
    }
}

async fn upgrade<S: Transport>(stream: S, peer: SocketAddr, id: u64, transport: TransportKind, shared: Arc<Shared>) {
    if matches!(transport, TransportKind::Irc | TransportKind::Ircs) {
        return talk(stream, peer, id, transport, shared).await;
    }
    let accepted = tokio::select! {
        accepted = timeout(HANDSHAKE_TIMEOUT, WebSocket::accept(stream)) => accepted,
        () = shared.shutdown.cancelled() => return,
    };
    match accepted {
        Ok(Ok(stream)) => talk(stream, peer, id, transport, shared).await,
        failed => {
            shared.counts.ws_failed.fetch_add(1, Ordering::Relaxed);
            let problem = failed.map(|refused| refused.err().map(|error| error.to_string()));
            tracing::debug!(%peer, ?problem, "WebSocket handshake failed");
        }
    }
}

async fn talk<S: Transport>(stream: S, peer: SocketAddr, id: u64, transport: TransportKind, shared: Arc<Shared>) {
    let record = shared.recorder.connect(id, peer, shared.now().unix_ms);
    let connection = Arc::new(Connection::new(id, peer, transport, shared.config.queue_bytes, record));
    lock(&shared.connections).push(connection.clone());
    lock(&shared.world).connect(&connection);
    if shared.shutdown.is_cancelled() {
        connection.signal(crate::connection::Signal::Close(Close::Shutdown));
    }
    serve(stream, connection, shared.clone()).await;
}
