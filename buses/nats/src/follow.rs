//! Following: an ordered consumer that requests a bounded number of messages at a time, and is recreated when it
//! breaks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use tenure_base_nats::{Connection, Failover, JetStream, NatsError, NatsErrorKind, PullConsumer, Pulled, Servers};
use tenure_bus::{BusError, FollowFrom, FollowStream, Followed};
use tokio::time::{Instant, sleep};

use crate::error::bus_error;
use crate::incarnation::{Incarnation, KnownIncarnations};
use crate::message_headers;
use crate::stream::covering;

/// How long the server may take to answer whether the stream still has a leader.
const LEADER_CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the server may take to create a consumer before another one is requested; each further one may take twice
/// as long.
const CONSUMER_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the server keeps a consumer for which nobody requests messages.
const INACTIVE: Duration = Duration::from_secs(60);
/// How long following may be broken before it ends with an error.
const BROKEN_LIMIT: Duration = Duration::from_secs(30);
/// The pause between two attempts to follow.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of each message a follower gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// All of it.
    Whole,
    /// Its headers: the server sends no body.
    Headers,
}

/// Starts following. When this returns, the starting position is fixed.
pub(crate) async fn start(
    servers: Servers,
    known: Arc<KnownIncarnations>,
    subject: &str,
    from: FollowFrom,
    content: Content,
) -> Result<FollowStream, BusError> {
    let deadline = Instant::now() + servers.config().timeout;
    // A position most often comes from an earlier follower of this process, and belongs to the stream that it followed.
    let stream = known.get(subject).filter(|_| matches!(from, FollowFrom::After(_)));
    let subject = subject.to_owned();
    let mut follower = Follower { servers, known, subject, from, stream, content, source: None, ended: false };
    follower.source = Some(follower.subscribe(deadline).await.map_err(bus_error)?);
    let next = |mut follower: Follower| async move {
        let item = follower.next().await?;
        Some((item, follower))
    };
    Ok(stream::unfold(follower, next).boxed())
}

struct Follower {
    servers: Servers,
    known: Arc<KnownIncarnations>,
    subject: String,
    /// Where the next consumer begins: behind the last message, once there was one.
    from: FollowFrom,
    /// The stream that the position in `from` belongs to, if it is known.
    stream: Option<Incarnation>,
    content: Content,
    source: Option<ActiveConsumer>,
    ended: bool,
}

/// A consumer on the server, and the connection that it is read over.
struct ActiveConsumer {
    connection: Connection,
    consumer: PullConsumer,
    /// The name of its stream.
    stream: String,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Followed, BusError>> {
        if self.ended {
            return None;
        }
        let mut broken_since: Option<Instant> = None;
        loop {
            match self.attempt().await {
                Ok(Some(followed)) => return Some(Ok(followed)),
                Ok(None) => broken_since = None,
                Err(error) => {
                    self.source = None;
                    let since = *broken_since.get_or_insert_with(Instant::now);
                    if !error.is_retryable() || since.elapsed() > BROKEN_LIMIT {
                        self.ended = true;
                        return Some(Err(bus_error(error)));
                    }
                    tracing::debug!(component = "follower", %error, "following begins again");
                    self.servers.rotate();
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// The next message; `None` where another program wrote it, or where nothing is new.
    async fn attempt(&mut self) -> Result<Option<Followed>, NatsError> {
        let source = match &mut self.source {
            Some(source) => source,
            None => {
                let deadline = Instant::now() + self.servers.config().timeout;
                let source = self.subscribe(deadline).await?;
                self.source.insert(source)
            }
        };
        match source.consumer.pull(&mut source.connection).await? {
            Pulled::Heartbeat => Ok(None),
            Pulled::Expired => self.check_stream().await.map(|()| None),
            Pulled::Message { sequence, message } => {
                self.from = FollowFrom::After(sequence);
                let followed = message_headers::followed(sequence, message);
                if followed.is_none() {
                    tracing::warn!(
                        component = "follower",
                        pos = sequence,
                        "skipped a message without an id: not written by this program"
                    );
                }
                Ok(followed)
            }
        }
    }

    /// Checks the stream while nothing is new. A server that is cut off from its peers goes on reporting that nothing
    /// is new for its own consumers; for the stream it reports that there is no leader, or does not answer.
    async fn check_stream(&mut self) -> Result<(), NatsError> {
        let Some(source) = &mut self.source else { return Ok(()) };
        let (connection, domain) = (&mut source.connection, self.servers.config().domain.as_deref());
        let mut js = JetStream { connection, domain, deadline: Instant::now() + LEADER_CHECK_TIMEOUT };
        let gone = |what: &str| NatsError::unreachable(format!("the stream {} {what}", source.stream));
        match js.stream(&source.stream).await? {
            Ok(info) if Some(Incarnation::of(&info)) != self.stream => Err(gone("was made anew")),
            Ok(info) if !info.is_led() => Err(gone("has no leader")),
            Ok(_) => Ok(()),
            Err(error) => Err(gone(&format!("cannot be looked at: {}", error.description))),
        }
    }

    /// Connects to a server and creates a consumer there, behind the last message that was seen.
    async fn subscribe(&mut self, deadline: Instant) -> Result<ActiveConsumer, NatsError> {
        let mut failover = Failover::until(deadline);
        loop {
            let mut connection = self.servers.connect(deadline).await?;
            let deadline = failover.deadline_of_server(&self.servers);
            match self.subscribe_over(&mut connection, deadline).await {
                Ok((stream, consumer)) => return Ok(ActiveConsumer { connection, consumer, stream }),
                Err(error) if error.kind() == NatsErrorKind::NoResponders && Instant::now() + PAUSE < deadline => {
                    self.servers.rotate();
                    sleep(PAUSE).await;
                }
                Err(error) => failover.next_server(&mut self.servers, error)?,
            }
        }
    }

    /// Creates the consumer over this connection; returns the stream's name too.
    async fn subscribe_over(
        &mut self,
        connection: &mut Connection,
        deadline: Instant,
    ) -> Result<(String, PullConsumer), NatsError> {
        let domain = self.servers.config().domain.clone();
        let mut js = JetStream { connection, domain: domain.as_deref(), deadline };
        let Some(info) = covering(&mut js, &self.subject).await? else {
            let why = match self.stream {
                Some(_) => "the one that was followed is gone, and is made again when something is published",
                None => "nothing was published there yet",
            };
            return Err(NatsError::invalid(format!("no stream covers {}: {why}", self.subject)));
        };
        if !info.is_led() {
            let text = format!("the stream {} has no leader now", info.config.name);
            return Err(NatsError::new(NatsErrorKind::NoResponders, text));
        }
        let (last, found) = (info.state.last_seq, Incarnation::of(&info));
        let start = match self.from {
            FollowFrom::Start => 1,
            FollowFrom::End => last.saturating_add(1),
            FollowFrom::After(pos) => self.start_after(pos, last, &found),
        };
        // From here on the starting position is fixed, whatever happens to this consumer.
        self.from = FollowFrom::After(start - 1);
        self.known.set(&self.subject, found.clone());
        self.stream = Some(found);
        let name = info.config.name;
        let consumer = self.make_consumer(&mut js, &name, start).await?;
        // The stream may have been recreated before the consumer was created; the position does not belong to the new
        // stream.
        let now = js.stream(&name).await?.map_err(|error| error.into_error(&format!("looking at {name}")))?;
        if Some(Incarnation::of(&now)) != self.stream {
            return Err(NatsError::unreachable(format!("the stream {name} was made anew meanwhile")));
        }
        let next = js.api_subject(&format!("CONSUMER.MSG.NEXT.{name}.{consumer}"));
        Ok((name, PullConsumer::new(next)))
    }

    /// Creates a consumer that begins at `start`, and returns its name. A cluster may place it on a server that is cut
    /// off: then nobody answers, and a consumer of another name may be placed on another server.
    async fn make_consumer(&self, js: &mut JetStream<'_>, stream: &str, start: u64) -> Result<String, NatsError> {
        let (deadline, mut wait) = (js.deadline, CONSUMER_TIMEOUT);
        loop {
            let name = format!("tenure-{:016x}", rand::random::<u64>());
            let settings = json!({
                "name": name,
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": start,
                "ack_policy": "none",
                "replay_policy": "instant",
                "max_deliver": 1,
                "filter_subject": self.subject,
                "mem_storage": true,
                "num_replicas": 1,
                "inactive_threshold": u64::try_from(INACTIVE.as_nanos()).unwrap_or(u64::MAX),
                "headers_only": self.content == Content::Headers,
            });
            js.deadline = deadline.min(Instant::now() + wait);
            let made = js.create_consumer(stream, &name, &self.subject, &settings).await;
            let now = Instant::now();
            if made.is_err() && now >= js.deadline && now < deadline {
                tracing::debug!(component = "follower", stream, wait = ?wait, "a consumer is not made in time: another is");
                wait *= 2;
                continue;
            }
            js.deadline = deadline;
            made?.map_err(|error| error.into_error(&format!("following {}", self.subject)))?;
            return Ok(name);
        }
    }

    /// The sequence at which to continue behind `pos`, in the stream `found`, which ends at `last`. If `pos` belongs to
    /// another stream, that is the beginning: a message may then come twice, and none is skipped.
    fn start_after(&self, pos: u64, last: u64, found: &Incarnation) -> u64 {
        let subject = self.subject.as_str();
        match &self.stream {
            Some(known) if known != found => {
                tracing::warn!(
                    component = "follower",
                    subject,
                    pos,
                    last,
                    "the stream was made anew: it is followed from its beginning"
                );
                1
            }
            Some(_) if pos > last => {
                tracing::warn!(
                    component = "follower",
                    subject,
                    pos,
                    last,
                    "the stream has lost its end: what is new is followed from there"
                );
                last.saturating_add(1)
            }
            None if pos > last => {
                tracing::warn!(
                    component = "follower",
                    subject,
                    pos,
                    last,
                    "the stream ends before the position to follow from, so it was made anew: it is followed from its beginning"
                );
                1
            }
            _ => pos.saturating_add(1),
        }
    }
}
