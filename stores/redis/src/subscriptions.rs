//! The subscriptions that a store keeps up at the same time: where each of them stands, and which messages came over both.
//!
//! A server passes a message to its own subscribers. In a cluster a plain PUBLISH, also inside a script, goes over the cluster
//! bus to the subscribers of every node. A store that subscribes on two nodes misses nothing while one of them dies, and hears
//! everything twice.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_store::{LeaseKey, StoreError, WakeChange};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::address::Address;

/// How many subscriptions there are in a cluster.
pub(crate) const IN_CLUSTER: usize = 2;

/// How far the second copy of a message may be behind the first.
const BEHIND: Duration = Duration::from_secs(2);

/// Of how many messages the second copy is awaited; further messages are handed on twice.
const AWAITED: usize = 8_192;

/// The subscriptions of one store, by their numbers. None is kept up at first.
#[derive(Default)]
pub(crate) struct Subscriptions {
    state: watch::Sender<State>,
    copies: Mutex<Copies>,
}

#[derive(Default)]
struct State {
    // None while no subscription is kept up.
    places: Vec<Place>,
    // One has stood since they are kept up: a subscriber that was cut off may have missed messages.
    heard: bool,
}

/// Where one subscription stands.
#[derive(Clone, Debug, Default)]
pub(crate) enum Place {
    #[default]
    Nowhere,
    /// The last attempt failed, or the subscription broke off.
    Failed(StoreError),
    /// It is being made on this node.
    Trying(Address),
    /// It stands on this node.
    Standing(Address),
}

impl Subscriptions {
    /// So many are kept up from now on. Answers whether none were before.
    pub(crate) fn begin(&self, count: usize) -> bool {
        self.state.send_if_modified(|state| {
            let begins = state.places.is_empty();
            if begins {
                *state = State { places: vec![Place::default(); count], heard: false };
            }
            begins
        })
    }

    /// None is kept up from now on, unless they are still needed. Answers whether that is so.
    pub(crate) fn end_unless(&self, needed: impl FnOnce() -> bool) -> bool {
        self.state.send_if_modified(|state| {
            let ends = !needed();
            if ends {
                *state = State::default();
            }
            ends
        })
    }

    /// Returns once one stands; fails once all have failed.
    pub(crate) async fn one_stands(&self) -> Result<(), StoreError> {
        let mut state = self.state.subscribe();
        let decided = state.wait_for(|state| !state.none_stands() || state.failure().is_some()).await;
        let failed = decided.ok().filter(|state| state.none_stands()).and_then(|state| state.failure().cloned());
        failed.map_or(Ok(()), Err)
    }

    /// Whether a message that came over this subscription did not come over the other one before.
    pub(crate) fn is_first_copy(&self, number: usize, key: &LeaseKey, change: WakeChange) -> bool {
        let alone = self.state.borrow().places.iter().filter(|place| place.stands()).count() < 2;
        alone || self.copies().is_first(number, key, change, Instant::now())
    }

    /// Takes this node for this subscription, unless another one has it.
    pub(crate) fn tries(&self, number: usize, node: &Address) -> bool {
        self.state.send_if_modified(|state| {
            let is_there =
                |place: &Place| matches!(place, Place::Trying(there) | Place::Standing(there) if there == node);
            let taken = state.places.iter().enumerate().any(|(other, place)| other != number && is_there(place));
            if !taken {
                state.places[number] = Place::Trying(node.clone());
            }
            !taken
        })
    }

    /// This subscription stands from now on. Answers whether messages may have been missed: one stood before, and for a while
    /// none did.
    pub(crate) fn stands(&self, number: usize, node: Address) -> bool {
        let mut missed = false;
        self.state.send_modify(|state| {
            missed = state.none_stands() && state.heard;
            state.places[number] = Place::Standing(node);
            state.heard = true;
        });
        self.copies().forget();
        missed
    }

    /// This subscription stands no more. Answers where it was.
    pub(crate) fn fail(&self, number: usize, error: StoreError) -> Place {
        let mut place = Place::Failed(error);
        self.state.send_modify(|state| std::mem::swap(&mut state.places[number], &mut place));
        self.copies().forget();
        place
    }

    fn copies(&self) -> MutexGuard<'_, Copies> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn none_stands(&self) -> bool {
        !self.places.iter().any(Place::stands)
    }

    /// Why the last of them failed, where all have.
    fn failure(&self) -> Option<&StoreError> {
        let failures =
            self.places.iter().map(|place| if let Place::Failed(error) = place { Some(error) } else { None });
        failures.collect::<Option<Vec<_>>>()?.pop()
    }
}

impl Place {
    fn stands(&self) -> bool {
        matches!(self, Place::Standing(_))
    }
}

/// Messages that came over one subscription and not over the other yet. It need not be exact, for a hint too many costs one
/// claim; so it forgets whatever may be wrong.
#[derive(Default)]
struct Copies {
    // How many more copies the first subscription has brought than the second, and since when.
    ahead: HashMap<(LeaseKey, WakeChange), (i32, Instant)>,
}

impl Copies {
    /// Whether a message that comes over this subscription, now, is the first copy.
    fn is_first(&mut self, number: usize, key: &LeaseKey, change: WakeChange, now: Instant) -> bool {
        let step = if number == 0 { 1 } else { -1 };
        let message = (key.clone(), change);
        let known = self.ahead.get(&message).filter(|(_, since)| now < *since + BEHIND);
        let ahead = known.map_or(0, |(ahead, _)| *ahead);
        if ahead + step == 0 {
            self.ahead.remove(&message);
        } else {
            if self.ahead.len() >= AWAITED {
                self.ahead.retain(|_, (_, since)| now < *since + BEHIND);
            }
            if self.ahead.len() < AWAITED {
                self.ahead.insert(message, (ahead + step, now));
            }
        }
        ahead * step >= 0
    }

    /// One of the subscriptions is made anew: copies that it would have brought are not awaited any more.
    fn forget(&mut self) {
        self.ahead.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::unavailable;
    use futures_util::FutureExt;

    fn key(text: &str) -> LeaseKey {
        LeaseKey::new(text).unwrap()
    }

    fn node(port: u16) -> Address {
        Address::Tcp("h".to_owned(), port)
    }

    fn two() -> Subscriptions {
        let subscriptions = Subscriptions::default();
        assert!(subscriptions.begin(2) && !subscriptions.begin(2), "once");
        subscriptions
    }

    fn fail(subscriptions: &Subscriptions, number: usize) -> Place {
        subscriptions.fail(number, unavailable("broken off"))
    }

    fn all_failed(subscriptions: &Subscriptions) -> bool {
        matches!(subscriptions.one_stands().now_or_never(), Some(Err(_)))
    }

    /// No two subscriptions are on the same node, also while one of them is only being made.
    #[test]
    fn each_subscription_is_on_a_node_of_its_own() {
        let subscriptions = two();
        assert!(
            subscriptions.tries(0, &node(1)) && !subscriptions.tries(1, &node(1)) && subscriptions.tries(1, &node(2))
        );
        subscriptions.stands(0, node(1));
        assert!(!subscriptions.tries(1, &node(1)) && subscriptions.tries(0, &node(1)));
        fail(&subscriptions, 0);
        assert!(subscriptions.tries(1, &node(1)));
    }

    /// Messages may have been missed only where one stood before and then none did.
    #[test]
    fn something_is_missed_while_nothing_stands() {
        let subscriptions = two();
        assert!(!subscriptions.stands(0, node(1)), "nothing was heard before");
        assert!(!subscriptions.stands(1, node(2)));
        assert!(matches!(fail(&subscriptions, 0), Place::Standing(_)) && !all_failed(&subscriptions));
        assert!(!subscriptions.stands(0, node(3)), "the other one heard it");
        fail(&subscriptions, 0);
        fail(&subscriptions, 1);
        assert!(all_failed(&subscriptions));
        assert!(subscriptions.stands(1, node(2)) && !subscriptions.stands(0, node(1)));
        assert!(!subscriptions.end_unless(|| true) && subscriptions.end_unless(|| false) && subscriptions.begin(2));
        assert!(subscriptions.one_stands().now_or_never().is_none(), "begun anew, and not decided yet");
        assert!(!subscriptions.stands(0, node(1)), "nothing was heard before");
    }

    /// A second copy is known while two subscriptions stand; while one stands every message is handed on.
    #[test]
    fn second_copies_are_known_while_two_subscriptions_stand() {
        let (subscriptions, key) = (two(), LeaseKey::new("k").unwrap());
        let is_first = |number| subscriptions.is_first_copy(number, &key, WakeChange::Freed);
        subscriptions.stands(0, node(1));
        assert!(is_first(0) && is_first(0));
        subscriptions.stands(1, node(2));
        assert!(is_first(1) && !is_first(0));
        assert!(is_first(0));
        fail(&subscriptions, 0);
        assert!(is_first(1), "the one that stands is heard");
    }

    /// Of two copies the first is handed on, over whichever subscription it came; so is the same message later.
    #[test]
    fn each_message_is_handed_on_once() {
        let (mut copies, now, key) = (Copies::default(), Instant::now(), key("k"));
        let is_first = |copies: &mut Copies, number, change| copies.is_first(number, &key, change, now);
        for first in [0, 1] {
            let second = 1 - first;
            assert!(is_first(&mut copies, first, WakeChange::Freed) && is_first(&mut copies, first, WakeChange::Taken));
            assert!(
                is_first(&mut copies, first, WakeChange::Freed),
                "again, before the other subscription has brought the first"
            );
            for change in [WakeChange::Freed, WakeChange::Taken, WakeChange::Freed] {
                assert!(!is_first(&mut copies, second, change), "{change:?}");
            }
            assert!(copies.ahead.is_empty());
        }
        assert!(is_first(&mut copies, 0, WakeChange::Freed));
        copies.forget();
        assert!(is_first(&mut copies, 1, WakeChange::Freed), "the first subscription may be another one now");
        assert!(
            copies.is_first(0, &key, WakeChange::Freed, now + BEHIND),
            "the second subscription has lost the one before"
        );
    }

    /// What is remembered is bounded, and without memory every copy is handed on.
    #[test]
    fn what_is_awaited_is_bounded() {
        let (mut copies, now) = (Copies::default(), Instant::now());
        let is_first = |copies: &mut Copies, number, n: usize, at| {
            copies.is_first(number, &key(&format!("{n}")), WakeChange::Freed, at)
        };
        for n in 0..AWAITED + 100 {
            assert!(is_first(&mut copies, 0, n, now));
        }
        assert_eq!(copies.ahead.len(), AWAITED);
        assert!(!is_first(&mut copies, 1, 0, now) && is_first(&mut copies, 1, AWAITED + 1, now));
        assert!(is_first(&mut copies, 0, 1, now + BEHIND));
        assert!(is_first(&mut copies, 0, 2, now + BEHIND));
        assert!(copies.ahead.len() <= AWAITED);
    }
}
