//! A semaphore: leadership of any one of several keys.

use std::ops::Deref;

use crate::election::Election;

/// One candidate for any one of N slots: at most N hold one at a time, over all processes, and nobody holds two.
///
/// It is an [`Election`] whose key is whichever slot can be had: it campaigns, leads and resigns as that does, and its
/// [`crate::Leadership`] names the [`slot`](crate::Leadership::slot) besides. Each slot is a lease of its own, `NAME/0` to
/// `NAME/N-1`, with terms of its own: a fence belongs to a slot, and terms of two slots say nothing about each other.
///
/// Within the fault model of an election at most N act at a time; somebody waits only while N are held, left to others after
/// a request to resign, or running out.
#[derive(Debug)]
pub struct Semaphore(Election);

impl Semaphore {
    pub(crate) fn new(election: Election) -> Semaphore {
        Semaphore(election)
    }
}

impl Deref for Semaphore {
    type Target = Election;

    fn deref(&self) -> &Election {
        &self.0
    }
}

impl From<Semaphore> for Election {
    /// The election for any one of the slots, for code that takes either.
    fn from(semaphore: Semaphore) -> Election {
        semaphore.0
    }
}
