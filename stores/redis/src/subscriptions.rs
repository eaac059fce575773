//! The subscriptions that a store keeps up at the same time: where each of them stands, and which messages came over both.
//!
//! A server passes a message to its own subscribers. In a cluster a plain PUBLISH, also inside a script, goes over the cluster
//! bus to the subscribers of every node. A store that subscribes on two nodes goes on hearing of everything while one of them
//! dies or stalls, and hears everything twice. More than that the bus does not promise: what a node publishes is lost to another
//! one while its link there is made anew, as after half of `cluster-node-timeout` without an answer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_store::StoreError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::address::Address;

/// How many subscriptions there are in a cluster.
pub(crate) const IN_CLUSTER: usize = 2;

/// How far the second copy of a message may be behind the first; one that comes later is handed on as well.
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
    // Which of them have failed since they stood last.
    failed: Vec<bool>,
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
                *state = State { places: vec![Place::default(); count], failed: vec![false; count], heard: false };
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

    /// Whether a message that names its change, and came over this subscription, did not come over the other one before.
    pub(crate) fn is_first_copy(&self, number: usize, message: &[u8]) -> bool {
        let alone = self.state.borrow().places.len() < 2;
        alone || self.copies().is_first(number, message, Instant::now())
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

    /// This subscription stands from now on. Answers whether messages may have been missed since one stood first: for a while
    /// none did, or this one did not. That the other one stood meanwhile proves nothing: a node that is silent, or cut off from
    /// the others, keeps its connections, and it takes a while until that is noticed.
    pub(crate) fn stands(&self, number: usize, node: Address) -> bool {
        let mut missed = false;
        self.state.send_modify(|state| {
            missed = state.heard && (state.none_stands() || state.failed[number]);
            state.places[number] = Place::Standing(node);
            state.failed[number] = false;
            state.heard = true;
        });
        missed
    }

    /// This subscription stands no more. Answers where it was.
    pub(crate) fn fail(&self, number: usize, error: StoreError) -> Place {
        let mut place = Place::Failed(error);
        self.state.send_modify(|state| {
            std::mem::swap(&mut state.places[number], &mut place);
            state.failed[number] = true;
        });
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

/// Messages that came over one subscription and not over the other yet.
///
/// A hint too many costs one claim, one that is held back costs a watcher what is left of a ttl. So nothing is counted, for
/// either subscription may lack any message: each is known by its identity, and what is forgotten is handed on twice.
#[derive(Default)]
struct Copies {
    // Over which subscription each came, and when.
    awaited: HashMap<Box<[u8]>, (usize, Instant)>,
}

impl Copies {
    /// Whether a message that comes over this subscription, now, is the first copy.
    fn is_first(&mut self, number: usize, message: &[u8], now: Instant) -> bool {
        let awaited = |(other, since): &(usize, Instant)| *other != number && now < *since + BEHIND;
        if self.awaited.remove(message).as_ref().is_some_and(awaited) {
            return false;
        }
        if self.awaited.len() >= AWAITED {
            self.awaited.retain(|_, (_, since)| now < *since + BEHIND);
        }
        if self.awaited.len() < AWAITED {
            self.awaited.insert(message.into(), (number, now));
        }
        true
    }

    /// One of the subscriptions has broken off. A server that was put back to an older state may name a change as before.
    fn forget(&mut self) {
        self.awaited.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::unavailable;
    use futures_util::FutureExt;

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

    /// Messages may have been missed where one stood before and then none did, or where one is made anew: the other one may be on a
    /// node that is silent, which nobody has noticed yet.
    #[test]
    fn something_is_missed_while_one_does_not_stand() {
        let subscriptions = two();
        assert!(!subscriptions.stands(0, node(1)), "nothing was heard before");
        assert!(!subscriptions.stands(1, node(2)));
        assert!(matches!(fail(&subscriptions, 0), Place::Standing(_)) && !all_failed(&subscriptions));
        assert!(subscriptions.stands(0, node(3)), "the other one may be silent");
        assert!(!subscriptions.stands(0, node(3)), "that was told");
        fail(&subscriptions, 0);
        fail(&subscriptions, 1);
        assert!(all_failed(&subscriptions));
        assert!(subscriptions.stands(1, node(2)) && subscriptions.stands(0, node(1)));
        assert!(!subscriptions.end_unless(|| true) && subscriptions.end_unless(|| false) && subscriptions.begin(2));
        assert!(subscriptions.one_stands().now_or_never().is_none(), "begun anew, and not decided yet");
        assert!(!subscriptions.stands(0, node(1)), "nothing was heard before");
    }

    /// Whatever one subscription lacks, because it was being made or because it was lost on the way, the other one's next message
    /// is the first copy of that.
    #[test]
    fn a_message_that_one_subscription_lacks_holds_back_no_later_one() {
        for (deaf, heard) in [(0, 1), (1, 0)] {
            let subscriptions = two();
            let is_first = |number, message: &[u8]| subscriptions.is_first_copy(number, message);
            subscriptions.stands(heard, node(1));
            assert!(is_first(heard, b"freed k{1}") && is_first(heard, b"taken k{2}"));
            // Its server's first messages come together with its word that it stands.
            assert!(is_first(deaf, b"freed k{2}"));
            subscriptions.stands(deaf, node(2));
            assert!(!is_first(heard, b"freed k{2}"));
            assert!(is_first(deaf, b"taken k{3}") && !is_first(heard, b"taken k{3}"));
            assert!(is_first(heard, b"freed k{3}") && is_first(heard, b"taken k{4}"), "the other one lacks both");
            assert!(is_first(deaf, b"freed k{4}"), "the node of the one that was heard has stalled");
        }
    }

    /// Where there is one subscription there are no copies, and nothing is remembered.
    #[test]
    fn one_subscription_brings_no_copies() {
        let subscriptions = Subscriptions::default();
        assert!(subscriptions.begin(1) && !subscriptions.stands(0, node(1)));
        assert!(subscriptions.is_first_copy(0, b"freed k{1}") && subscriptions.is_first_copy(0, b"freed k{1}"));
        assert!(subscriptions.copies().awaited.is_empty());
    }

    /// Of two copies the first is handed on, over whichever subscription it came; one that comes too late is handed on too.
    #[test]
    fn each_message_is_handed_on_once() {
        let (mut copies, now) = (Copies::default(), Instant::now());
        let messages = [&b"freed k{1}"[..], b"taken k{2}", b"freed k{2}"];
        for first in [0, 1] {
            for message in messages {
                assert!(copies.is_first(first, message, now));
            }
            for message in messages {
                assert!(!copies.is_first(1 - first, message, now));
            }
            assert!(copies.awaited.is_empty());
        }
        assert!(copies.is_first(0, messages[0], now));
        assert!(copies.is_first(0, messages[0], now), "the same subscription brings no copies");
        assert!(copies.is_first(1, messages[0], now + BEHIND));
        copies.forget();
        assert!(copies.is_first(0, messages[0], now + BEHIND), "it may be another change by now");
    }

    /// What is remembered is bounded, and without memory every copy is handed on.
    #[test]
    fn what_is_awaited_is_bounded() {
        let (mut copies, now) = (Copies::default(), Instant::now());
        let is_first = |copies: &mut Copies, number, n: usize, at| {
            copies.is_first(number, format!("freed k{{{n}}}").as_bytes(), at)
        };
        for n in 0..AWAITED + 100 {
            assert!(is_first(&mut copies, 0, n, now));
        }
        assert_eq!(copies.awaited.len(), AWAITED);
        assert!(!is_first(&mut copies, 1, 0, now) && is_first(&mut copies, 1, AWAITED + 1, now));
        assert!(is_first(&mut copies, 0, AWAITED + 2, now + BEHIND));
        assert_eq!(copies.awaited.len(), 1);
    }
}
