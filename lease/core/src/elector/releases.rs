//! The releases that an elector owes: leases that it holds and does not want.

use alloc::collections::VecDeque;

use crate::{Nonce, Term, Time};

/// How many releases can be owed at once. For one more that of the lowest term is forgotten: its lease is over, for a higher
/// term was granted since.
const OWED_MOST: usize = 4;

/// The releases that are owed, in the order in which they came to be.
#[derive(Debug, Default)]
pub(super) struct Releases(VecDeque<Owed>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) nonce: Nonce,
    pub(super) term: Term,
    /// By then the lease has certainly run out by itself.
    pub(super) ended_by: Time,
}

impl Releases {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn owe(&mut self, nonce: Nonce, term: Term, ended_by: Time) {
        self.settle(nonce, term);
        if self.0.len() == OWED_MOST
            && let Some(lowest) = (0..self.0.len()).min_by_key(|at| self.0[*at].term)
        {
            self.0.remove(lowest);
        }
        self.0.push_back(Owed { nonce, term, ended_by });
    }

    /// Forgets this one; whether it was owed.
    pub(super) fn settle(&mut self, nonce: Nonce, term: Term) -> bool {
        let before = self.0.len();
        self.0.retain(|owed| (owed.nonce, owed.term) != (nonce, term));
        self.0.len() < before
    }

    /// The one to send next: that of the highest term, as the others are certainly over.
    pub(super) fn next(&self) -> Option<Owed> {
        self.0.iter().max_by_key(|owed| owed.term).copied()
    }

    /// Forgets this one where its lease has certainly run out by now.
    pub(super) fn forget_ended(&mut self, nonce: Nonce, term: Term, now: Time) {
        self.0.retain(|owed| (owed.nonce, owed.term) != (nonce, term) || now < owed.ended_by);
    }
}
