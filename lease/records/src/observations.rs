//! What this process has seen of the records: since when each stands unchanged, and at which version it would be replaced.
//!
//! A server without a clock cannot say how old a record is. Whoever has looked on for a whole ttl while nothing changed
//! knows it all the same, by a clock of its own.

use std::collections::HashMap;
use std::time::Duration;

use tenure_store::{LeaseKey, Time};

use crate::content::Record;
use crate::records::Version;

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
    /// The last time that anybody used it, as a count.
    used: u64,
}

impl Observed {
    /// For how long the version has stood at least.
    pub(crate) fn age(&self, now: Time) -> Duration {
        self.age + now.since(self.at)
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
    pub(crate) fn read(
        &mut self,
        now: Time,
        key: &LeaseKey,
        version: Option<Version>,
        age: Option<Duration>,
        record: Option<Record>,
    ) -> Observed {
        let told = age.unwrap_or_default();
        let known = self.keys.get(key).filter(|known| known.version.is_some() && known.version == version);
        let (at, age, sent) = match known {
            Some(known) if known.age(now) >= told => (known.at, known.age, known.sent),
            Some(known) => (now, told, known.sent),
            None => (now, told, None),
        };
        let observed = Observed { record, version, at, age, read_at: now, sent, used: 0 };
        self.note(key, observed.clone());
        observed
    }

    /// This process's own write was sent at `sent` and answered at `now`.
    pub(crate) fn wrote(&mut self, now: Time, key: &LeaseKey, sent: Time, version: Version, record: Option<Record>) {
        let version = Some(version);
        let age = Duration::ZERO;
        self.note(key, Observed { record, version, at: now, age, read_at: now, sent: Some(sent), used: 0 });
    }

    /// What stands there is not known any more.
    pub(crate) fn forget(&mut self, key: &LeaseKey) {
        self.keys.remove(key);
    }

    pub(crate) fn get(&mut self, key: &LeaseKey) -> Option<&Observed> {
        self.uses += 1;
        let known = self.keys.get_mut(key)?;
        known.used = self.uses;
        Some(known)
    }

    fn note(&mut self, key: &LeaseKey, observed: Observed) {
        self.uses += 1;
        if self.keys.len() >= self.limit && !self.keys.contains_key(key) {
            self.make_room();
        }
        self.keys.insert(key.clone(), Observed { used: self.uses, ..observed });
    }

    /// Lets go of the half that was used longest ago; whoever campaigns for a key asks for it again and again.
    fn make_room(&mut self) {
        let mut uses: Vec<u64> = self.keys.values().map(|known| known.used).collect();
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
        known.read(at(now), key, Some(Version::new(version)), age.map(Duration::from_millis), None)
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
        known.read(at(0), &key, None, None, None);
        assert_eq!(known.read(at(900), &key, None, None, None).age(at(900)), Duration::ZERO);
    }

    /// However many keys are looked at, only so many are kept; those that are asked for stay.
    #[test]
    fn what_is_used_stays() {
        let mut known = Observations::new(100);
        for number in 0..1_000 {
            read(&mut known, number, &key(&number.to_string()), "1", None);
            assert!(known.get(&key("0")).is_some(), "{number}");
            assert!(known.keys.len() <= 100);
        }
    }
}
