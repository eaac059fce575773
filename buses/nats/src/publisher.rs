//! Publishing: one connection, one call at a time, and the retries after an attempt that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tenure_base_nats::{Acknowledger, Connection, Failover, JetStream, NatsError, NatsErrorKind, Servers};
use tenure_base_time::now;
use tenure_bus::{Batch, Message, Published, Refusal};
use tokio::time::{Instant, sleep};

use crate::acknowledged::{Acknowledged, Rollback};
use crate::config::NatsBusConfig;
use crate::error::{PublishError, PublishErrorKind};
use crate::incarnation::Incarnation;
use crate::publish_window::PublishWindow;
use crate::stream;

/// The most messages in one batch.
pub(crate) const BATCH_LIMIT: usize = 1024;
/// How long a connection may acknowledge nothing before another one is tried.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the stream may be looked up after it did not answer.
const STREAM_LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
/// After this many unanswered attempts the stream is looked up again; most often it only elects a leader.
const LOOKUP_AFTER_UNANSWERED: u32 = 4;
/// After this many unanswered attempts another server is tried. An attempt that a server answered without any progress
/// counts for more than one.
const UNANSWERED_LIMIT: u32 = 8;
/// How long the stream's leader may report nothing but messages in process, before the stream gets another leader.
const IN_PROCESS_LIMIT: Duration = Duration::from_secs(4);
/// The first and the longest pause between two attempts; each pause is twice the one before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));

/// The publishing side of a bus. One call at a time uses it.
pub(crate) struct Publisher {
    config: Arc<NatsBusConfig>,
    servers: Servers,
    /// A connection without anything left to write or to read. A call that fails, or is dropped, drops the connection
    /// too.
    idle: Option<Connection>,
    /// The configured subjects on which that connection was acknowledged a message.
    heard: BTreeSet<String>,
    /// Whether `streams` is up to date: false once an answer, or its absence, suggests that a stream is gone or has changed.
    streams_known: bool,
    /// Each configured subject's stream, once it was found.
    streams: BTreeMap<String, Incarnation>,
    /// Since when the stream's leader has reported nothing but messages in process.
    in_process_since: Option<Instant>,
    /// How many attempts in a row were unanswered.
    unanswered_attempts: u32,
    /// The messages that were acknowledged in the last minutes, by configured subject.
    acknowledged: BTreeMap<String, Acknowledged>,
}

type Answers = Vec<Result<Published, Refusal>>;

impl Publisher {
    /// A publisher that is not connected yet. With `make`, missing streams are created whenever they are noticed.
    pub(crate) fn new(config: Arc<NatsBusConfig>, servers: Servers, make: bool) -> Publisher {
        Publisher {
            config,
            servers,
            idle: None,
            heard: BTreeSet::new(),
            streams_known: !make,
            streams: BTreeMap::new(),
            in_process_since: None,
            unanswered_attempts: 0,
            acknowledged: BTreeMap::new(),
        }
    }

    /// The servers, the one that answered last in front.
    pub(crate) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Connects and finds the streams, or creates them; returns the shortest of their duplicate windows. Fails at once
    /// where no server can be connected to; a server that can be gets until `deadline` to be ready.
    pub(crate) async fn open(&mut self, deadline: Instant, make: bool) -> Result<Duration, NatsError> {
        let (mut failover, mut backoff) = (Failover::until(deadline), Backoff::until(deadline));
        loop {
            let mut connection = self.servers.connect(deadline).await?;
            let deadline = failover.deadline_of_server(&self.servers);
            let domain = self.config.client.domain.as_deref();
            let mut js = JetStream { connection: &mut connection, domain, deadline };
            let found = match make {
                true => stream::ensure(&mut js, &self.config).await,
                false => stream::find_first(&mut js, &self.config).await,
            };
            match found {
                Ok(found) => {
                    (self.streams_known, self.idle, self.streams) = (true, Some(connection), found.by_subject);
                    return Ok(found.duplicate_window);
                }
                // In a domain it is another server that answers.
                Err(error)
                    if error.kind() == NatsErrorKind::NoResponders
                        && domain.is_none()
                        && connection.info().lacks_jetstream() =>
                {
                    return Err(error);
                }
                Err(error) if error.kind() == NatsErrorKind::NoResponders && backoff.wait().await => {}
                Err(error) if error.kind() == NatsErrorKind::NoResponders => return Err(error),
                Err(error) => failover.next_server(&mut self.servers, error)?,
            }
        }
    }

    /// Publishes the batch: one answer for each message. Messages of earlier batches that the stream has lost come
    /// first.
    pub(crate) async fn publish(&mut self, batch: &Batch<'_>, deadline: Instant) -> Result<Answers, PublishError> {
        self.in_process_since = None;
        self.publish_lost(batch, deadline).await?;
        let answers = self.publish_until_answered(batch, deadline).await?;
        self.record(batch, &answers);
        if let Err(error) = self.publish_lost(batch, deadline).await {
            tracing::debug!(component = "publisher", %error, "what the stream has lost comes before the next batch");
        }
        Ok(answers)
    }

    /// Publishes again the messages that the stream has acknowledged and lost, under the write deadline of this batch.
    async fn publish_lost(&mut self, batch: &Batch<'_>, deadline: Instant) -> Result<(), PublishError> {
        if !self.acknowledged.get(batch.subject).is_some_and(Acknowledged::has_lost) {
            return Ok(());
        }
        if !self.streams_known {
            let mut connection = self.connection(deadline).await?;
            self.find_streams_again(&mut connection, deadline).await?;
            if !self.streams_known {
                let what = format!("the stream of {} has lost messages and cannot be looked at", batch.subject);
                return Err(PublishError::client(NatsErrorKind::Unreachable, what));
            }
            self.idle = Some(connection);
        }
        while let Some(acknowledged) = self.acknowledged.get_mut(batch.subject) {
            let lost = acknowledged.lost(self.streams.get(batch.subject));
            let part: Vec<Message> = lost.iter().take(BATCH_LIMIT).cloned().collect();
            if part.is_empty() {
                break;
            }
            let again = Batch { messages: &part, ..*batch };
            let answers = self.publish_until_answered(&again, deadline).await?;
            let count = |wanted: fn(&Result<Published, Refusal>) -> bool| {
                answers.iter().filter(|answer| wanted(answer)).count()
            };
            tracing::warn!(
                component = "publisher",
                subject = batch.subject,
                stored = count(|answer| matches!(answer, Ok(Published::Stored(_)))),
                there = count(|answer| matches!(answer, Ok(Published::Duplicate(_)))),
                refused = count(Result::is_err),
                "what the stream had acknowledged and has lost is published again"
            );
            if let Some(acknowledged) = self.acknowledged.get_mut(batch.subject) {
                let lost = acknowledged.lost(self.streams.get(batch.subject));
                lost.drain(..part.len().min(lost.len()));
            }
            self.record(&again, &answers);
        }
        Ok(())
    }

    /// Records the acknowledged messages. If the stream assigns sequences again, it was recreated or has lost its end:
    /// it is then checked before it gets anything more.
    fn record(&mut self, batch: &Batch<'_>, answers: &Answers) {
        if !self.config.subjects.iter().any(|configured| configured == batch.subject) {
            return;
        }
        let acknowledged = self.acknowledged.entry(batch.subject.to_owned()).or_default();
        let stream = self.streams.get(batch.subject);
        if let Some(Rollback { before, first }) = acknowledged.record(now(), stream, batch.messages, answers) {
            tracing::warn!(
                component = "publisher",
                subject = batch.subject,
                before,
                first,
                "positions begin again: the stream was made anew, or has lost its end; it is checked"
            );
            (self.streams_known, self.unanswered_attempts) = (false, 0);
        }
    }

    /// Makes attempts until the whole batch is answered.
    async fn publish_until_answered(&mut self, batch: &Batch<'_>, deadline: Instant) -> Result<Answers, PublishError> {
        let mut window = PublishWindow::new(batch);
        let mut backoff = Backoff::until(deadline);
        loop {
            let Err(error) = self.attempt(&mut window, batch, deadline).await else { return Ok(window.into_answers()) };
            tracing::debug!(component = "publisher", unanswered = window.unanswered(), %error, "an attempt failed");
            if !error.is_retryable() || !backoff.wait().await {
                return Err(error);
            }
        }
    }

    /// Makes one attempt at the unanswered messages of the window. The connection is kept only if nothing was left on
    /// it.
    async fn attempt(
        &mut self,
        window: &mut PublishWindow<'_>,
        batch: &Batch<'_>,
        deadline: Instant,
    ) -> Result<(), PublishError> {
        if batch.valid_until.is_some_and(|until| now() >= until) {
            return Err(PublishError::client(NatsErrorKind::DeadlinePassed, "the right to publish has ended"));
        }
        let mut connection = self.connection(deadline).await?;
        if !self.streams_known && self.unanswered_attempts.is_multiple_of(LOOKUP_AFTER_UNANSWERED) {
            self.find_streams_again(&mut connection, deadline).await?;
        }
        connection.set_write_deadline(batch.valid_until);
        let config = Arc::clone(&self.config);
        let stream = self.streams.get(batch.subject).cloned();
        let stream = stream.as_ref().map(Incarnation::name);
        let unanswered = window.unanswered();
        let by = Acknowledger { stream, domain: config.client.domain.as_deref() };
        let heard = self.heard.contains(batch.subject);
        let result = window.run(&mut connection, heard, by, deadline, SILENCE).await;
        if window.was_heard() && !heard && config.subjects.iter().any(|subject| subject == batch.subject) {
            self.heard.insert(batch.subject.to_owned());
        }
        let is_usable = match result.as_ref().map_err(|error| error.kind) {
            Ok(()) | Err(PublishErrorKind::Client(NatsErrorKind::Unavailable)) => true,
            Err(PublishErrorKind::Client(NatsErrorKind::NoResponders)) => {
                // The stream may be gone, or without a leader for a moment, or this server does not know of it.
                self.streams_known = false;
                self.heard.clear();
                self.count_unanswered(1)
            }
            Err(PublishErrorKind::Unacknowledged) => self.count_unanswered(UNANSWERED_LIMIT / 2),
            // The leader may be cut off from its peers, which have elected another one; mostly one more attempt is
            // enough.
            Err(PublishErrorKind::InProcess) => self.count_unanswered(UNANSWERED_LIMIT / 4),
            Err(PublishErrorKind::OtherStream) => {
                self.streams_known = false;
                let next_look = (self.unanswered_attempts + 1).next_multiple_of(LOOKUP_AFTER_UNANSWERED);
                self.count_unanswered(next_look - self.unanswered_attempts)
            }
            Err(PublishErrorKind::Client(_)) => false,
        };
        let in_process = matches!(&result, Err(error) if error.kind == PublishErrorKind::InProcess);
        if !in_process || window.unanswered() < unanswered {
            self.in_process_since = None;
        }
        if is_usable {
            connection.set_write_deadline(None);
            if !in_process || self.replace_stuck_leader(&mut connection, stream, deadline).await {
                self.idle = Some(connection);
            }
        }
        match &result {
            Ok(()) => self.unanswered_attempts = 0,
            Err(error) if !is_usable && error.is_retryable() => {
                self.unanswered_attempts = 0;
                self.servers.rotate();
            }
            Err(_) => {}
        }
        result
    }

    /// Counts an attempt without progress as `weight` unanswered ones; returns false once another server has to be
    /// tried.
    fn count_unanswered(&mut self, weight: u32) -> bool {
        self.unanswered_attempts += weight;
        self.unanswered_attempts < UNANSWERED_LIMIT
    }

    /// Has the stream's leader replaced if it has reported messages in process for a while without storing them. A
    /// leader of 2.10 that was cut off, was succeeded by another one and came back never stores them while its
    /// duplicate window lasts; the other servers do. Returns false where the connection must not be used any more.
    async fn replace_stuck_leader(
        &mut self,
        connection: &mut Connection,
        stream: Option<&str>,
        deadline: Instant,
    ) -> bool {
        let since = *self.in_process_since.get_or_insert_with(Instant::now);
        let Some(stream) = stream.filter(|_| since.elapsed() >= IN_PROCESS_LIMIT) else { return true };
        self.in_process_since = None;
        tracing::warn!(
            component = "publisher",
            stream,
            "the stream's leader has met messages and not stored them for {IN_PROCESS_LIMIT:?}: it is asked to let another \
             server lead"
        );
        match self.jetstream(connection, deadline.min(Instant::now() + STREAM_LOOKUP_TIMEOUT)).step_down(stream).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                let error = error.into_error("asking for another leader");
                tracing::debug!(component = "publisher", stream, %error, "the stream's leader stays");
                true
            }
            Err(error) => {
                tracing::debug!(component = "publisher", stream, %error, "the stream's leader was not heard");
                false
            }
        }
    }

    /// Finds the streams again, and creates those that are gone. If no server answers, publishing is tried all the
    /// same, because the stream's leader may be another server than the one that was asked.
    async fn find_streams_again(&mut self, connection: &mut Connection, deadline: Instant) -> Result<(), PublishError> {
        let mut js = self.jetstream(connection, deadline.min(Instant::now() + STREAM_LOOKUP_TIMEOUT));
        match stream::ensure(&mut js, &self.config).await {
            Ok(found) => (self.streams_known, self.streams) = (true, found.by_subject),
            Err(error) if error.is_retryable() => {
                tracing::debug!(component = "publisher", %error, "the stream could not be looked for");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn jetstream<'a>(&'a self, connection: &'a mut Connection, deadline: Instant) -> JetStream<'a> {
        JetStream { connection, domain: self.config.client.domain.as_deref(), deadline }
    }

    async fn connection(&mut self, deadline: Instant) -> Result<Connection, NatsError> {
        if let Some(mut connection) = self.idle.take()
            && connection.drain_input().await.is_ok()
        {
            return Ok(connection);
        }
        self.heard.clear();
        self.servers.connect(deadline).await
    }
}

/// The growing pauses between the attempts of one call.
struct Backoff {
    deadline: Instant,
    pause: Duration,
}

impl Backoff {
    fn until(deadline: Instant) -> Backoff {
        Backoff { deadline, pause: PAUSES.0 }
    }

    /// Waits before the next attempt; returns false where no time is left for one.
    async fn wait(&mut self) -> bool {
        if Instant::now() + self.pause >= self.deadline {
            return false;
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        true
    }
}
