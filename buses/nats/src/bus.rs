//! The NATS bus: batches go out over one connection, one after the other; each follower has a connection of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_base_nats::{Servers, check_subject};
use tenure_bus::{Batch, Bus, BusError, BusErrorKind, BusInfo, FollowFrom, FollowStream, Published, Refusal};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::config::NatsBusConfig;
use crate::error::{bus_error, invalid};
use crate::follow::{self, Content};
use crate::incarnation::KnownIncarnations;
use crate::publisher::{BATCH_LIMIT, Publisher};

/// A bus over a JetStream stream. Cloning gives another handle to the same connection.
///
/// `Stored` means that the stream's leader has acknowledged the message: on the disks of a majority of its replicas, as
/// durably as those servers write (by default they do not wait for the disk). A second message with the same id is
/// dropped for the stream's duplicate window. Positions follow the order of publishing, except within a window whose
/// server or leader was lost: what of it had not arrived is sent once more behind the rest. A stream that somebody removes
/// is made again by the next batch; one that somebody makes anew is checked once more, and its followers begin at its first
/// position. No term is checked: the server has no fence. Consumers compare the term in the header `term`.
#[derive(Clone)]
pub struct NatsBus {
    config: Arc<NatsBusConfig>,
    duplicate_window: Duration,
    publisher: Arc<Mutex<Publisher>>,
    /// The servers, in the order in which each follower tries them first.
    servers: Servers,
    known: Arc<KnownIncarnations>,
}

impl NatsBus {
    /// Connects, and makes sure that a suitable stream covers the configured subjects: an existing one is checked, a
    /// missing one is created. Takes at most about the configured time-out.
    pub async fn open(config: NatsBusConfig) -> Result<NatsBus, BusError> {
        NatsBus::start(config, true).await
    }

    /// Connects for reading: nothing is created or checked, and the stream must exist.
    pub async fn open_existing(config: NatsBusConfig) -> Result<NatsBus, BusError> {
        NatsBus::start(config, false).await
    }

    async fn start(config: NatsBusConfig, make: bool) -> Result<NatsBus, BusError> {
        config.check()?;
        let deadline = Instant::now() + config.client.timeout;
        let servers = Servers::new(config.client.clone()).map_err(invalid)?;
        let config = Arc::new(config);
        let mut publisher = Publisher::new(Arc::clone(&config), servers, make);
        let duplicate_window = publisher.open(deadline, make).await.map_err(bus_error)?;
        Ok(NatsBus {
            config,
            duplicate_window,
            // Followers begin with the server that has just answered.
            servers: publisher.servers().clone(),
            publisher: Arc::new(Mutex::new(publisher)),
            known: Arc::default(),
        })
    }

    async fn follow_content(
        &self,
        subject: &str,
        from: FollowFrom,
        content: Content,
    ) -> Result<FollowStream, BusError> {
        check_subject(subject).map_err(invalid)?;
        follow::start(self.servers.clone(), Arc::clone(&self.known), subject, from, content).await
    }
}

#[async_trait]
impl Bus for NatsBus {
    fn info(&self) -> BusInfo {
        BusInfo {
            scheme: "nats",
            dedupe: Some(self.duplicate_window),
            fence: false,
            follow: true,
            batch_limit: BATCH_LIMIT,
        }
    }

    async fn publish(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        let count = batch.messages.len();
        if count > BATCH_LIMIT {
            let text =
                format!("nats bus: a batch of {count} messages, at most {BATCH_LIMIT} are taken: send it in parts");
            return Err(BusError::new(BusErrorKind::Invalid, text));
        }
        check_subject(batch.subject).map_err(invalid)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let deadline = Instant::now() + self.config.client.timeout;
        let mut publisher = timeout_at(deadline, self.publisher.lock()).await.map_err(|_| {
            let text = "nats bus: other calls are waiting for the servers, this one has not begun";
            BusError::new(BusErrorKind::Unavailable, text)
        })?;
        Ok(publisher.publish(batch, deadline).await?)
    }

    async fn follow(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        self.follow_content(subject, from, Content::Whole).await
    }

    async fn follow_ids(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        self.follow_content(subject, from, Content::Headers).await
    }
}

impl fmt::Debug for NatsBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("NatsBus");
        shown.field("config", &self.config).field("duplicate_window", &self.duplicate_window).finish_non_exhaustive()
    }
}
