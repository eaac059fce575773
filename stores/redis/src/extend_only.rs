//! Which renewals of a large batch only have to extend their leases: those that change neither ttl nor, as far as is known,
//! the term record. The server needs half of the time for them.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tenure_store::{Held, LeaseKey};

use crate::verbs::{millis, width};

/// What is known of earlier calls.
#[derive(Default)]
pub(crate) struct ExtendOnly {
    recorded: Mutex<RecordedTtls>,
    calls: AtomicU64,
    seed: RandomState,
}

/// The ttl that each key's term record tells, in milliseconds: a renewal for another ttl has to write it down.
#[derive(Default)]
struct RecordedTtls {
    // The ttl of the first claim, and of every key that is not among the exceptions.
    usual: Option<u64>,
    // By the hash of the key: another ttl, or 0 where it is not known.
    exceptions: HashMap<u64, u64>,
    // There were more exceptions than are remembered: from then on no ttl is known.
    too_many: bool,
}

/// Items that only have to be extended, by ttl and by how many bytes their leases have behind the holder; and the others.
pub(crate) type Choice = (BTreeMap<(u64, usize), Vec<usize>>, Vec<usize>);

/// Fewer items than this are not worth a script of their own.
pub(crate) const FEW: usize = 16;

/// How many exceptions are remembered.
const EXCEPTIONS: usize = 65_536;

/// A term record is kept for eight days after the day that is written in it. Renewals come at least once a ttl; this share of
/// them, drawn at random, is done in full and writes the day anew where it is another. That all of them miss a record for
/// eight days has a chance of one in 10^6, and at three renewals a ttl of one in 10^20.
const FULL_EVERY_MILLIS: u64 = 12 * 60 * 60 * 1_000;

impl ExtendOnly {
    /// A claim for this ttl is about to be made. Whether it is granted, or extends a lease that is there, is not known.
    pub(crate) fn claimed(&self, key: &LeaseKey, ttl: u64) {
        let mut recorded = self.recorded();
        if ttl != *recorded.usual.get_or_insert(ttl) || !recorded.exceptions.is_empty() {
            let hash = self.seed.hash_one(key);
            if recorded.ttl(|| hash) != Some(ttl) {
                recorded.set(hash, 0);
            }
        }
    }

    /// Divides a batch.
    pub(crate) fn choose(&self, held: &[&Held]) -> Choice {
        let (mut extend, mut full): Choice = Choice::default();
        let mut recorded = self.recorded();
        let draw = self.seed.hash_one(self.calls.fetch_add(1, Ordering::Relaxed)) >> 1;
        for (item, held) in held.iter().enumerate() {
            let ttl = millis(held.ttl);
            let drawn = (draw + item as u64).is_multiple_of((FULL_EVERY_MILLIS / ttl.max(1)).max(1));
            let hash = || self.seed.hash_one(&held.key);
            let same = recorded.ttl(hash) == Some(ttl);
            if !same {
                // This call may write it down, or fail.
                recorded.set(hash(), 0);
            }
            if same && !drawn {
                extend.entry((ttl, width(held))).or_default().push(item);
            } else {
                full.push(item);
            }
        }
        drop(recorded);
        extend.retain(|_, items| {
            items.len() >= FEW || {
                full.append(items);
                false
            }
        });
        (extend, full)
    }

    /// These renewals were done in full: their ttls are written down.
    pub(crate) fn written<'a>(&self, held: impl Iterator<Item = &'a Held>) {
        let mut recorded = self.recorded();
        if recorded.exceptions.is_empty() {
            return;
        }
        for held in held {
            recorded.set(self.seed.hash_one(&held.key), millis(held.ttl));
        }
    }

    fn recorded(&self) -> MutexGuard<'_, RecordedTtls> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecordedTtls {
    /// The ttl in the term record of the key with this hash, where it is known.
    fn ttl(&self, hash: impl Fn() -> u64) -> Option<u64> {
        match (self.too_many, self.exceptions.is_empty()) {
            (true, _) => None,
            (false, true) => self.usual,
            (false, false) => self.exceptions.get(&hash()).copied().or(self.usual),
        }
    }

    fn set(&mut self, hash: u64, ttl: u64) {
        if self.usual == Some(ttl) {
            self.exceptions.remove(&hash);
        } else if self.exceptions.len() < EXCEPTIONS || self.exceptions.contains_key(&hash) {
            self.exceptions.insert(hash, ttl);
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
    fn the_usual_ttl_is_only_extended() {
        let extend_only = ExtendOnly::default();
        extend_only.claimed(&key("k"), 15_000);
        let known = held(Duration::from_secs(15));
        let mut items = vec![&known; 100];
        let noted = Held { note: Note::new("few have one").unwrap(), ..known.clone() };
        items.push(&noted);
        let (chosen, others) = extend_only.choose(&items);
        let chosen: Vec<_> = chosen.into_iter().collect();
        assert_eq!((chosen.len(), chosen[0].0), (1, (15_000, width(&known))));
        assert!(chosen[0].1.len() >= 99 && chosen[0].1.len() + others.len() == 101 && others.contains(&100));
    }

    /// A key whose ttl changes is renewed in full until that was answered, there and back.
    #[test]
    fn another_ttl_is_only_extended_once_it_is_written_down() {
        let extend_only = ExtendOnly::default();
        extend_only.claimed(&key("k"), 15_000);
        let (usual, longer) = (held(Duration::from_secs(15)), held(Duration::from_secs(16)));
        let only_extends = |held: &Held| !extend_only.choose(&[held; 50]).0.is_empty();
        for (one, another) in [(&longer, &usual), (&usual, &longer)] {
            assert!(only_extends(another) && !only_extends(one) && !only_extends(one), "not answered yet");
            assert!(!only_extends(another), "who knows what the record says");
            extend_only.written([one].into_iter());
            assert!(only_extends(one));
        }
        extend_only.claimed(&key("k"), 17_000);
        assert!(!only_extends(&usual), "who knows whether it was granted");
        let elsewhere = Held { key: key("another"), ..usual };
        assert!(only_extends(&elsewhere));
    }

    /// More keys with ttls of their own than are remembered: none is taken for written down by mistake.
    #[test]
    fn too_many_ttls_are_all_renewed_in_full() {
        let extend_only = ExtendOnly::default();
        extend_only.claimed(&key("k"), 15_000);
        (0..=EXCEPTIONS as u64).for_each(|n| extend_only.claimed(&key(&format!("{n}")), 20_000 + n));
        assert!(extend_only.choose(&[&held(Duration::from_secs(15)); 100]).0.is_empty());
        assert_eq!(extend_only.recorded().exceptions.len(), EXCEPTIONS);
    }

    /// Each item is drawn to be renewed in full, at about the same rate for all of them.
    #[test]
    fn every_item_is_renewed_in_full_now_and_then() {
        let extend_only = ExtendOnly::default();
        extend_only.claimed(&key("k"), 3_600_000);
        let one = held(Duration::from_secs(3_600));
        let items = vec![&one; 24];
        let mut drawn = [0; 24];
        for _ in 0..2_400 {
            extend_only.choose(&items).1.into_iter().for_each(|item| drawn[item] += 1);
        }
        assert!(drawn.iter().all(|times| (110..320).contains(times)), "{drawn:?}");
    }
}
