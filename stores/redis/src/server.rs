//! One server, and the session with it: a connection that all calls share, made when it is needed, given up when it fails.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value};
use tenure_base_net::spoken::{PATIENCE, spoken};
use tenure_store::StoreError;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::Address;
use crate::connection::{Connection, Connector};
use crate::error::{ErrorReply, for_read, unanswered, unavailable, with_remark};
use crate::server_info::{Requirements, ServerInfo};

/// One server, and the session with it while there is one.
pub(crate) struct Server {
    address: Address,
    connector: Connector,
    role: Role,
    state: Mutex<State>,
    // The log has a warning that the server is unfit.
    warned: AtomicBool,
    // It has been connected to once: whatever it does now, it is a Redis server.
    known: AtomicBool,
}

/// What the server must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A master that meets these requirements: each new connection asks it with INFO.
    Master(Requirements),
    /// A Sentinel; it is not asked.
    Sentinel,
}

/// An authenticated connection, and what the server said of itself when it was made.
pub(crate) struct Session {
    address: Address,
    connection: Connection,
    since: Instant,
    // The server process was already running at this moment.
    up_since: Instant,
    info: Option<ServerInfo>,
    unfit: Option<StoreError>,
    retired: AtomicBool,
    silent: AtomicBool,
    // How many waits in a row their callers broke off before the answer came.
    abandoned: AtomicUsize,
}

/// Why a command has no answer.
pub(crate) enum SendError {
    /// The server answered with an error.
    Refused(ErrorReply),
    /// The command may have reached the server and no answer came.
    Unanswered(StoreError),
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    // The one attempt to connect that is under way; all callers wait for it.
    attempt: Option<Attempt>,
    // The last call or the last attempt had no answer in time.
    silent: bool,
}

type Attempt = Shared<BoxFuture<'static, Result<Arc<Session>, StoreError>>>;

/// For how long a call waits for a server that was silent the last time: this part of the time for a call, or this long.
/// A batch that needs other servers too is not held up for longer, while the attempt to connect goes on.
const SILENT: (u32, Duration) = (20, Duration::from_millis(50));

/// How many waits in a row may be broken off before the connection is given up: commands to a server that stays silent
/// would pile up.
const ABANDONED: usize = 32;

/// A server that was unfit for new leases is asked again this long after it said so.
const UNFIT: Duration = Duration::from_secs(1);

impl Server {
    /// Not connected yet.
    pub(crate) fn new(address: Address, connector: Connector, role: Role) -> Self {
        Server {
            address,
            connector,
            role,
            state: Mutex::default(),
            warned: AtomicBool::default(),
            known: AtomicBool::default(),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether there is a session; `None` where the server was silent the last time.
    pub(crate) fn is_connected(&self) -> Option<bool> {
        let state = self.state();
        let connected = state.session.as_ref().is_some_and(|session| session.is_usable());
        (connected || !state.is_silent()).then_some(connected)
    }

    /// The session for a script; a new one where there is none, or where the old one was given up. Fails where the server
    /// is a replica, and for scripts that grant leases where it is unfit. Nothing was sent when this fails.
    pub(crate) async fn session_for(
        self: &Arc<Self>,
        grants: bool,
        deadline: Instant,
    ) -> Result<Arc<Session>, StoreError> {
        let mut session = self.session(deadline).await?;
        if grants && session.unfit.is_some() && session.since.elapsed() >= UNFIT {
            // Its operator may have mended it.
            session.retire();
            session = self.session(deadline).await?;
        }
        let Some(unfit) = &session.unfit else { return Ok(session) };
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(server = %self.address, error = %unfit, "the server is not fit for new leases any more");
        }
        if grants { Err(unfit.clone()) } else { Ok(session) }
    }

    /// The session with a server that takes writes.
    pub(crate) async fn session(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Session>, StoreError> {
        let session = self.session_with_any_role(deadline).await?;
        if let Some(Err(error)) = session.info.as_ref().map(|info| info.check_role(&self.address)) {
            // The next call asks again: a replica may be promoted.
            session.retire();
            return Err(error);
        }
        Ok(session)
    }

    /// The session, also with a replica.
    pub(crate) async fn session_with_any_role(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Session>, StoreError> {
        let (attempt, until) = {
            let mut state = self.state();
            if let Some(session) = state.session.as_ref().filter(|session| session.is_usable()) {
                return Ok(Arc::clone(session));
            }
            state.silent = state.is_silent();
            // Closes the connection once nobody waits for an answer on it.
            state.session = None;
            let attempt = state.attempt.get_or_insert_with(|| self.attempt(deadline)).clone();
            let briefly = Instant::now() + SILENT.1.max(self.connector.timeout() / SILENT.0);
            (attempt, if state.silent { deadline.min(briefly) } else { deadline })
        };
        timeout_at(until, attempt).await.unwrap_or_else(|_| Err(self.no_connection()))
    }

    /// Connects in a task of its own: an attempt that outlasts the call that began it serves the next calls.
    fn attempt(self: &Arc<Self>, deadline: Instant) -> Attempt {
        let server = Arc::clone(self);
        let until = deadline.max(Instant::now() + self.connector.timeout());
        let connecting = tokio::spawn(async move {
            let made = timeout_at(until, server.connect_or_tell()).await;
            let mut state = server.state();
            state.attempt = None;
            state.silent = made.is_err();
            let session = Arc::new(made.unwrap_or_else(|_| Err(server.no_connection()))?);
            state.session = Some(Arc::clone(&session));
            Ok(session)
        });
        let broken_off = |_| Err(unavailable("redis: the attempt to connect was broken off"));
        connecting.map(move |made| made.unwrap_or_else(broken_off)).boxed().shared()
    }

    fn no_connection(&self) -> StoreError {
        let remedy = self.connector.silence_remedy();
        unavailable(format!("redis {}: no connection in time{remedy}", self.address))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects; the error of a server that was never connected to names another protocol where it speaks one, which it may
    /// do by being silent for ever.
    async fn connect_or_tell(&self) -> Result<Session, StoreError> {
        let mut connecting = pin!(self.connect());
        let Address::Tcp(host, port) = &self.address else { return connecting.await };
        if self.known.load(Ordering::Relaxed) {
            return connecting.await;
        }
        let other = async {
            let found = spoken(host, *port).await?;
            self.connector.is_other(found).then(|| self.connector.other(&self.address, found))
        };
        let connected = match timeout(PATIENCE, connecting.as_mut()).await {
            Ok(Err(error)) if error.is_retryable() => Err(other.await.unwrap_or(error)),
            Ok(connected) => connected,
            Err(_) => tokio::select! {
                biased;
                connected = connecting => connected,
                Some(other) = other => Err(other),
            },
        };
        self.known.fetch_or(connected.is_ok(), Ordering::Relaxed);
        connected
    }

    async fn connect(&self) -> Result<Session, StoreError> {
        let connection = self.connector.connect(&self.address, None).await?;
        let since = Instant::now();
        let (mut info, mut unfit) = (None, None);
        if let Role::Master(requirements) = self.role {
            info = self.ask_info(&connection).await?;
            unfit = info.as_ref().and_then(|info| info.check(&self.address, requirements).err());
            if unfit.is_none() {
                self.warned.store(false, Ordering::Relaxed);
            }
        }
        let uptime = info.as_ref().map_or(Duration::ZERO, ServerInfo::min_uptime);
        Ok(Session {
            address: self.address.clone(),
            connection,
            since,
            up_since: Instant::now().checked_sub(uptime).map_or(since, |started| started.min(since)),
            info,
            unfit,
            retired: AtomicBool::default(),
            silent: AtomicBool::default(),
            abandoned: AtomicUsize::default(),
        })
    }

    async fn ask_info(&self, connection: &Connection) -> Result<Option<ServerInfo>, StoreError> {
        let answer = connection.client().send_packed_command(&redis::cmd("INFO")).await;
        match answer_of(&self.address, answer) {
            Ok(value) => Ok(Some(ServerInfo::read(&String::from_redis_value(value).unwrap_or_default()))),
            Err(SendError::Refused(reply)) if reply.code == "NOPERM" => {
                tracing::warn!(
                    server = %self.address,
                    "INFO is denied: role, version and eviction policy are taken on trust; allow the command info"
                );
                Ok(None)
            }
            Err(error @ SendError::Refused(_)) => Err(error.for_read(&self.address)),
            Err(error) => {
                let error = error.for_read(&self.address);
                Err(with_remark(&error, self.connector.tls_remedy(&error)))
            }
        }
    }
}

impl State {
    fn is_silent(&self) -> bool {
        self.silent || self.session.as_ref().is_some_and(|session| session.silent.load(Ordering::Relaxed))
    }
}

impl Session {
    /// The server.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Why nothing may be granted on this server. Leases that are there go on: as long as nobody grants, an eviction
    /// admits no second holder.
    pub(crate) fn unfit(&self) -> Option<&StoreError> {
        self.unfit.as_ref()
    }

    /// For how long the server process is known to be running.
    pub(crate) fn min_uptime(&self) -> Duration {
        self.up_since.elapsed()
    }

    /// Gives the connection up: the next call makes a new one.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Sends a command once and waits for its answer until the deadline.
    pub(crate) async fn send(&self, command: &Cmd, deadline: Instant) -> Result<Value, SendError> {
        let mut client = self.connection.client();
        self.answered(client.send_packed_command(command), deadline).await
    }

    /// Sends a command right behind ASKING, as a client that was redirected with ASK must.
    pub(crate) async fn send_asking(&self, command: Cmd, deadline: Instant) -> Result<Value, SendError> {
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command);
        let mut client = self.connection.client();
        let last = |mut answers: Vec<Value>| answers.pop().unwrap_or_default();
        self.answered(client.send_packed_commands(&both, 0, 2).map(|answers| answers.map(last)), deadline).await
    }

    /// Sends a command that only reads, and takes its answer as a `T`.
    pub(crate) async fn read<T: FromRedisValue>(&self, command: &Cmd, deadline: Instant) -> Result<T, StoreError> {
        let value = self.send(command, deadline).await.map_err(|error| error.for_read(&self.address))?;
        T::from_redis_value(value)
            .map_err(|error| unavailable(format!("redis {}: an answer that cannot be read: {error}", self.address)))
    }

    async fn answered(
        &self,
        answer: impl Future<Output = RedisResult<Value>>,
        deadline: Instant,
    ) -> Result<Value, SendError> {
        let mut wait = Wait { session: self, over: false };
        let answer = timeout_at(deadline, answer).await;
        wait.over = true;
        let answer = match answer {
            Ok(answer) => answer_of(&self.address, answer),
            Err(_) => {
                self.silent.store(true, Ordering::Relaxed);
                Err(SendError::Unanswered(unanswered(&self.address, "not within the time for a call")))
            }
        };
        match &answer {
            Err(SendError::Unanswered(_)) => self.retire(),
            Err(SendError::Refused(reply)) if reply.is_replica() => self.retire(),
            _ => {}
        }
        answer
    }

    fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.connection.is_closed()
    }
}

impl SendError {
    /// What it means for a command that only reads.
    pub(crate) fn for_read(self, server: &Address) -> StoreError {
        for_read(match self {
            SendError::Refused(reply) => reply.to_error(server),
            SendError::Unanswered(error) => error,
        })
    }
}

/// A wait for an answer. Dropped before it is over, it counts as abandoned.
struct Wait<'a> {
    session: &'a Session,
    over: bool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if self.over {
            self.session.abandoned.store(0, Ordering::Relaxed);
        } else if self.session.abandoned.fetch_add(1, Ordering::Relaxed) >= ABANDONED {
            self.session.silent.store(true, Ordering::Relaxed);
            self.session.retire();
        }
    }
}

/// Tells a server's error reply from a request without an answer.
pub(crate) fn answer_of(server: &Address, answer: RedisResult<Value>) -> Result<Value, SendError> {
    let error = match answer {
        Ok(Value::ServerError(error)) => error.into(),
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    Err(match ErrorReply::of(&error) {
        Some(reply) => SendError::Refused(reply),
        None => SendError::Unanswered(unanswered(server, error)),
    })
}
