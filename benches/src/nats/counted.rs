//! A bus that counts acknowledged messages, and tells when all are acknowledged.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tenure_bus::{Batch, Bus, BusError, BusInfo, FollowFrom, FollowStream, Published, Refusal};
use tenure_bus_nats::NatsBus;
use tokio::sync::Notify;

/// The bus, and how many of its messages were acknowledged.
#[derive(Debug)]
pub(super) struct CountingBus {
    bus: NatsBus,
    wanted: usize,
    stored: AtomicUsize,
    all: Notify,
}

impl CountingBus {
    /// A bus that waits for this many acknowledgements.
    pub(super) fn new(bus: NatsBus, wanted: usize) -> Self {
        Self { bus, wanted, stored: AtomicUsize::new(0), all: Notify::new() }
    }

    /// How many acknowledgements there are.
    pub(super) fn stored(&self) -> usize {
        self.stored.load(Ordering::Acquire)
    }

    /// Returns when all messages are acknowledged.
    pub(super) async fn all(&self) {
        self.all.notified().await;
    }
}

#[async_trait]
impl Bus for CountingBus {
    fn info(&self) -> BusInfo {
        self.bus.info()
    }

    async fn publish(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError> {
        let answers = self.bus.publish(batch).await?;
        let chat = |(message, answer): &(&tenure_bus::Message, &Result<Published, Refusal>)| {
            &*message.channel == super::material::CHANNEL && matches!(answer, Ok(Published::Stored(_)))
        };
        let stored = batch.messages.iter().zip(&answers).filter(chat).count();
        if self.stored.fetch_add(stored, Ordering::AcqRel) + stored >= self.wanted {
            self.all.notify_one();
        }
        Ok(answers)
    }

    async fn follow(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        self.bus.follow(subject, from).await
    }

    async fn follow_ids(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        self.bus.follow_ids(subject, from).await
    }
}
