//! The publishing side: one connection, one call at a time, and what becomes of an attempt that fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tenure_bus::{Batch, Message, Published, Refusal};
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::clock;
use crate::config::NatsBusConfig;
use crate::connection::Connection;
use crate::failure::{Failure, FailureKind};
use crate::link::{Link, Round};
use crate::publish::{Acknowledger, Job};
use crate::recent::{Recent, Setback};
use crate::stream::{self, Covered, Origin};

/// The most messages in one batch.
pub(crate) const BATCH_LIMIT: usize = 1024;
/// How long a connection may acknowledge nothing before another one is tried.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the stream is looked for, once it has not answered.
const LOOK: Duration = Duration::from_secs(1);
/// After so many attempts that nobody answered for, the stream is looked for; most often it only elects a leader.
const LOOK_AFTER: u32 = 4;
/// After so many attempts that nobody answered for, another server is tried.
const UNSERVED: u32 = 8;
/// After so long of nothing but messages that its leader has met and not stored, the stream is to get another leader.
const HELD_UP: Duration = Duration::from_secs(4);
/// Between two attempts: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));

/// What publishing needs: one call at a time has it.
pub(crate) struct Publisher {
    link: Link,
    /// A connection that nothing is left to write or to read on. A call that fails, or is given up, takes it with it.
    idle: Option<Connection>,
    /// Whether the streams were found since something last spoke against it.
    prepared: bool,
    /// Each configured subject's stream, once it was found.
    streams: BTreeMap<String, Origin>,
    /// Since when the stream's leader has met messages and not stored them, and nothing else has happened.
    held_up: Option<Instant>,
    /// How many attempts in a row nobody answered for.
    unserved: u32,
    /// What was acknowledged a moment ago, by configured subject.
    recent: BTreeMap<String, Recent>,
}

type Answers = Vec<Result<Published, Refusal>>;

impl Publisher {
    /// Connected to nobody yet. With `make` streams are looked after, and made.
    pub(crate) fn new(link: Link, make: bool) -> Publisher {
        Publisher {
            link,
            idle: None,
            prepared: !make,
            streams: BTreeMap::new(),
            held_up: None,
            unserved: 0,
            recent: BTreeMap::new(),
        }
    }

    /// The servers, the one that answered last in front.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Connects and finds the streams, or makes them; answers the shortest time for which any drops second messages. Who
    /// starts wants to know at once that nobody is there; a server that is, gets time to be ready.
    pub(crate) async fn open(&mut self, deadline: Instant, make: bool) -> Result<Duration, Failure> {
        let (mut round, mut patience) = (Round::until(deadline), Patience::until(deadline));
        loop {
            let mut connection = self.link.connect(deadline).await?;
            let part = round.part(&self.link);
            match look(&mut connection, self.link.config(), part, make).await {
                Ok(covered) => {
                    (self.prepared, self.idle, self.streams) = (true, Some(connection), covered.streams);
                    return Ok(covered.dedupe);
                }
                Err(failure) if failure.kind == FailureKind::NoResponders => patience.bear(failure).await?,
                Err(failure) => round.bear(&mut self.link, failure)?,
            }
        }
    }

    /// Publishes the batch: one answer for each message. What the stream has lost of earlier ones comes first.
    pub(crate) async fn publish(&mut self, batch: &Batch<'_>, deadline: Instant) -> Result<Answers, Failure> {
        self.held_up = None;
        self.make_good(batch, deadline).await?;
        let answers = self.take(batch, deadline).await?;
        self.note(batch, &answers);
        if let Err(failure) = self.make_good(batch, deadline).await {
            tracing::debug!(component = "publisher", %failure, "what the stream has lost comes before the next batch");
        }
        Ok(answers)
    }

    /// Publishes again what the stream has acknowledged and has lost since, under the right to publish of this batch.
    async fn make_good(&mut self, batch: &Batch<'_>, deadline: Instant) -> Result<(), Failure> {
        if !self.recent.get(batch.subject).is_some_and(Recent::has_lost) {
            return Ok(());
        }
        if !self.prepared {
            let mut connection = self.connection(deadline).await?;
            self.look_again(&mut connection, deadline).await?;
            if !self.prepared {
                let what = format!("the stream of {} has lost messages and cannot be looked at", batch.subject);
                return Err(Failure::connection(what));
            }
            self.idle = Some(connection);
        }
        while let Some(recent) = self.recent.get_mut(batch.subject) {
            let lost = recent.lost(self.streams.get(batch.subject));
            let part: Vec<Message> = lost.iter().take(BATCH_LIMIT).cloned().collect();
            if part.is_empty() {
                break;
            }
            let again = Batch { messages: &part, ..*batch };
            let answers = self.take(&again, deadline).await?;
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
            if let Some(recent) = self.recent.get_mut(batch.subject) {
                let lost = recent.lost(self.streams.get(batch.subject));
                lost.drain(..part.len().min(lost.len()));
            }
            self.note(&again, &answers);
        }
        Ok(())
    }

    /// Takes note of what was acknowledged. Where positions begin again the stream was made anew, or has lost its end:
    /// before anything more is given to it, it is looked at whether it can carry that.
    fn note(&mut self, batch: &Batch<'_>, answers: &Answers) {
        if !self.link.config().subjects.iter().any(|configured| configured == batch.subject) {
            return;
        }
        let recent = self.recent.entry(batch.subject.to_owned()).or_default();
        let origin = self.streams.get(batch.subject);
        if let Some(Setback { before, first }) = recent.note(clock::now(), origin, batch.messages, answers) {
            tracing::warn!(
                component = "publisher",
                subject = batch.subject,
                before,
                first,
                "positions begin again: the stream was made anew, or has lost its end; it is checked"
            );
            (self.prepared, self.unserved) = (false, 0);
        }
    }

    /// Attempts until all of the batch is answered.
    async fn take(&mut self, batch: &Batch<'_>, deadline: Instant) -> Result<Answers, Failure> {
        let mut job = Job::new(batch);
        let mut patience = Patience::until(deadline);
        loop {
            let failure = match self.attempt(&mut job, batch, deadline).await {
                Ok(()) => return Ok(job.into_answers()),
                Err(failure) => failure,
            };
            tracing::debug!(component = "publisher", unanswered = job.unanswered(), %failure, "an attempt failed");
            patience.bear(failure).await?;
        }
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
        let config = Arc::clone(self.link.config());
        let stream = self.streams.get(batch.subject).cloned();
        let stream = stream.as_ref().map(Origin::name);
        let unanswered = job.unanswered();
        let by = Acknowledger { stream, domain: config.domain.as_deref() };
        let result = job.run(&mut connection, by, deadline, SILENCE).await;
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
            Err(FailureKind::InProcess) => {
                // Its leader may be cut off from its peers, which have another one: mostly it is a matter of one more attempt.
                self.unserved += UNSERVED / 4;
                self.unserved < UNSERVED
            }
            Err(FailureKind::Displaced) => {
                self.prepared = false;
                self.unserved = (self.unserved + 1).next_multiple_of(LOOK_AFTER);
                self.unserved < UNSERVED
            }
            Err(_) => false,
        };
        let held_up = matches!(&result, Err(failure) if failure.kind == FailureKind::InProcess);
        if !held_up || job.unanswered() < unanswered {
            self.held_up = None;
        }
        if keep {
            connection.valid_until(None);
            if !held_up || self.bear_with_the_leader(&mut connection, stream, deadline).await {
                self.idle = Some(connection);
            }
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

    /// Has the stream's leader replaced where it has met messages for a while and not stored them. A leader of 2.10 that was
    /// cut off, followed by another and has come back never will, for as long as its duplicate window lasts; the others do.
    /// False where the connection is not to be used any more.
    async fn bear_with_the_leader(
        &mut self,
        connection: &mut Connection,
        stream: Option<&str>,
        deadline: Instant,
    ) -> bool {
        let since = *self.held_up.get_or_insert_with(Instant::now);
        let Some(stream) = stream.filter(|_| since.elapsed() >= HELD_UP) else { return true };
        self.held_up = None;
        tracing::warn!(
            component = "publisher",
            stream,
            "the stream's leader has met messages and not stored them for {HELD_UP:?}: it is asked to let another server lead"
        );
        let (config, deadline) = (Arc::clone(self.link.config()), deadline.min(Instant::now() + LOOK));
        let asked = Api { connection, domain: config.domain.as_deref(), deadline }.step_down(stream).await;
        match asked {
            Ok(answer) => {
                if let Err(error) = answer {
                    let failure = error.into_failure("asking for another leader");
                    tracing::debug!(component = "publisher", stream, %failure, "the stream's leader stays");
                }
                true
            }
            Err(failure) => {
                tracing::debug!(component = "publisher", stream, %failure, "the stream's leader was not heard");
                false
            }
        }
    }

    /// Makes the stream again where it is gone. Without an answer publishing is tried all the same: whoever would answer
    /// here may be another server than the stream's leader.
    async fn look_again(&mut self, connection: &mut Connection, deadline: Instant) -> Result<(), Failure> {
        let config = Arc::clone(self.link.config());
        let deadline = deadline.min(Instant::now() + LOOK);
        match stream::prepare(&mut Api { connection, domain: config.domain.as_deref(), deadline }, &config).await {
            Ok(covered) => (self.prepared, self.streams) = (true, covered.streams),
            Err(failure) if failure.is_passing() => {
                tracing::debug!(component = "publisher", %failure, "the stream could not be looked for");
            }
            Err(failure) => return Err(failure),
        }
        Ok(())
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

/// Finds the streams of all subjects, or makes them; without `make` only the first subject's is looked at.
async fn look(
    connection: &mut Connection,
    config: &NatsBusConfig,
    deadline: Instant,
    make: bool,
) -> Result<Covered, Failure> {
    let mut api = Api { connection, domain: config.domain.as_deref(), deadline };
    if make {
        return stream::prepare(&mut api, config).await;
    }
    let mut covered = Covered { dedupe: Duration::MAX, streams: BTreeMap::new() };
    if let Some(subject) = config.subjects.first() {
        let Some(info) = stream::covering(&mut api, subject).await? else {
            return Err(Failure::new(FailureKind::Refused, format!("there is no stream for {subject}")));
        };
        covered.dedupe = info.config.dedupe();
        covered.streams.insert(subject.clone(), Origin::of(&info));
    }
    Ok(covered)
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
