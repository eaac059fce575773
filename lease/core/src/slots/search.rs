//! Where the search for a free slot stands.

use alloc::collections::VecDeque;

use crate::elector::Attempts;
use crate::{NotElected, Time};

/// The search of a campaign. Only several slots need one.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) phase: Phase,
    pub(super) attempts: Attempts,
    /// Where it begins.
    pub(super) first: usize,
    /// The slots that are still to be claimed.
    pub(super) queue: VecDeque<usize>,
    /// How the try of the slot that is claimed has ended, until that was dealt with.
    pub(super) ended: Option<NotElected>,
    /// How many claims have failed since it began, and whether one was answered with "held".
    pub(super) failed: u32,
    pub(super) held: bool,
    /// When the first of the leases that others hold runs out, as far as the store has said.
    pub(super) first_to_end: Option<Time>,
    /// When to look next, or, while a list is under way, when that counts as failed.
    pub(super) due: Time,
    /// How many lists were sent, and whether the latest may be answered yet.
    pub(super) lists: u64,
    pub(super) list_open: bool,
    /// The next list is due because of a hint.
    pub(super) hinted: bool,
    /// A hint came that the list under way may not show.
    pub(super) look_again: bool,
    /// That no slot is free was told, and nothing has changed since.
    pub(super) told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is no campaign.
    Idle,
    /// The next look is waited for.
    Waiting,
    /// The list is under way.
    Listing,
    /// The elector of this slot tries.
    Claiming(usize),
}

impl Search {
    /// No search yet; the first one begins with this slot.
    pub(super) fn new(first: usize) -> Search {
        Search {
            phase: Phase::Idle,
            attempts: Attempts::One,
            first,
            queue: VecDeque::new(),
            ended: None,
            failed: 0,
            held: false,
            first_to_end: None,
            due: Time::MAX,
            lists: 0,
            list_open: false,
            hinted: false,
            look_again: false,
            told: false,
        }
    }

    /// A lease that somebody else holds runs out by then.
    pub(super) fn runs_out(&mut self, at: Time) {
        self.first_to_end = Some(self.first_to_end.map_or(at, |first| first.min(at)));
    }
}
