//! The stream of an election's events: ordered, bounded, and honest about what it left out.

use tenure_core::Event;
use tokio::sync::broadcast;

/// How many events a subscriber may be behind before the oldest are dropped for it.
pub(crate) const CAPACITY: usize = 256;

/// An event, and which of several slots it is about; `None` where it is about all of them together, or there is one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotEvent {
    /// The slot's number.
    pub slot: Option<usize>,
    /// What happened.
    pub event: Event,
}

/// An election's events from the moment of subscription on.
#[derive(Debug)]
pub struct Events {
    receiver: broadcast::Receiver<SlotEvent>,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<SlotEvent>) -> Self {
        Events { receiver }
    }

    /// The next event; [`Event::Lagged`] in place of those that this subscriber was too slow for; `None` once the
    /// election has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        self.next_of_slot().await.map(|told| told.event)
    }

    /// The same with the slot of a [`crate::Semaphore`] that it is about.
    pub async fn next_of_slot(&mut self) -> Option<SlotEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                Some(SlotEvent { slot: None, event: Event::Lagged(missed) })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
