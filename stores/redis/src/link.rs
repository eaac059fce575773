//! The link to one server: one connection for all calls, made when it is needed, given up when it is of no more use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::config::Address;
use crate::dial::{Dial, Line};
use crate::facts::{Facts, Needs};
use crate::failure::{Failure, Reply};

/// One server, and the connection to it while there is one.
pub(crate) struct Link {
    address: Address,
    dial: Dial,
    role: Role,
    live: Mutex<Option<Arc<Live>>>,
    // What is wrong with the server has been told.
    told: AtomicBool,
}

/// What the server must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// One that takes writes and has what is needed: each new connection asks it.
    Master(Needs),
    /// A Sentinel; it is not asked.
    Sentinel,
}

/// A connection that was greeted.
pub(crate) struct Live {
    line: Line,
    place: String,
    // From when on this server process is known to live.
    since: Instant,
    facts: Option<Facts>,
    unfit: Option<Failure>,
    retired: AtomicBool,
}

/// What became of a command.
pub(crate) enum Sent {
    /// It was answered.
    Answered(Value),
    /// It was answered with an error.
    Refused(Reply),
    /// It was not answered.
    Failed(Failure),
}

impl Link {
    /// A link that is not connected yet.
    pub(crate) fn new(address: Address, dial: Dial, role: Role) -> Self {
        Link { address, dial, role, live: Mutex::default(), told: AtomicBool::new(false) }
    }

    /// The server.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The connection to a server that takes writes; a new one where there is none, or where it was given up. Nothing
    /// was sent when this fails.
    pub(crate) async fn live(&self, deadline: Instant) -> Result<Arc<Live>, Failure> {
        let live = self.live_whatever_its_role(deadline).await?;
        match live.facts.as_ref().map(|facts| facts.check_role(&self.address)) {
            Some(Err(failure)) => {
                // It may be promoted one day.
                live.retire();
                Err(failure)
            }
            _ => Ok(live),
        }
    }

    /// The connection, also to a replica.
    pub(crate) async fn live_whatever_its_role(&self, deadline: Instant) -> Result<Arc<Live>, Failure> {
        let connected = timeout_at(deadline, async {
            let mut place = self.live.lock().await;
            if let Some(live) = place.as_ref().filter(|live| live.is_useful()) {
                return Ok(Arc::clone(live));
            }
            // Closes it, unless somebody still waits for an answer on it.
            *place = None;
            let live = Arc::new(self.connect().await?);
            *place = Some(Arc::clone(&live));
            Ok(live)
        });
        match connected.await {
            Ok(live) => live,
            Err(_) => {
                let remedy = self.dial.silent();
                Err(Failure::unavailable(format!("redis {}: no connection in time{remedy}", self.address)))
            }
        }
    }

    async fn connect(&self) -> Result<Live, Failure> {
        let line = self.dial.line(&self.address, None).await?;
        let since = Instant::now();
        let place = self.address.to_string();
        let mut live = Live { line, place, since, facts: None, unfit: None, retired: AtomicBool::new(false) };
        if let Role::Master(needs) = self.role {
            live.facts = self.ask_facts(&live).await?;
            live.unfit = live.facts.as_ref().and_then(|facts| facts.check(&self.address, needs).err());
            if live.unfit.is_none() {
                self.told.store(false, Ordering::Relaxed);
            }
        }
        Ok(live)
    }

    /// Says in the log what is wrong with the server, once until it is mended.
    pub(crate) fn tell(&self, unfit: &Failure) {
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(server = %self.address, error = %unfit.message, "the server is not fit for new leases any more");
        }
    }

    async fn ask_facts(&self, live: &Live) -> Result<Option<Facts>, Failure> {
        let answer = live.line.connection().send_packed_command(&redis::cmd("INFO")).await;
        match outcome(&live.place, answer) {
            Sent::Answered(value) => Ok(Some(Facts::read(&text(&value).unwrap_or_default()))),
            Sent::Refused(reply) if reply.code == "NOPERM" => {
                tracing::warn!(
                    server = %self.address,
                    "INFO is denied: role, version and eviction policy are taken on trust; allow the command info"
                );
                Ok(None)
            }
            Sent::Refused(reply) => Err(reply.failure(&live.place).of_question()),
            Sent::Failed(failure) => {
                let mut failure = failure.of_question();
                failure.message += self.dial.not_heard();
                Err(failure)
            }
        }
    }
}

impl Live {
    /// The server, for messages.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Why nothing may be granted on this server: leases would not be safe, or would not work. Those that there are may
    /// go on: as long as nobody grants, an eviction lets nobody else in.
    pub(crate) fn unfit(&self) -> Option<&Failure> {
        self.unfit.as_ref()
    }

    /// For how long the server process behind this connection is known to live.
    pub(crate) fn known_up(&self) -> Duration {
        self.since.elapsed()
    }

    /// Gives the connection up: the next call makes a new one.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    fn is_useful(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.line.is_dead()
    }

    /// Sends a command and waits for its answer until the deadline.
    pub(crate) async fn send(&self, command: &Cmd, deadline: Instant) -> Sent {
        let mut connection = self.line.connection();
        let answer = timeout_at(deadline, connection.send_packed_command(command)).await;
        self.judged(answer)
    }

    /// Sends a command right behind ASKING, as a redirected client must.
    pub(crate) async fn send_asking(&self, command: Cmd, deadline: Instant) -> Sent {
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command);
        let mut connection = self.line.connection();
        let answers = timeout_at(deadline, connection.send_packed_commands(&both, 0, 2)).await;
        self.judged(answers.map(|answers| answers.map(|mut answers| answers.pop().unwrap_or_default())))
    }

    fn judged(&self, answer: Result<RedisResult<Value>, tokio::time::error::Elapsed>) -> Sent {
        let sent = match answer {
            Ok(answer) => outcome(&self.place, answer),
            Err(_) => Sent::Failed(Failure::unanswered(&self.place, "not within the time for a call")),
        };
        match &sent {
            Sent::Failed(_) => self.retire(),
            Sent::Refused(reply) if reply.is_no_master() => self.retire(),
            _ => {}
        }
        sent
    }
}

fn outcome(place: &str, answer: RedisResult<Value>) -> Sent {
    match answer {
        Ok(Value::ServerError(error)) => Sent::Refused(Reply {
            code: error.code().to_owned(),
            detail: error.details().unwrap_or_default().to_owned(),
        }),
        Ok(value) => Sent::Answered(value),
        Err(error) => match Reply::of(&error) {
            Some(reply) => Sent::Refused(reply),
            None => Sent::Failed(Failure::unanswered(place, error)),
        },
    }
}

/// A value as text, where it is some.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}
