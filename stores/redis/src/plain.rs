//! Which renewals of a large batch only have to extend: those that change neither ttl nor, as far as can be told, the note.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tenure_store::{Held, LeaseKey};

use crate::verbs::{millis, width};

/// What is known of earlier calls.
#[derive(Default)]
pub(crate) struct Plain {
    known: Mutex<Known>,
    calls: AtomicU64,
    seed: RandomState,
}

/// For how long the term records say that leases are: a renewal for another time has to write it down.
#[derive(Default)]
struct Known {
    // The duration of the first claim, and as far as nothing else is known of all.
    usual: Option<u64>,
    // Of which keys, by their hashes, something else is known: their duration, or 0 where it may be any.
    others: HashMap<u64, u64>,
    // There were more of them than are remembered: nothing is plain any more.
    too_many: bool,
}

/// Items that only have to be extended, by ttl and by how long their words are; and the others.
pub(crate) type Choice = (BTreeMap<(u64, usize), Vec<usize>>, Vec<usize>);

/// Fewer items than this are not worth a script of their own.
pub(crate) const FEW: usize = 16;

/// Of how many keys it is remembered that their duration is not the usual one.
const OTHERS: usize = 65_536;

/// A term record is kept for eight days after the day that it is dated to. Renewals come at least once a ttl; this share
/// of them, drawn at random, looks at the record and dates it anew where it is of another day. That all of them miss it for
/// eight days has a chance of one in 10^6, and at three renewals a ttl of one in 10^20.
const LOOK_MILLIS: u64 = 12 * 60 * 60 * 1_000;

impl Plain {
    /// A claim for so many milliseconds is made. Whether it is granted, and whether it extends what there is, is not
    /// known.
    pub(crate) fn claimed(&self, key: &LeaseKey, ttl: u64) {
        let mut known = self.known();
        if ttl != *known.usual.get_or_insert(ttl) || !known.others.is_empty() {
            let hash = self.seed.hash_one(key);
            if known.says(|| hash) != Some(ttl) {
                known.set(hash, 0);
            }
        }
    }

    /// Chooses.
    pub(crate) fn choose(&self, held: &[&Held]) -> Choice {
        let (mut plain, mut others): Choice = Choice::default();
        let mut known = self.known();
        let draw = self.seed.hash_one(self.calls.fetch_add(1, Ordering::Relaxed)) >> 1;
        for (item, held) in held.iter().enumerate() {
            let ttl = millis(held.ttl);
            let dated = (draw + item as u64).is_multiple_of((LOOK_MILLIS / ttl.max(1)).max(1));
            let hash = || self.seed.hash_one(&held.key);
            let same = known.says(hash) == Some(ttl);
            if !same {
                // It may be written down by this call, or not.
                known.set(hash(), 0);
            }
            if !dated && same {
                plain.entry((ttl, width(held))).or_default().push(item);
            } else {
                others.push(item);
            }
        }
        drop(known);
        plain.retain(|_, items| {
            items.len() >= FEW || {
                others.append(items);
                false
            }
        });
        (plain, others)
    }

    /// These renewals were answered, and wrote down what they had to.
    pub(crate) fn written<'a>(&self, held: impl Iterator<Item = &'a Held>) {
        let mut known = self.known();
        if known.others.is_empty() {
            return;
        }
        for held in held {
            known.set(self.seed.hash_one(&held.key), millis(held.ttl));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The duration in the term record of the key with this hash.
    fn says(&self, hash: impl Fn() -> u64) -> Option<u64> {
        match (self.too_many, self.others.is_empty()) {
            (true, _) => None,
            (false, true) => self.usual,
            (false, false) => self.others.get(&hash()).copied().or(self.usual),
        }
    }

    fn set(&mut self, hash: u64, ttl: u64) {
        if self.usual == Some(ttl) {
            self.others.remove(&hash);
        } else if self.others.len() < OTHERS || self.others.contains_key(&hash) {
            self.others.insert(hash, ttl);
        } else {
            self.too_many = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use tenure_store::{Nonce, Note, Term};

    fn key(text: &str) -> LeaseKey {
        LeaseKey::new(text).unwrap()
    }

    fn held(ttl: Duration) -> Held {
        Held {
            key: key("k"),
            nonce: Nonce { process: 1, campaign: 1 },
            term: Term::new(1).unwrap(),
            ttl,
            note: Note::default(),
        }
    }

    /// What was claimed for the usual ttl needs no more than an extension.
    #[test]
    fn the_usual_ttl_is_plain() {
        let plain = Plain::default();
        plain.claimed(&key("k"), 15_000);
        let known = held(Duration::from_secs(15));
        let mut items = vec![&known; 100];
        let noted = Held { note: Note::new("few have one").unwrap(), ..known.clone() };
        items.push(&noted);
        let (chosen, others) = plain.choose(&items);
        let chosen: Vec<_> = chosen.into_iter().collect();
        assert_eq!((chosen.len(), chosen[0].0), (1, (15_000, width(&known))));
        assert!(chosen[0].1.len() >= 99 && chosen[0].1.len() + others.len() == 101 && others.contains(&100));
    }

    /// A key whose ttl changes is renewed in full until that was answered, there and back.
    #[test]
    fn another_ttl_is_plain_once_it_is_written_down() {
        let plain = Plain::default();
        plain.claimed(&key("k"), 15_000);
        let (usual, longer) = (held(Duration::from_secs(15)), held(Duration::from_secs(16)));
        let is_plain = |held: &Held| !plain.choose(&[held; 50]).0.is_empty();
        for (one, another) in [(&longer, &usual), (&usual, &longer)] {
            assert!(is_plain(another) && !is_plain(one) && !is_plain(one), "not answered yet");
            assert!(!is_plain(another), "who knows what the record says");
            plain.written([one].into_iter());
            assert!(is_plain(one));
        }
        plain.claimed(&key("k"), 17_000);
        assert!(!is_plain(&usual), "who knows whether it was granted");
        let elsewhere = Held { key: key("another"), ..usual };
        assert!(is_plain(&elsewhere));
    }

    /// More keys with ttls of their own than are remembered: nothing is taken for plain by mistake.
    #[test]
    fn too_many_ttls_end_plainness() {
        let plain = Plain::default();
        plain.claimed(&key("k"), 15_000);
        (0..=OTHERS as u64).for_each(|n| plain.claimed(&key(&format!("{n}")), 20_000 + n));
        assert!(plain.choose(&[&held(Duration::from_secs(15)); 100]).0.is_empty());
        assert_eq!(plain.known().others.len(), OTHERS);
    }

    /// Each item's turn to be dated comes, at about the same rate for all of them.
    #[test]
    fn every_item_is_dated_now_and_then() {
        let plain = Plain::default();
        plain.claimed(&key("k"), 3_600_000);
        let one = held(Duration::from_secs(3_600));
        let items = vec![&one; 24];
        let mut dated = [0; 24];
        for _ in 0..2_400 {
            plain.choose(&items).1.into_iter().for_each(|item| dated[item] += 1);
        }
        assert!(dated.iter().all(|times| (110..320).contains(times)), "{dated:?}");
    }
}
