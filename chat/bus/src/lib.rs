//! The interface of a message bus: `publish` with one answer per message, `follow` to read what is there.

mod error;
mod info;
mod message;
mod retention;
mod stdout;
mod subjects;

use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;

pub use error::{BusError, BusErrorKind};
pub use info::BusInfo;
pub use message::{Batch, FollowFrom, Followed, Message, Published, Refusal};
pub use retention::Retention;
pub use stdout::StdoutBus;
pub use subjects::Subjects;

/// The messages of a bus in order. An error item ends the stream; follow again from the last position.
pub type FollowStream = BoxStream<'static, Result<Followed, BusError>>;

/// A message bus.
#[async_trait]
pub trait Bus: fmt::Debug + Send + Sync + 'static {
    /// The capabilities and limits of this bus.
    fn info(&self) -> BusInfo;

    /// Publishes the batch: one answer per message, in order. An `Ok` answer means that the message is on the bus as
    /// durably as [`BusInfo`] says. The outer error means that the bus could not be reached or did not answer: the
    /// whole batch may be repeated, for a bus that deduplicates drops what it has.
    async fn publish(&self, batch: &Batch<'_>) -> Result<Vec<Result<Published, Refusal>>, BusError>;

    /// Everything on the bus from `from` on, then everything new, on `subject`.
    async fn follow(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError>;

    /// Like [`Bus::follow`], for a reader that needs positions, ids and terms alone: bodies may be empty, so that a bus
    /// that can does not send them. A message that carries its id only in its body may be skipped.
    async fn follow_ids(&self, subject: &str, from: FollowFrom) -> Result<FollowStream, BusError> {
        self.follow(subject, from).await
    }
}
