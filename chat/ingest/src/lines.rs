//! What became of every line that came in.

use serde::Serialize;

/// Every line that this process has read, by what became of it: at any moment `received` is the sum of all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lines {
    /// Lines that were read from the server, whatever they were.
    pub received: u64,
    /// On the bus, put there by this instance.
    pub published: u64,
    /// Nothing to do: on the bus already, read before, left to the leader (a line without identity), no change (the state
    /// of a room), or the protocol's own (PING, JOIN, NOTICE, numerics and the like).
    pub known: u64,
    /// Not published as it is: no message, no channel, or the bus does not take it and the finalizer has it. Each is told
    /// in the log.
    pub refused: u64,
    /// Lost to the bus and part of a gap: too long, forced out of the ring, or refused by the finalizer too.
    pub gap: u64,
    /// In the ring, on its way to the bus or waiting to be seen there.
    pub held: u64,
}

/// Where lines came to rest, as far as one part of the pipeline knows; these numbers only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// See [`Lines::published`].
    pub published: u64,
    /// See [`Lines::known`].
    pub known: u64,
    /// See [`Lines::refused`].
    pub refused: u64,
    /// See [`Lines::gap`].
    pub gap: u64,
}

impl Lines {
    /// So many were received; the parts of the pipeline know of these fates, and hold so many.
    pub(crate) fn of(received: u64, fates: &[Fates], held: u64) -> Lines {
        let sum = |pick: fn(&Fates) -> u64| fates.iter().map(pick).sum();
        Lines {
            received,
            published: sum(|fates| fates.published),
            known: sum(|fates| fates.known),
            refused: sum(|fates| fates.refused),
            gap: sum(|fates| fates.gap),
            held,
        }
    }

    /// Whether every line is accounted for.
    pub fn add_up(&self) -> bool {
        self.received == self.published + self.known + self.refused + self.gap + self.held
    }
}
