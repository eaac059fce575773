//! The bus's face: batches go out over one connection, one after the other; each follower has a connection of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Published, Refusal};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::config::{NatsBusConfig, Problem, check_subject};
use crate::connection::Dialer;
use crate::failure::Failure;
use crate::link::Link;
use crate::publisher::{BATCH_LIMIT, Publisher};
use crate::stream::Origins;
use crate::{follow, tls};

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
        let mut publisher = Publisher::new(link, make);
        let dedupe = publisher.open(deadline, make).await.map_err(Failure::into_bus_error)?;
        Ok(NatsBus {
            config,
            dedupe,
            // Followers begin with the server that has just answered.
            follower: publisher.link().clone(),
            publisher: Arc::new(Mutex::new(publisher)),
            origins: Arc::default(),
        })
    }

    fn unavailable(&self, what: &str) -> BusError {
        BusError::new(BusErrorKind::Unavailable, format!("nats bus: {what}"))
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
        publisher.publish(batch, deadline).await.map_err(Failure::into_bus_error)
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

fn wrong(problem: Problem) -> BusError {
    BusError::new(BusErrorKind::Invalid, problem.to_string())
}
