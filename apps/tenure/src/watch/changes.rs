//! What changed between two looks at the leases; pure, with the time as an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use tenure_core::{LeaseKey, LeaseRecord, Time};

/// The store and this process may round differently.
const ROUNDING: Duration = Duration::from_millis(5);
/// The least time between two looks that nobody asked for.
const LEAST: Duration = Duration::from_millis(50);

/// What happened to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody holds the key who did not, or who was not seen to, before.
    Acquired,
    /// Its time was extended.
    Renewed,
    /// It went before its time was over.
    Released,
    /// It went when its time was over.
    Expired,
}

impl Event {
    /// The word for it, in JSON and in tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Event::Acquired => "acquired",
            Event::Renewed => "renewed",
            Event::Released => "released",
            Event::Expired => "expired",
        }
    }
}

/// The leases as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    seen: BTreeMap<LeaseKey, Seen>,
}

/// A lease, and when it ends: the store measured what remains at some moment between the sending of the question and the
/// coming of the answer.
#[derive(Debug)]
struct Seen {
    record: LeaseRecord,
    earliest_end: Time,
    latest_end: Time,
}

impl Leases {
    /// Takes in what the store answered between these moments, and tells what that changes, by key. A lease that has
    /// gone is shown as it was last seen, with nothing left of it.
    pub(crate) fn look(&mut self, sent: Time, answered: Time, records: Vec<LeaseRecord>) -> Vec<(Event, LeaseRecord)> {
        let mut before = std::mem::take(&mut self.seen);
        let mut changes = Vec::new();
        for record in records {
            let end = |at: Time| record.remaining.map_or(Time::MAX, |remaining| at + remaining);
            let now = Seen { earliest_end: end(sent), latest_end: end(answered), record };
            match before.remove(&now.record.key) {
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
        changes.extend(before.into_values().map(|old| old.gone(answered)));
        changes.sort_by(|one, other| one.1.key.cmp(&other.1.key));
        changes
    }

    /// How long the next look can wait so that no renewal and no end of what is held is missed: a sixth of a ttl, half of
    /// the usual renew interval, and the moment when a lease has certainly ended.
    pub(crate) fn next_look(&self, now: Time, most: Duration) -> Duration {
        let spans = self.seen.values().map(|seen| {
            let sixth = seen.record.ttl.map_or(most, |ttl| ttl / 6);
            let end = if seen.latest_end == Time::MAX { most } else { (seen.latest_end + ROUNDING).since(now) };
            sixth.min(end)
        });
        spans.min().unwrap_or(most).clamp(LEAST.min(most), most)
    }
}

impl Seen {
    fn gone(self, answered: Time) -> (Event, LeaseRecord) {
        let expired = answered >= self.earliest_end;
        let record = LeaseRecord { remaining: Some(Duration::ZERO), ..self.record };
        (if expired { Event::Expired } else { Event::Released }, record)
    }
}

fn is_same_tenure(old: &LeaseRecord, new: &LeaseRecord) -> bool {
    (old.nonce, old.term, &old.holder, old.format) == (new.nonce, new.term, &new.holder, new.format)
}

/// Extended for certain, or written anew.
fn is_renewed(old: &Seen, new: &Seen) -> bool {
    let known = old.latest_end != Time::MAX && new.earliest_end != Time::MAX;
    known && new.earliest_end > old.latest_end + ROUNDING
        || old.record.note != new.record.note
        || old.record.ttl != new.record.ttl
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leases::tests::lease;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    fn words(changes: &[(Event, LeaseRecord)]) -> Vec<String> {
        changes.iter().map(|(event, record)| format!("{} {} {}", event.word(), record.key, record.holder)).collect()
    }

    /// What is held at the first look is told as acquired; what stays as it was is not told again.
    #[test]
    fn what_is_held_is_told_once() {
        let mut leases = Leases::default();
        let first = leases.look(at(0), at(10), vec![lease("a", "x", 1, 9_000), lease("b", "y", 2, 9_000)]);
        assert_eq!(words(&first), ["acquired a x", "acquired b y"]);
        let later = vec![lease("a", "x", 1, 8_000), lease("b", "y", 2, 8_003)];
        assert!(leases.look(at(1_000), at(1_004), later).is_empty());
    }

    /// An end that moved for certain is a renewal; a slow answer is none.
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

    /// The next look comes before two renewals can pass, and right when a lease ends.
    #[test]
    fn looks_follow_the_remaining_time() {
        let most = Duration::from_secs(5);
        let mut leases = Leases::default();
        assert_eq!(leases.next_look(at(0), most), most);
        leases.look(at(0), at(0), vec![lease("a", "x", 1, 15_000)]);
        assert_eq!(leases.next_look(at(0), most), Duration::from_millis(2_500));
        assert_eq!(leases.next_look(at(14_000), most), Duration::from_millis(1_005));
        assert_eq!(leases.next_look(at(60_000), most), LEAST);
        let endless = LeaseRecord { ttl: None, remaining: None, ..lease("a", "x", 1, 0) };
        leases.look(at(0), at(0), vec![endless]);
        assert_eq!(leases.next_look(at(0), most), most);
    }
}
