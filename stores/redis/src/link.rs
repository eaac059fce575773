//! The link to one server: one connection for all calls, made when it is needed, given up when it is of no more use.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::time::error::Elapsed;
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
    state: Mutex<State>,
    // What is wrong with the server has been told.
    told: AtomicBool,
}

#[derive(Default)]
struct State {
    live: Option<Arc<Live>>,
    // On the way to a new connection: whoever needs one waits for the same.
    attempt: Option<Attempt>,
    // The last call, or the last attempt, found it silent.
    silent: bool,
}

type Attempt = Shared<BoxFuture<'static, Result<Arc<Live>, Failure>>>;

/// How long a server that was silent is waited for until it speaks again: this part of the time for a call, or this long.
/// Batches that touch it among others are not held up for longer, while an attempt to reach it goes on.
const SILENT: (u32, Duration) = (20, Duration::from_millis(50));

/// How many answers in a row may come too late for those who asked: a server that stays silent would let questions pile up.
const ABANDONED: usize = 32;

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
    // When it was made.
    since: Instant,
    // For how long the server process was known to live, and when.
    up: (Duration, Instant),
    facts: Option<Facts>,
    unfit: Option<Failure>,
    retired: AtomicBool,
    silent: AtomicBool,
    // How many answers in a row nobody waited for.
    abandoned: AtomicUsize,
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
        Link { address, dial, role, state: Mutex::default(), told: AtomicBool::new(false) }
    }

    /// The server.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether there is a connection; `None` where it is known that the server does not answer.
    pub(crate) fn is_live(&self) -> Option<bool> {
        let state = self.state();
        let useful = state.live.as_ref().is_some_and(|live| live.is_useful());
        (useful || !state.is_silent()).then_some(useful)
    }

    /// The connection to a server that takes writes; a new one where there is none, or where it was given up. Nothing
    /// was sent when this fails.
    pub(crate) async fn live(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Live>, Failure> {
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
    pub(crate) async fn live_whatever_its_role(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Live>, Failure> {
        let (attempt, until) = {
            let mut state = self.state();
            if let Some(live) = state.live.as_ref().filter(|live| live.is_useful()) {
                return Ok(Arc::clone(live));
            }
            state.silent = state.is_silent();
            // Closes it, unless somebody still waits for an answer on it.
            state.live = None;
            let attempt = state.attempt.get_or_insert_with(|| self.attempt(deadline)).clone();
            let briefly = Instant::now() + SILENT.1.max(self.dial.timeout() / SILENT.0);
            (attempt, if state.silent { deadline.min(briefly) } else { deadline })
        };
        timeout_at(until, attempt).await.unwrap_or_else(|_| Err(self.no_connection()))
    }

    /// Connects, in a task of its own: an attempt that takes longer than one call has time for serves the next ones.
    fn attempt(self: &Arc<Self>, deadline: Instant) -> Attempt {
        let link = Arc::clone(self);
        let until = deadline.max(Instant::now() + self.dial.timeout());
        let connecting = tokio::spawn(async move {
            let made = timeout_at(until, link.connect()).await;
            let mut state = link.state();
            state.attempt = None;
            state.silent = made.is_err();
            let live = Arc::new(made.unwrap_or_else(|_| Err(link.no_connection()))?);
            state.live = Some(Arc::clone(&live));
            Ok(live)
        });
        let broken_off = |_| Failure::unavailable("redis: the attempt to connect was broken off");
        connecting.map(move |made| made.unwrap_or_else(|error| Err(broken_off(error)))).boxed().shared()
    }

    fn no_connection(&self) -> Failure {
        let remedy = self.dial.silent();
        Failure::unavailable(format!("redis {}: no connection in time{remedy}", self.address))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Live, Failure> {
        let line = self.dial.line(&self.address, None).await?;
        let since = Instant::now();
        let place = self.address.to_string();
        let mut live = Live {
            line,
            place,
            since,
            up: (Duration::ZERO, since),
            facts: None,
            unfit: None,
            retired: AtomicBool::default(),
            silent: AtomicBool::default(),
            abandoned: AtomicUsize::default(),
        };
        if let Role::Master(needs) = self.role {
            live.facts = self.ask_facts(&live).await?;
            live.up = live.facts.as_ref().map_or(live.up, |facts| (facts.up(), Instant::now()));
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

impl State {
    fn is_silent(&self) -> bool {
        self.silent || self.live.as_ref().is_some_and(|live| live.silent.load(Ordering::Relaxed))
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
        let (up, then) = self.up;
        self.since.elapsed().max(up + then.elapsed())
    }

    /// How old this connection is.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Gives the connection up: the next call makes a new one.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    fn is_useful(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.line.is_dead()
    }

    fn waiting(&self) -> Waiting<'_> {
        Waiting { live: self, judged: false }
    }

    /// Sends a command and waits for its answer until the deadline.
    pub(crate) async fn send(&self, command: &Cmd, deadline: Instant) -> Sent {
        let mut connection = self.line.connection();
        let waiting = self.waiting();
        let answer = timeout_at(deadline, connection.send_packed_command(command)).await;
        waiting.judge(answer)
    }

    /// Sends a command right behind ASKING, as a redirected client must.
    pub(crate) async fn send_asking(&self, command: Cmd, deadline: Instant) -> Sent {
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command);
        let mut connection = self.line.connection();
        let waiting = self.waiting();
        let answers = timeout_at(deadline, connection.send_packed_commands(&both, 0, 2)).await;
        waiting.judge(answers.map(|answers| answers.map(|mut answers| answers.pop().unwrap_or_default())))
    }
}

/// Somebody who waits for an answer, until it is judged.
struct Waiting<'a> {
    live: &'a Live,
    judged: bool,
}

impl Waiting<'_> {
    fn judge(mut self, answer: Result<RedisResult<Value>, Elapsed>) -> Sent {
        self.judged = true;
        let live = self.live;
        let sent = match answer {
            Ok(answer) => outcome(&live.place, answer),
            Err(_) => {
                live.silent.store(true, Ordering::Relaxed);
                Sent::Failed(Failure::unanswered(&live.place, "not within the time for a call"))
            }
        };
        match &sent {
            Sent::Failed(_) => live.retire(),
            Sent::Refused(reply) if reply.is_no_master() => live.retire(),
            _ => {}
        }
        sent
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.judged {
            self.live.abandoned.store(0, Ordering::Relaxed);
        } else if self.live.abandoned.fetch_add(1, Ordering::Relaxed) >= ABANDONED {
            self.live.silent.store(true, Ordering::Relaxed);
            self.live.retire();
        }
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
