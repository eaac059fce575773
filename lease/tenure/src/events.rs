//! The stream of an election's events: ordered, bounded, and honest about what it left out.

use tenure_core::Event;
use tokio::sync::broadcast;

/// How many events a subscriber may be behind before the oldest are dropped for it.
pub(crate) const CAPACITY: usize = 256;

/// An election's events from the moment of subscription on.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<Event>,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Events { receiver }
    }

    /// The next event; [`Event::Lagged`] in place of those that this subscriber was too slow for; `None` once the
    /// election has ended.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
