//! The bus's face: batches go out over one connection, one after the other; each follower has a connection of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Published, Refusal};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

use crate::api::Api;
use crate::config::{NatsBusConfig, Problem, check_subject};
use crate::connection::{Connection, Dialer};
use crate::failure::{Failure, FailureKind};
use crate::link::Link;
use crate::publish::Job;
use crate::stream::Origins;
use crate::{clock, follow, stream, tls};

/// The most messages in one batch.
const BATCH_LIMIT: usize = 1024;
/// How long a connection may acknowledge nothing before another one is tried.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the stream is looked for, once it has not answered.
const LOOK: Duration = Duration::from_secs(1);
/// After so many attempts that nobody answered for, the stream is looked for; most often it only elects a leader.
const LOOK_AFTER: u32 = 4;
/// After so many attempts that nobody answered for, another server is tried.
const UNSERVED: u32 = 8;
/// Between two attempts: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));

/// A bus over a JetStream stream. Cloning gives another handle to the same connection.
///
/// `Stored` means that the stream's leader has acknowledged the message: on the disks of a majority of its replicas, as
/// durably as those servers write (by default they do not wait for the disk). A second message with the same id is
/// dropped for the stream's duplicate window. Positions follow the order of publishing, except within a window whose
/// server or leader was lost: what of it had not arrived is sent once more behind the rest. A stream that somebody removes
/// is made again by the next batch; one that somebody makes anew is checked once more, and its followers begin at its first
/// position. No term is checked: a fence of its own the server does not have.
#[derive(Clone)]
pub struct NatsBus {
    config: Arc<NatsBusConfig>,
    dedupe: Duration,
    publisher: Arc<Mutex<Publisher>>,
    follower: Link,
    origins: Arc<Origins>,
}

/// What publishing needs: one call at a time has it.
struct Publisher {
    link: Link,
    /// A connection that nothing is left to write or to read on. A call that fails, or is given up, takes it with it.
    idle: Option<Connection>,
    /// Whether the streams were found since something last spoke against it.
    prepared: bool,
    /// How many attempts in a row nobody answered for.
    unserved: u32,
    /// The last position that was stored, by configured subject.
    stored: BTreeMap<String, u64>,
}

impl NatsBus {
    /// Connects, and sees to it that the configured subjects are covered by a stream that fits: one that is there is
    /// checked, a missing one is made. Takes at most about the configured time-out.
    pub async fn open(config: NatsBusConfig) -> Result<NatsBus, BusError> {
        NatsBus::start(config, true).await
    }

    /// Connects to read: nothing is made and nothing is asked of the stream, which must be there.
    pub async fn open_existing(config: NatsBusConfig) -> Result<NatsBus, BusError> {
        NatsBus::start(config, false).await
    }

    async fn start(config: NatsBusConfig, make: bool) -> Result<NatsBus, BusError> {
        config.check().map_err(wrong)?;
        let deadline = Instant::now() + config.timeout;
        let config = Arc::new(config);
        let tls = tls::client_config(&config).map_err(wrong)?;
        let link = Link::new(Dialer { config: Arc::clone(&config), tls });
        let mut publisher =
            Publisher { link: link.clone(), idle: None, prepared: !make, unserved: 0, stored: BTreeMap::new() };
        let mut patience = Patience::until(deadline);
        let dedupe = loop {
            match publisher.open(deadline, make).await {
                Ok(dedupe) => break dedupe,
                // Who starts wants to know at once that nobody is there; a server that is, gets time to be ready.
                Err(failure) if failure.kind == FailureKind::NoResponders => {
                    patience.bear(failure).await.map_err(Failure::into_bus_error)?;
                }
                Err(failure) => return Err(failure.into_bus_error()),
            }
        };
        Ok(NatsBus {
            config,
            dedupe,
            publisher: Arc::new(Mutex::new(publisher)),
            follower: link,
            origins: Arc::default(),
        })
    }

    fn unavailable(&self, what: &str) -> BusError {
        BusError::new(BusErrorKind::Unavailable, format!("nats bus: {what}"))
    }
}

impl Publisher {
    async fn open(&mut self, deadline: Instant, make: bool) -> Result<Duration, Failure> {
        let mut connection = self.link.connect(deadline).await?;
        let config = Arc::clone(self.link.config());
        let mut api = Api { connection: &mut connection, domain: config.domain.as_deref(), deadline };
        let mut dedupe = Duration::MAX;
        if make {
            dedupe = stream::prepare(&mut api, &config).await?;
        } else if let Some(subject) = config.subjects.first() {
            match stream::covering(&mut api, subject).await? {
                Some(info) => dedupe = info.config.dedupe(),
                None => return Err(Failure::new(FailureKind::Refused, format!("there is no stream for {subject}"))),
            }
        }
        (self.prepared, self.idle) = (true, Some(connection));
        Ok(dedupe)
    }

    /// One attempt at what of the job is unanswered. The connection is kept only where nothing was left on it.
    async fn attempt(&mut self, job: &mut Job<'_>, batch: &Batch<'_>, deadline: Instant) -> Result<(), Failure> {
        if batch.valid_until.is_some_and(|until| clock::now() >= until) {
            return Err(Failure::new(FailureKind::Ended, "the right to publish has ended"));
        }
        let mut connection = self.connection(deadline).await?;
        if !self.prepared && self.unserved.is_multiple_of(LOOK_AFTER) {
            self.look_again(&mut connection, deadline).await?;
        }
        connection.valid_until(batch.valid_until);
        let result = job.run(&mut connection, deadline, SILENCE).await;
        let keep = match result.as_ref().map_err(|failure| failure.kind) {
            Ok(()) | Err(FailureKind::Refused) => true,
            Err(FailureKind::NoResponders) => {
                // The stream may be gone, or without a leader for a moment. Or this server knows nothing of it.
                self.prepared = false;
                self.unserved += 1;
                self.unserved < UNSERVED
            }
            Err(FailureKind::Unacknowledged) => {
                self.unserved += UNSERVED / 2;
                self.unserved < UNSERVED
            }
            Err(_) => false,
        };
        if keep {
            connection.valid_until(None);
            self.idle = Some(connection);
        }
        match &result {
            Ok(()) => self.unserved = 0,
            Err(failure) if !keep && failure.is_passing() => {
                self.unserved = 0;
                self.link.turn();
            }
            Err(_) => {}
        }
        result
    }

    /// Makes the stream again where it is gone. Without an answer publishing is tried all the same: whoever would answer
    /// here may be another server than the stream's leader.
    async fn look_again(&mut self, connection: &mut Connection, deadline: Instant) -> Result<(), Failure> {
        let config = Arc::clone(self.link.config());
        let deadline = deadline.min(Instant::now() + LOOK);
        match stream::prepare(&mut Api { connection, domain: config.domain.as_deref(), deadline }, &config).await {
            Ok(_) => self.prepared = true,
            Err(failure) if failure.is_passing() => {
                tracing::debug!(component = "publisher", %failure, "the stream could not be looked for");
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    /// Where positions begin again the stream was made anew, or has lost its end: before anything more is given to it, it
    /// is looked at whether it can carry that.
    fn mind_positions(&mut self, subject: &str, answers: &[Result<Published, Refusal>]) {
        let stored = answers.iter().filter_map(|answer| match answer {
            Ok(Published::Stored(pos)) => Some(*pos),
            _ => None,
        });
        let (Some(first), Some(last)) = (stored.clone().min(), stored.max()) else { return };
        if let Some(before) = self.stored.get_mut(subject) {
            if first <= *before {
                tracing::warn!(
                    component = "publisher",
                    subject,
                    before = *before,
                    first,
                    "positions begin again: the stream was made anew, or has lost its end; it is checked"
                );
                (self.prepared, self.unserved) = (false, 0);
            }
            *before = last;
        } else if self.link.config().subjects.iter().any(|configured| configured == subject) {
            self.stored.insert(subject.to_owned(), last);
        }
    }

    async fn connection(&mut self, deadline: Instant) -> Result<Connection, Failure> {
        if let Some(mut connection) = self.idle.take()
            && connection.look().await.is_ok()
        {
            return Ok(connection);
        }
        self.link.connect(deadline).await
    }
}

#[async_trait]
impl Bus for NatsBus {
    fn info(&self) -> BusInfo {
        BusInfo { scheme: "nats", dedupe: Some(self.dedupe), fence: false, follow: true, batch_limit: BATCH_LIMIT }
    }

    async fn publish(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        let count = batch.messages.len();
        if count > BATCH_LIMIT {
            let text =
                format!("nats bus: a batch of {count} messages, at most {BATCH_LIMIT} are taken: send it in parts");
            return Err(BusError::new(BusErrorKind::Invalid, text));
        }
        check_subject(batch.subject).map_err(wrong)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.config.timeout;
        let mut publisher = timeout_at(deadline, self.publisher.lock())
            .await
            .map_err(|_| self.unavailable("other calls are waiting for the servers, this one has not begun"))?;
        let mut job = Job::new(batch);
        let mut patience = Patience::until(deadline);
        loop {
            let failure = match publisher.attempt(&mut job, batch, deadline).await {
                Ok(()) => {
                    let answers = job.into_answers();
                    publisher.mind_positions(batch.subject, &answers);
                    return Ok(answers);
                }
                Err(failure) => failure,
            };
            tracing::debug!(component = "publisher", unanswered = job.unanswered(), %failure, "an attempt failed");
            patience.bear(failure).await.map_err(Failure::into_bus_error)?;
        }
    }

    async fn follow(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        check_subject(subject).map_err(wrong)?;
        follow::start(self.follower.clone(), Arc::clone(&self.origins), subject, from, follow::Wanted::Messages)
            .await
            .map_err(Failure::into_bus_error)
    }

    async fn follow_ids(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        check_subject(subject).map_err(wrong)?;
        follow::start(self.follower.clone(), Arc::clone(&self.origins), subject, from, follow::Wanted::Headers)
            .await
            .map_err(Failure::into_bus_error)
    }
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsBus").field("config", &self.config).field("dedupe", &self.dedupe).finish_non_exhaustive()
    }
}

/// How failures are borne that may pass: with growing pauses, until the deadline.
struct Patience {
    deadline: Instant,
    pause: Duration,
}

impl Patience {
    fn until(deadline: Instant) -> Patience {
        Patience { deadline, pause: PAUSES.0 }
    }

    /// Waits before the next attempt; gives the failure back where there is none.
    async fn bear(&mut self, failure: Failure) -> Result<(), Failure> {
        if !failure.is_passing() || Instant::now() + self.pause >= self.deadline {
            return Err(failure);
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

fn wrong(problem: Problem) -> BusError {
    BusError::new(BusErrorKind::Invalid, problem.to_string())
}
