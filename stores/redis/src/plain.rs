//! Which renewals of a large batch only have to extend: those that change neither ttl nor, as far as can be told, the note.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tenure_store::Held;

use crate::verbs::{millis, width};

/// What is known of earlier calls.
#[derive(Default)]
pub(crate) struct Plain {
    // The durations that this client claimed for: a renewal for another one has to write it down.
    ttls: Mutex<Vec<u64>>,
    calls: AtomicU64,
    seed: RandomState,
}

/// Items that only have to be extended, by ttl and by how long their words are; and the others.
pub(crate) type Choice = (BTreeMap<(u64, usize), Vec<usize>>, Vec<usize>);

/// Fewer items than this are not worth a script of their own.
pub(crate) const FEW: usize = 16;

/// How many durations are remembered; programs have one or two.
const TTLS: usize = 16;

/// A term record is kept for eight days after the day that it is dated to. Renewals come at least once a ttl; this share
/// of them, drawn at random, looks at the record and dates it anew where it is of another day. That all of them miss it for
/// eight days has a chance of one in 10^6, and at three renewals a ttl of one in 10^20.
const LOOK_MILLIS: u64 = 12 * 60 * 60 * 1_000;

impl Plain {
    /// A claim for so many milliseconds is made.
    pub(crate) fn claimed(&self, ttl: u64) {
        let mut ttls = self.ttls.lock().unwrap_or_else(PoisonError::into_inner);
        if ttls.len() < TTLS && !ttls.contains(&ttl) {
            ttls.push(ttl);
        }
    }

    /// Chooses.
    pub(crate) fn choose(&self, held: &[&Held]) -> Choice {
        let (mut plain, mut others): Choice = Choice::default();
        let ttls = self.ttls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let draw = self.seed.hash_one(self.calls.fetch_add(1, Ordering::Relaxed)) >> 1;
        for (item, held) in held.iter().enumerate() {
            let ttl = millis(held.ttl);
            let dated = (draw + item as u64).is_multiple_of((LOOK_MILLIS / ttl.max(1)).max(1));
            if !dated && ttls.contains(&ttl) {
                plain.entry((ttl, width(held))).or_default().push(item);
            } else {
                others.push(item);
            }
        }
        plain.retain(|_, items| {
            items.len() >= FEW || {
                others.append(items);
                false
            }
        });
        (plain, others)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tenure_store::{LeaseKey, Nonce, Note, Term};

    fn held(ttl: Duration) -> Held {
        Held {
            key: LeaseKey::new("k").unwrap(),
            nonce: Nonce { process: 1, campaign: 1 },
            term: Term::new(1).unwrap(),
            ttl,
            note: Note::default(),
        }
    }

    /// A ttl that nobody claimed for has to be written down; one that was claimed for needs no more than an extension.
    #[test]
    fn only_known_ttls_are_plain() {
        let plain = Plain::default();
        plain.claimed(15_000);
        let (known, other) = (held(Duration::from_secs(15)), held(Duration::from_secs(16)));
        let items = vec![&other; 100];
        assert!(plain.choose(&items).0.is_empty());
        let mut items = vec![&known; 100];
        let noted = Held { note: Note::new("few have one").unwrap(), ..known.clone() };
        items.push(&noted);
        let (chosen, others) = plain.choose(&items);
        let chosen: Vec<_> = chosen.into_iter().collect();
        assert_eq!((chosen.len(), chosen[0].0), (1, (15_000, width(&known))));
        assert!(chosen[0].1.len() >= 99 && chosen[0].1.len() + others.len() == 101 && others.contains(&100));
    }

    /// Each item's turn to be dated comes, at about the same rate for all of them.
    #[test]
    fn every_item_is_dated_now_and_then() {
        let plain = Plain::default();
        plain.claimed(3_600_000);
        let one = held(Duration::from_secs(3_600));
        let items = vec![&one; 24];
        let mut dated = [0; 24];
        for _ in 0..2_400 {
            plain.choose(&items).1.into_iter().for_each(|item| dated[item] += 1);
        }
        assert!(dated.iter().all(|times| (110..320).contains(times)), "{dated:?}");
    }
}
