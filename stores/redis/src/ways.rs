//! Ways: the subscriptions that a store listens on at a time, where each of them stands, and what came over more than one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tenure_store::{LeaseKey, WakeChange};
use tokio::time::Instant;

use crate::config::Address;
use crate::news::Twins;

/// How many subscriptions stand at a time in a cluster.
pub(crate) const WAYS: usize = 2;

/// The subscriptions of one run, by their numbers.
pub(crate) struct Ways {
    places: Mutex<Vec<Place>>,
    turn: AtomicUsize,
    // Something was heard once: who hears nothing any more may miss what follows.
    heard: AtomicBool,
    twins: Mutex<Twins>,
}

/// Where one subscription stands.
#[derive(Clone, Debug, Default)]
pub(crate) enum Place {
    #[default]
    Nowhere,
    /// It was tried once, and failed.
    Failed,
    /// It is being made there.
    Trying(Address),
    /// It stands there.
    Standing(Address),
}

impl Ways {
    /// None stands yet.
    pub(crate) fn new(count: usize) -> Self {
        Ways {
            places: Mutex::new(vec![Place::default(); count]),
            // Each store begins somewhere else, so that no node bears all subscriptions.
            turn: AtomicUsize::new(RandomState::new().hash_one(0) as usize >> 1),
            heard: AtomicBool::default(),
            twins: Mutex::default(),
        }
    }

    /// How many there are to be.
    pub(crate) fn count(&self) -> usize {
        self.places().len()
    }

    /// Counts on: from where on to look for a node.
    pub(crate) fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether this did not come another way before.
    pub(crate) fn is_news(&self, way: usize, key: &LeaseKey, change: WakeChange) -> bool {
        let standing = |place: &&Place| matches!(place, Place::Standing(_));
        let alone = self.places().iter().filter(standing).count() < 2;
        alone || self.twins.lock().unwrap_or_else(PoisonError::into_inner).is_news(way, key, change, Instant::now())
    }

    /// Takes this node for this way, unless it is another one's.
    pub(crate) fn tries(&self, way: usize, node: &Address) -> bool {
        let mut places = self.places();
        let is_there = |place: &Place| matches!(place, Place::Trying(there) | Place::Standing(there) if there == node);
        let taken = places.iter().enumerate().any(|(other, place)| other != way && is_there(place));
        if !taken {
            places[way] = Place::Trying(node.clone());
        }
        !taken
    }

    /// This way stands from now on; answers whether something was heard before, and then for a while nothing.
    pub(crate) fn stands(&self, way: usize, node: Address) -> bool {
        let deaf = self.is_deaf();
        self.places()[way] = Place::Standing(node);
        self.forget();
        self.heard.swap(true, Ordering::Relaxed) && deaf
    }

    /// This way stands no more; answers where it was.
    pub(crate) fn fail(&self, way: usize) -> Place {
        self.forget();
        std::mem::replace(&mut self.places()[way], Place::Failed)
    }

    /// Whether nothing is heard.
    pub(crate) fn is_deaf(&self) -> bool {
        !self.places().iter().any(|place| matches!(place, Place::Standing(_)))
    }

    /// Whether nothing is heard, and nothing is tried at the moment either.
    pub(crate) fn all_failed(&self) -> bool {
        self.places().iter().all(|place| matches!(place, Place::Failed))
    }

    fn forget(&self) {
        self.twins.lock().unwrap_or_else(PoisonError::into_inner).forget();
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(port: u16) -> Address {
        Address::Tcp("h".to_owned(), port)
    }

    /// No two ways are on the same node, also while one of them is only being made.
    #[test]
    fn each_way_is_on_a_node_of_its_own() {
        let ways = Ways::new(2);
        assert!(ways.tries(0, &node(1)) && !ways.tries(1, &node(1)) && ways.tries(1, &node(2)));
        ways.stands(0, node(1));
        assert!(!ways.tries(1, &node(1)) && ways.tries(0, &node(1)));
        ways.fail(0);
        assert!(ways.tries(1, &node(1)));
    }

    /// What may have been missed is told only where nothing was heard for a while, and something before.
    #[test]
    fn something_is_missed_while_nothing_stands() {
        let ways = Ways::new(2);
        assert!(!ways.stands(0, node(1)), "nothing was heard before");
        assert!(!ways.stands(1, node(2)));
        assert!(matches!(ways.fail(0), Place::Standing(_)) && !ways.all_failed());
        assert!(!ways.stands(0, node(3)), "the other one heard it");
        ways.fail(0);
        ways.fail(1);
        assert!(ways.all_failed());
        assert!(ways.stands(1, node(2)) && !ways.stands(0, node(1)));
    }

    /// A second copy is no news while two ways stand; while one stands everything is.
    #[test]
    fn second_copies_are_known_while_two_ways_stand() {
        let (ways, key) = (Ways::new(2), LeaseKey::new("k").unwrap());
        let is_news = |way| ways.is_news(way, &key, WakeChange::Freed);
        ways.stands(0, node(1));
        assert!(is_news(0) && is_news(0));
        ways.stands(1, node(2));
        assert!(is_news(1) && !is_news(0));
        assert!(is_news(0));
        ways.fail(0);
        assert!(is_news(1), "the one that stands is heard");
    }
}
