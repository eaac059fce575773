//! Following: an ordered consumer that asks for a bounded number of messages at a time, and is made anew when it breaks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde_json::json;
use tenure_bus::{BusError, FollowFrom, FollowStream, Followed};
use tokio::time::{Instant, sleep, timeout};

use crate::api::{self, Api};
use crate::config::NatsBusConfig;
use crate::connection::{Connection, status};
use crate::failure::{Failure, FailureKind};
use crate::headers;
use crate::link::{Link, Round};
use crate::protocol::Incoming;
use crate::stream::{Origin, Origins, covering};

/// How many messages are asked for at once: the most that wait for a slow reader.
const BATCH: usize = 512;
/// How often the server says that it is there while nothing is new.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How long nothing at all may come before the consumer is made anew.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a consumer may take to be made before another is; each further one may take twice as long.
const CONSUMER: Duration = Duration::from_secs(1);
/// How long one question for messages stands.
const EXPIRES: Duration = Duration::from_secs(30);
/// How long the server keeps a consumer that nobody asks.
const INACTIVE: Duration = Duration::from_secs(60);
/// For how long making it anew is tried before following ends with an error.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// What of each message is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of it.
    Messages,
    /// Its headers: the server sends no body.
    Headers,
}

/// Starts following: when this returns, the place to follow from is fixed.
pub(crate) async fn start(
    link: Link,
    origins: Arc<Origins>,
    subject: &str,
    from: FollowFrom,
    wanted: Wanted,
) -> Result<FollowStream, Failure> {
    let timeout = link.config().timeout;
    // A position most often comes from who followed here before.
    let origin = origins.get(subject).filter(|_| matches!(from, FollowFrom::After(_)));
    let subject = subject.to_owned();
    let mut follower = Follower { link, origins, subject, from, origin, wanted, consumer: None, ended: false };
    follower.consumer = Some(follower.subscribe(Instant::now() + timeout).await?);
    let next = |mut follower: Follower| async move {
        let item = follower.next().await?;
        Some((item, follower))
    };
    Ok(stream::unfold(follower, next).boxed())
}

struct Follower {
    link: Link,
    origins: Arc<Origins>,
    subject: String,
    /// After a message was seen, its position.
    from: FollowFrom,
    /// The stream that this is a position of, where that is known.
    origin: Option<Origin>,
    wanted: Wanted,
    consumer: Option<Consumer>,
    ended: bool,
}

/// A consumer on the server, and the connection that it answers over.
struct Consumer {
    connection: Connection,
    /// The name of its stream.
    stream: String,
    /// The subject that messages are asked for at.
    ask: String,
    /// How many were asked for and have not come.
    asked: usize,
    /// How many messages it has delivered.
    delivered: u64,
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
                Err(failure) => {
                    self.consumer = None;
                    let since = *broken_since.get_or_insert_with(Instant::now);
                    if !failure.is_passing() || since.elapsed() > PATIENCE {
                        self.ended = true;
                        return Some(Err(failure.into_bus_error()));
                    }
                    tracing::debug!(component = "follower", %failure, "following begins again");
                    self.link.turn();
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// The next message; nothing where it was none of this bus's, or only news of the consumer.
    async fn attempt(&mut self) -> Result<Option<Followed>, Failure> {
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            None => {
                let deadline = Instant::now() + self.link.config().timeout;
                let consumer = self.subscribe(deadline).await?;
                self.consumer.insert(consumer)
            }
        };
        let message = consumer.next().await?;
        let Some(place) = Place::read(&message.reply) else {
            consumer.news(&message)?;
            if consumer.asked == 0 {
                self.look().await?;
            }
            return Ok(None);
        };
        consumer.asked = consumer.asked.saturating_sub(1);
        consumer.delivered += 1;
        if place.delivered != consumer.delivered {
            let (got, expected) = (place.delivered, consumer.delivered);
            return Err(Failure::connection(format!(
                "delivery {got} came instead of {expected}: some were lost on the way"
            )));
        }
        self.from = FollowFrom::After(place.pos);
        let followed = headers::followed(place.pos, message);
        if followed.is_none() {
            tracing::warn!(
                component = "follower",
                pos = place.pos,
                "skipped a message without an id: not written by this program"
            );
        }
        Ok(followed)
    }

    /// Looks at the stream where nothing is new. A server that is cut off from its peers goes on saying that there is
    /// nothing, for the consumers that it has itself; of the stream it says that it has no leader, or nothing.
    async fn look(&mut self) -> Result<(), Failure> {
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let (config, deadline) = (Arc::clone(self.link.config()), Instant::now() + SILENCE);
        let mut api = Api { connection: &mut consumer.connection, domain: config.domain.as_deref(), deadline };
        let gone = |what: &str| Failure::connection(format!("the stream {} {what}", consumer.stream));
        match api.stream(&consumer.stream).await? {
            Ok(info) if Some(Origin::of(&info)) != self.origin => Err(gone("was made anew")),
            Ok(info) if !info.is_led() => Err(gone("has no leader")),
            Ok(_) => Ok(()),
            Err(error) => Err(gone(&format!("cannot be looked at: {}", error.description))),
        }
    }

    /// Makes a consumer behind what was seen last.
    async fn subscribe(&mut self, deadline: Instant) -> Result<Consumer, Failure> {
        let mut round = Round::until(deadline);
        loop {
            let mut connection = self.link.connect(deadline).await?;
            let deadline = round.part(&self.link);
            match self.subscribe_at(&mut connection, deadline).await {
                Ok((stream, ask)) => return Ok(Consumer { connection, stream, ask, asked: 0, delivered: 0 }),
                Err(failure) if failure.kind == FailureKind::NoResponders && Instant::now() + PAUSE < deadline => {
                    self.link.turn();
                    sleep(PAUSE).await;
                }
                Err(failure) => round.bear(&mut self.link, failure)?,
            }
        }
    }

    /// Makes it at this server: gives the stream's name, and the subject that messages are asked for at.
    async fn subscribe_at(
        &mut self,
        connection: &mut Connection,
        deadline: Instant,
    ) -> Result<(String, String), Failure> {
        let config: Arc<NatsBusConfig> = Arc::clone(self.link.config());
        let mut api = Api { connection, domain: config.domain.as_deref(), deadline };
        let Some(info) = covering(&mut api, &self.subject).await? else {
            let why = match self.origin {
                Some(_) => "the one that was followed is gone, and is made again when something is published",
                None => "nothing was published there yet",
            };
            return Err(Failure::invalid(format!("no stream covers {}: {why}", self.subject)));
        };
        if !info.is_led() {
            let what = format!("the stream {} has no leader now", info.config.name);
            return Err(Failure::new(FailureKind::NoResponders, what));
        }
        let (last, origin) = (info.state.last_seq, Origin::of(&info));
        let start = match self.from {
            FollowFrom::Start => 1,
            FollowFrom::End => last.saturating_add(1),
            FollowFrom::After(pos) => self.behind(pos, last, &origin),
        };
        // From here on the place is known, whatever happens to this consumer.
        self.from = FollowFrom::After(start - 1);
        self.origins.set(&self.subject, origin.clone());
        self.origin = Some(origin);
        let stream = &info.config.name;
        let name = self.make_consumer(&mut api, stream, start).await?;
        // Between the look and the consumer the stream may have become another one, of which this is no position.
        let now = api.stream(stream).await?.map_err(|error| error.into_failure(&format!("looking at {stream}")))?;
        if Some(Origin::of(&now)) != self.origin {
            return Err(Failure::connection(format!("the stream {stream} was made anew meanwhile")));
        }
        let ask = format!("{}CONSUMER.MSG.NEXT.{stream}.{name}", api::prefix(config.domain.as_deref()));
        Ok((stream.clone(), ask))
    }

    /// Makes a consumer that begins at `start`, and gives its name. The server that a cluster picks for one may be cut off:
    /// then nobody answers, and one of another name goes to another server, perhaps.
    async fn make_consumer(&self, api: &mut Api<'_>, stream: &str, start: u64) -> Result<String, Failure> {
        let (deadline, mut wait) = (api.deadline, CONSUMER);
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
                "inactive_threshold": nanos(INACTIVE),
                "headers_only": self.wanted == Wanted::Headers,
            });
            api.deadline = deadline.min(Instant::now() + wait);
            let made = api.create_consumer(stream, &name, &self.subject, &settings).await;
            let now = Instant::now();
            if made.is_err() && now >= api.deadline && now < deadline {
                tracing::debug!(component = "follower", stream, wait = ?wait, "a consumer is not made in time: another is");
                wait *= 2;
                continue;
            }
            api.deadline = deadline;
            made?.map_err(|error| error.into_failure(&format!("following {}", self.subject)))?;
            return Ok(name);
        }
    }

    /// Where to begin for what is behind `pos`, in a stream that ends at `last`. In another stream than the one that `pos`
    /// is of, that is the beginning: a message may come twice by that, and none is passed over.
    fn behind(&self, pos: u64, last: u64, origin: &Origin) -> u64 {
        let subject = self.subject.as_str();
        match &self.origin {
            Some(known) if known != origin => {
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

impl Consumer {
    /// What comes next, asking for more where all that was asked for has come.
    async fn next(&mut self) -> Result<Incoming, Failure> {
        if self.asked == 0 {
            let ask = json!({ "batch": BATCH, "expires": nanos(EXPIRES), "idle_heartbeat": nanos(HEARTBEAT) });
            let number = self.connection.next_reply;
            self.connection.next_reply += 1;
            self.connection.publish(&self.ask, Some(number), &ask.to_string());
            self.asked = BATCH;
        }
        match timeout(SILENCE, self.connection.message()).await {
            Ok(message) => message,
            Err(_) => {
                Err(Failure::connection(format!("{}: nothing has come for {SILENCE:?}", self.connection.server())))
            }
        }
    }

    /// What the server says of the consumer instead of a message.
    fn news(&mut self, message: &Incoming) -> Result<(), Failure> {
        let text = || {
            let line = message.headers.split(|byte| *byte == b'\r').next().unwrap_or_default();
            String::from_utf8_lossy(line).trim_start_matches("NATS/1.0 ").to_owned()
        };
        match status(&message.headers) {
            Some(100) => match headers::number(&message.headers, "Nats-Last-Consumer") {
                // What was lost last is followed by nothing whose number would tell.
                Some(last) if last > self.delivered => Err(Failure::connection(format!(
                    "{last} were delivered and {} came: some were lost on the way",
                    self.delivered
                ))),
                _ => Ok(()),
            },
            // The question has expired; the next one is asked.
            Some(404 | 408) => {
                self.asked = 0;
                Ok(())
            }
            Some(503) => Err(Failure::new(FailureKind::NoResponders, "the consumer's server is gone")),
            Some(_) => Err(Failure::connection(format!("the consumer has ended: {}", text()))),
            None => Ok(()),
        }
    }
}

/// Where a message stands, from the subject that it would be acknowledged at:
/// `$JS.ACK.[DOMAIN.ACCOUNT.]STREAM.CONSUMER.TRIES.POSITION.DELIVERED.TIME.PENDING[.MORE]`.
struct Place {
    pos: u64,
    delivered: u64,
}

impl Place {
    fn read(reply: &[u8]) -> Option<Place> {
        let text = std::str::from_utf8(reply).ok()?;
        let tokens: Vec<_> = text.strip_prefix("$JS.ACK.")?.split('.').collect();
        // With a domain there are two tokens more in front, and one or more behind.
        let at = if tokens.len() == 7 { 3 } else { 5 };
        Some(Place { pos: tokens.get(at)?.parse().ok()?, delivered: tokens.get(at + 1)?.parse().ok()? })
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions are read from both forms of the subject.
    #[test]
    fn places_are_read_with_and_without_a_domain() {
        let plain = Place::read(b"$JS.ACK.TENURE.c.1.42.7.1700000000000000000.3").unwrap();
        assert_eq!((plain.pos, plain.delivered), (42, 7));
        let domain = Place::read(b"$JS.ACK.hub.ACCHASH.TENURE.c.1.42.7.1700000000000000000.3.x").unwrap();
        assert_eq!((domain.pos, domain.delivered), (42, 7));
        assert!(Place::read(b"").is_none() && Place::read(b"_INBOX.x").is_none());
    }
}
