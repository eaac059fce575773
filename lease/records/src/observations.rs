//! What this process has seen of the records: since when each stands unchanged, and at which version it would be replaced.
//!
//! A server without a clock cannot say how old a record is. Whoever has looked on for a whole ttl while nothing changed
//! knows it all the same, by a clock of its own.

use std::collections::HashMap;
use std::time::Duration;

use tenure_store::record::{Content, Record};
use tenure_store::{LeaseKey, Slot, Time};

use crate::records::{Seen, Version};

/// What is known of one key.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) record: Option<Record>,
    pub(crate) version: Option<Version>,
    /// At this moment of this process's clock the version had stood for at least `age`.
    pub(crate) at: Time,
    pub(crate) age: Duration,
    /// When the last read that found it was answered.
    pub(crate) read_at: Time,
    /// When the write of this version was sent, where this process wrote it.
    pub(crate) sent: Option<Time>,
    /// A write was sent since, and nobody knows what became of it: what stands there has to be looked at first.
    pub(crate) in_doubt: bool,
    /// Whether this process ever claimed it, and the last time that it was asked for or heard of, as a count.
    used: (bool, u64),
}

/// What led to an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    /// A claim of this key.
    Claim,
    /// Another verb, a list, or what the server tells of changes.
    Other,
}

impl Observed {
    /// For how long the version has stood at least.
    pub(crate) fn age(&self, now: Time) -> Duration {
        self.age.saturating_add(now.since(self.at))
    }

    /// The slot as it is now, as far as can be proven from here.
    pub(crate) fn slot(&self, now: Time) -> Slot {
        self.record.as_ref().map(|record| record.slot(now, self.age(now), self.read_at)).unwrap_or_default()
    }
}

/// What is known of the keys that were used last. Bounded: what is forgotten is looked at anew, which costs one ttl.
#[derive(Debug)]
pub(crate) struct Observations {
    keys: HashMap<LeaseKey, Observed>,
    limit: usize,
    uses: u64,
}

impl Observations {
    /// How many keys are kept in mind.
    pub(crate) const LIMIT: usize = 65_536;

    pub(crate) fn new(limit: usize) -> Observations {
        Observations { keys: HashMap::new(), limit, uses: 0 }
    }

    /// A read was answered at `now`. Answers what is known of the key after it.
    ///
    /// The time counts from the receipt: when the read was sent, the version may not have stood there yet.
    pub(crate) fn read(&mut self, now: Time, key: &LeaseKey, by: By, seen: Seen) -> Observed {
        let Seen { content, version, age, .. } = seen;
        let told = age.unwrap_or_default();
        let known = self.keys.get(key).filter(|known| known.version.is_some() && known.version == version);
        let (at, age, sent) = match known {
            Some(known) if known.age(now) >= told => (known.at, known.age, known.sent),
            known => (now, told, known.and_then(|known| known.sent)),
        };
        let (record, used) = (content.map(Content::into_record), self.next_use(key, by));
        let observed = Observed { record, version, at, age, read_at: now, sent, in_doubt: false, used };
        self.note(key, observed.clone());
        observed
    }

    /// This process's own write was sent at `sent` and answered at `now`.
    pub(crate) fn wrote(
        &mut self,
        now: Time,
        key: &LeaseKey,
        by: By,
        sent: Time,
        (version, record): (Version, Record),
    ) {
        let (record, version, sent, used) = (Some(record), Some(version), Some(sent), self.next_use(key, by));
        let (at, age, read_at) = (now, Duration::ZERO, now);
        self.note(key, Observed { record, version, at, age, read_at, sent, in_doubt: false, used });
    }

    /// What stands there now is not known any more. Since when the version had stood that was seen last stays known, and
    /// counts on if that version is seen again: as none repeats, it has stood all the time.
    pub(crate) fn doubt(&mut self, key: &LeaseKey) {
        if let Some(known) = self.keys.get_mut(key) {
            known.in_doubt = true;
        }
    }

    /// For a step that asks for this key.
    pub(crate) fn get(&mut self, key: &LeaseKey, by: By) -> Option<&Observed> {
        let used = self.next_use(key, by);
        let known = self.keys.get_mut(key)?;
        known.used = used;
        Some(known)
    }

    fn next_use(&mut self, key: &LeaseKey, by: By) -> (bool, u64) {
        self.uses += 1;
        let claimed = by == By::Claim || self.keys.get(key).is_some_and(|known| known.used.0);
        (claimed, self.uses)
    }

    fn note(&mut self, key: &LeaseKey, observed: Observed) {
        if self.keys.len() >= self.limit && !self.keys.contains_key(key) {
            self.make_room();
        }
        self.keys.insert(key.clone(), observed);
    }

    /// Lets go of half: of what was never claimed, then of what was claimed longest ago. A campaign asks for its key again
    /// and again, and a list of more keys than fit must not take from it for how long it has looked on.
    fn make_room(&mut self) {
        let mut uses: Vec<(bool, u64)> = self.keys.values().map(|known| known.used).collect();
        let middle = uses.len() / 2;
        let (_, least, _) = uses.select_nth_unstable(middle);
        let least = *least;
        self.keys.retain(|_, known| known.used > least);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> LeaseKey {
        LeaseKey::new(name).unwrap()
    }

    fn read(known: &mut Observations, now: u64, key: &LeaseKey, version: &str, age: Option<u64>) -> Observed {
        let version = Some(Version::new(version));
        known.read(at(now), key, By::Claim, Seen { version, age: age.map(Duration::from_millis), ..Seen::default() })
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    /// Silence counts from the receipt of the first read that found the version, and begins anew with each version, also
    /// with one that was there before.
    #[test]
    fn silence_counts_from_the_first_receipt() {
        let (mut known, key) = (Observations::new(9), key("k"));
        let mut age = |now, version| read(&mut known, now, &key, version, None).age(at(now + 5));
        assert_eq!(age(100, "1"), Duration::from_millis(5));
        assert_eq!(age(400, "1"), Duration::from_millis(305));
        assert_eq!(age(500, "2"), Duration::from_millis(5));
        assert_eq!(age(900, "1"), Duration::from_millis(5));
    }

    /// Of the server's word and this process's own time the greater one counts.
    #[test]
    fn the_greater_age_counts() {
        let (mut known, key) = (Observations::new(9), key("k"));
        let mut age = |now, told| read(&mut known, now, &key, "1", Some(told)).age(at(now));
        assert_eq!(age(1_000, 700), Duration::from_millis(700));
        // A clock that tells whole seconds is behind by now.
        assert_eq!(age(1_500, 700), Duration::from_millis(1_200));
        assert_eq!(age(1_600, 2_000), Duration::from_millis(2_000));
    }

    /// A place without a version has no age: nobody knows since when nothing is there.
    #[test]
    fn what_has_no_version_has_no_age() {
        let (mut known, key) = (Observations::new(9), key("k"));
        known.read(at(0), &key, By::Claim, Seen::default());
        assert_eq!(known.read(at(900), &key, By::Claim, Seen::default()).age(at(900)), Duration::ZERO);
    }

    /// However many keys are claimed, only so many are kept; those that are asked for stay.
    #[test]
    fn what_is_used_stays() {
        let mut known = Observations::new(100);
        for number in 0..1_000 {
            read(&mut known, number, &key(&number.to_string()), "1", None);
            assert!(known.get(&key("0"), By::Other).is_some(), "{number}");
            assert!(known.keys.len() <= 100);
        }
    }
    /// A list of more keys than fit takes none of those away that are claimed, however long ago that was.
    #[test]
    fn a_long_list_leaves_what_is_claimed() {
        let mut known = Observations::new(100);
        read(&mut known, 0, &key("campaign"), "1", None);
        for number in 0..1_000u64 {
            let version = Some(Version::new("1"));
            known.read(at(number), &key(&number.to_string()), By::Other, Seen { version, ..Seen::default() });
        }
        let seen = Seen { version: Some(Version::new("1")), ..Seen::default() };
        known.read(at(1_000), &key("campaign"), By::Other, seen);
        assert_eq!(
            known.get(&key("campaign"), By::Other).map(|known| known.age(at(1_000))),
            Some(Duration::from_secs(1))
        );
        assert!(known.keys.len() <= 100);
    }

    /// A write whose outcome is unknown does not undo what was seen before it: the version that still stands has stood.
    #[test]
    fn silence_outlasts_an_unknown_outcome() {
        let (mut known, key) = (Observations::new(9), key("k"));
        read(&mut known, 100, &key, "1", None);
        known.doubt(&key);
        assert!(known.get(&key, By::Other).is_some_and(|known| known.in_doubt));
        let seen = read(&mut known, 900, &key, "1", None);
        assert_eq!((seen.in_doubt, seen.age(at(900))), (false, Duration::from_millis(800)));
        known.doubt(&key);
        assert_eq!(read(&mut known, 950, &key, "2", None).age(at(950)), Duration::ZERO);
    }
}
