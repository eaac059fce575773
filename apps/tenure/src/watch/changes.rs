//! Derives what changed between two reads of the leases. Pure: the time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{LeaseKey, LeaseRecord, Time};

/// A difference that rounding in the store and in this process explains.
const ROUNDING: Duration = Duration::from_millis(5);
/// The least time between two polls that no hint caused.
const MIN_POLL: Duration = Duration::from_millis(50);

/// What happened to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody holds the key who did not hold it before, or was not seen to.
    Acquired,
    /// The holder extended the lease.
    Renewed,
    /// The lease was gone before its time was over.
    Released,
    /// The lease was gone when its time was over.
    Expired,
}

impl Event {
    /// The event's name in JSON and in tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Event::Acquired => "acquired",
            Event::Renewed => "renewed",
            Event::Released => "released",
            Event::Expired => "expired",
        }
    }
}

/// The leases as they were read last.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    seen: BTreeMap<LeaseKey, SeenLease>,
}

/// A lease and when it ends. The end is an interval, because the store measured the remaining time at some moment
/// between the request and the answer.
#[derive(Debug)]
struct SeenLease {
    record: LeaseRecord,
    earliest_end: Time,
    latest_end: Time,
    /// When to read the lease again.
    due: Time,
}

impl Leases {
    /// Takes in the records that the store sent between `sent` and `answered`, and returns the changes, by key. A lease
    /// that is gone is returned as it was read last, with no time remaining; a bound one never had any.
    pub(crate) fn look(&mut self, sent: Time, answered: Time, records: Vec<LeaseRecord>) -> Vec<(Event, LeaseRecord)> {
        let mut before = std::mem::take(&mut self.seen);
        let mut changes = Vec::new();
        for record in records {
            let old = before.remove(&record.key);
            self.take_in(old, SeenLease::new(sent, answered, record), answered, &mut changes);
        }
        changes.extend(before.into_values().map(|old| old.gone(answered)));
        changes.sort_by(|one, other| one.1.key.cmp(&other.1.key));
        changes
    }

    /// Like [`Leases::look`] for a read of one key, which says nothing of the others.
    pub(crate) fn look_at(
        &mut self,
        sent: Time,
        answered: Time,
        key: &LeaseKey,
        record: Option<LeaseRecord>,
    ) -> Vec<(Event, LeaseRecord)> {
        let old = self.seen.remove(key);
        let mut changes = Vec::new();
        match record {
            Some(record) => self.take_in(old, SeenLease::new(sent, answered, record), answered, &mut changes),
            None => changes.extend(old.map(|old| old.gone(answered))),
        }
        changes
    }

    fn take_in(
        &mut self,
        old: Option<SeenLease>,
        now: SeenLease,
        answered: Time,
        changes: &mut Vec<(Event, LeaseRecord)>,
    ) {
        match old {
            Some(old) if is_same_tenure(&old.record, &now.record) => {
                if is_renewed(&old, &now) {
                    changes.push((Event::Renewed, now.record.clone()));
                }
            }
            Some(old) => {
                changes.push(old.gone(answered));
                changes.push((Event::Acquired, now.record.clone()));
            }
            None => changes.push((Event::Acquired, now.record.clone())),
        }
        self.seen.insert(now.record.key.clone(), now);
    }

    /// How long the next poll may wait without missing a renewal or the end of a lease.
    pub(crate) fn next_look(&self, now: Time, most: Duration) -> Duration {
        let due = self.seen.values().map(|seen| seen.due).min();
        due.map_or(most, |due| due.since(now)).clamp(MIN_POLL.min(most), most)
    }

    /// The keys that are due to be read.
    pub(crate) fn due(&self, now: Time) -> impl Iterator<Item = &LeaseKey> {
        self.seen.iter().filter(move |(_, seen)| seen.due <= now).map(|(key, _)| key)
    }
}

impl SeenLease {
    /// Due after a sixth of the ttl, half of the usual renew interval, or when the lease has certainly ended.
    fn new(sent: Time, answered: Time, record: LeaseRecord) -> SeenLease {
        let end = |at: Time| record.remaining.map_or(Time::MAX, |remaining| at + remaining);
        let (earliest_end, latest_end) = (end(sent), end(answered));
        let ended = if latest_end == Time::MAX { Time::MAX } else { latest_end + ROUNDING };
        let sixth = record.ttl.map_or(Time::MAX, |ttl| answered + (ttl / 6).max(MIN_POLL));
        SeenLease { earliest_end, latest_end, due: ended.min(sixth), record }
    }

    fn gone(self, answered: Time) -> (Event, LeaseRecord) {
        let expired = answered >= self.earliest_end;
        let remaining = self.record.bound.is_none().then_some(Duration::ZERO);
        let record = LeaseRecord { remaining, ..self.record };
        (if expired { Event::Expired } else { Event::Released }, record)
    }
}

fn is_same_tenure(old: &LeaseRecord, new: &LeaseRecord) -> bool {
    (old.nonce, old.term, &old.holder, old.format) == (new.nonce, new.term, &new.holder, new.format)
}

/// Whether the end moved beyond the measurement's error, or the note or the ttl changed.
fn is_renewed(old: &SeenLease, new: &SeenLease) -> bool {
    let known = old.latest_end != Time::MAX && new.earliest_end != Time::MAX;
    known && new.earliest_end > old.latest_end + ROUNDING
        || old.record.note != new.record.note
        || old.record.ttl != new.record.ttl
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::tests::lease;
    use tenure_core::{Bound, Term};

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn words(changes: &[(Event, LeaseRecord)]) -> Vec<String> {
        changes.iter().map(|(event, record)| format!("{} {} {}", event.word(), record.key, record.holder)).collect()
    }

    /// A lease that is held at the first read is an `acquired` event; an unchanged lease causes no further event.
    #[test]
    fn what_is_held_is_told_once() {
        let mut leases = Leases::default();
        let first = leases.look(at(0), at(10), vec![lease("a", "x", 1, 9_000), lease("b", "y", 2, 9_000)]);
        assert_eq!(words(&first), ["acquired a x", "acquired b y"]);
        let later = vec![lease("a", "x", 1, 8_000), lease("b", "y", 2, 8_003)];
        assert!(leases.look(at(1_000), at(1_004), later).is_empty());
    }

    /// An end that moved by more than the measurement's error is a renewal; a slow answer is not.
    #[test]
    fn an_end_that_moved_is_a_renewal() {
        let mut leases = Leases::default();
        leases.look(at(0), at(2), vec![lease("a", "x", 1, 10_000)]);
        assert!(leases.look(at(1_000), at(1_400), vec![lease("a", "x", 1, 9_000)]).is_empty());
        let renewed = leases.look(at(5_000), at(5_002), vec![lease("a", "x", 1, 15_000)]);
        assert_eq!(words(&renewed), ["renewed a x"]);
    }

    /// A note that changed was written by a renewal.
    #[test]
    fn another_note_is_a_renewal() {
        let mut leases = Leases::default();
        leases.look(at(0), at(2), vec![lease("a", "x", 1, 10_000)]);
        let noted = LeaseRecord { note: tenure_core::Note::new("new").unwrap(), ..lease("a", "x", 1, 9_999) };
        assert_eq!(words(&leases.look(at(1), at(3), vec![noted])), ["renewed a x"]);
    }

    /// Gone before its time is released, gone after it is expired; another tenure ends the one before, under the same
    /// name too.
    #[test]
    fn ends_are_told_apart_by_the_time() {
        let mut leases = Leases::default();
        let held = || vec![lease("a", "x", 1, 10_000), lease("b", "y", 2, 10_000)];
        leases.look(at(0), at(2), held());
        let changes = leases.look(at(5_000), at(5_002), vec![lease("b", "y", 3, 15_000)]);
        assert_eq!(words(&changes), ["released a x", "released b y", "acquired b y"]);
        assert_eq!(changes[0].1.remaining, Some(Duration::ZERO));
        let changes = leases.look(at(20_500), at(20_502), Vec::new());
        assert_eq!(words(&changes), ["expired b y"]);
    }

    /// A read of one key causes events of that key alone.
    #[test]
    fn one_key_is_looked_at_alone() {
        let key = |text: &str| LeaseKey::new(text).unwrap();
        let mut leases = Leases::default();
        leases.look(at(0), at(2), vec![lease("a", "x", 1, 2_000), lease("b", "y", 2, 10_000)]);
        let new = leases.look_at(at(3), at(4), &key("c"), Some(lease("c", "z", 3, 10_000)));
        assert_eq!(words(&new), ["acquired c z"]);
        let other = leases.look_at(at(5), at(6), &key("b"), Some(lease("b", "w", 4, 10_000)));
        assert_eq!(words(&other), ["released b y", "acquired b w"]);
        assert!(leases.look_at(at(7), at(8), &key("d"), None).is_empty());
        assert_eq!(words(&leases.look_at(at(2_010), at(2_011), &key("a"), None)), ["expired a x"]);
        assert!(leases.look_at(at(2_012), at(2_013), &key("a"), None).is_empty());
        let rest = leases.look(at(3_000), at(3_001), Vec::new());
        assert_eq!(words(&rest), ["released b w", "released c z"]);
    }

    /// A bound lease that is gone was released, however long it stood; another member's, and a lease with a ttl in its place, begin
    /// new tenures.
    #[test]
    fn a_bound_lease_is_released_and_never_expires() {
        let bound = |holder, term| {
            let member = LeaseKey::new(format!("members/{holder}")).unwrap();
            let to = Some(Bound { member, term: Term::new(3).unwrap() });
            LeaseRecord { ttl: None, remaining: None, bound: to, ..lease("a", holder, term, 0) }
        };
        let mut leases = Leases::default();
        assert_eq!(words(&leases.look(at(0), at(0), vec![bound("x", 1)])), ["acquired a x"]);
        assert!(leases.look(at(9_000_000), at(9_000_000), vec![bound("x", 1)]).is_empty());
        let displaced = leases.look(at(9_000_000), at(9_000_000), vec![bound("y", 2)]);
        assert_eq!(words(&displaced), ["released a x", "acquired a y"]);
        assert_eq!(displaced[0].1.remaining, None);
        let gone = leases.look(at(9_100_000), at(9_100_000), vec![lease("a", "z", 3, 9_000)]);
        assert_eq!(words(&gone), ["released a y", "acquired a z"]);
    }

    /// The next look comes before two renewals can pass, and right when a lease ends.
    #[test]
    fn looks_follow_the_remaining_time() {
        let most = Duration::from_secs(5);
        let mut leases = Leases::default();
        assert_eq!(leases.next_look(at(0), most), most);
        leases.look(at(0), at(0), vec![lease("a", "x", 1, 15_000)]);
        assert_eq!(leases.next_look(at(0), most), Duration::from_millis(2_500));
        assert_eq!((leases.due(at(2_499)).count(), leases.due(at(2_500)).count()), (0, 1));
        assert_eq!(leases.next_look(at(60_000), most), MIN_POLL);
        leases.look(at(14_000), at(14_000), vec![lease("a", "x", 1, 1_000)]);
        assert_eq!(leases.next_look(at(14_000), most), Duration::from_millis(1_005));
        let endless = LeaseRecord { ttl: None, remaining: None, ..lease("a", "x", 1, 0) };
        leases.look(at(0), at(0), vec![endless]);
        assert_eq!(leases.next_look(at(0), most), most);
    }
}
