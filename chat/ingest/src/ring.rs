//! The ring: what this instance has read and has not yet seen on the bus. Bounded by bytes and by age.

use std::collections::{BTreeMap, hash_map};
use std::time::Duration;

use tenure_bus::Message;
use tenure_core::Time;
use tenure_envelope::EnvelopeId;

use crate::ids::IdMap;

/// One line that was read, as the message it becomes.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What goes onto the bus.
    pub message: Message,
    /// When it was read, on the boottime clock: counts its age.
    pub read_at: Time,
    /// When it was read, in Unix milliseconds: names a gap's interval.
    pub read_at_ms: u64,
    /// What it is, which decides who may publish it.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A line whose identity every reader derives.
    Line,
    /// A line with neither id nor sent time, so that two readers cannot agree on its identity: published live by the
    /// leader or not at all.
    LiveLine,
    /// The gap that a line has become; whoever read that line may publish it.
    LineGap,
    /// A gap that a leader has found. Who leads next finds it again.
    Gap,
}

impl EntryKind {
    /// Whether it is a line that came in.
    pub fn is_line(self) -> bool {
        matches!(self, EntryKind::Line | EntryKind::LiveLine)
    }

    /// Whether only a leader may publish it.
    pub fn is_leader_only(self) -> bool {
        matches!(self, EntryKind::LiveLine | EntryKind::Gap)
    }
}

/// How much a ring holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// The most bytes of envelopes.
    pub bytes: usize,
    /// The longest an entry stays.
    pub age: Duration,
}

/// What an insertion did.
#[derive(Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The entry is in the ring.
    New,
    /// An entry with this id was there already.
    Known,
}

/// Entries in the order in which they were read.
#[derive(Debug)]
pub struct Ring {
    limits: RingLimits,
    entries: BTreeMap<u64, Slot>,
    by_id: IdMap<u64>,
    next: u64,
    bytes: usize,
    in_flight: usize,
    lines: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    in_flight: bool,
    /// It was given to the bus and no answer came: the bus may have it.
    doubtful: bool,
    refused: u32,
}

/// What an entry costs beside its body: keys, index and bookkeeping, roughly.
const OVERHEAD: usize = 256;

impl Ring {
    /// An empty ring.
    pub fn new(limits: RingLimits) -> Self {
        Ring { limits, entries: BTreeMap::new(), by_id: IdMap::default(), next: 0, bytes: 0, in_flight: 0, lines: 0 }
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many of them are lines.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// How many of them are not in flight.
    pub fn waiting(&self) -> usize {
        self.entries.len() - self.in_flight
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes its entries take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an entry, unless its id is there already.
    pub fn insert(&mut self, entry: Entry) -> Inserted {
        let hash_map::Entry::Vacant(place) = self.by_id.entry(entry.message.id) else { return Inserted::Known };
        let at = self.next;
        place.insert(at);
        self.next += 1;
        self.bytes += cost(&entry);
        self.lines += usize::from(entry.kind.is_line());
        self.entries.insert(at, Slot { entry, in_flight: false, doubtful: false, refused: 0 });
        Inserted::New
    }

    /// Removes the entry with this id: it is on the bus.
    pub fn remove(&mut self, id: EnvelopeId) -> Option<Entry> {
        let at = self.by_id.remove(&id)?;
        let slot = self.entries.remove(&at)?;
        self.bytes -= cost(&slot.entry);
        self.in_flight -= usize::from(slot.in_flight);
        self.lines -= usize::from(slot.entry.kind.is_line());
        Some(slot.entry)
    }

    /// Takes out what the limits force out, oldest first. What is in flight stays: its answer is on the way.
    pub fn force_out(&mut self, now: Time) -> Vec<Entry> {
        let mut out = Vec::new();
        let mut from = 0;
        while let Some((&at, slot)) = self.entries.range(from..).next() {
            let aged = now.since(slot.entry.read_at) > self.limits.age;
            if self.bytes <= self.limits.bytes && !aged {
                break;
            }
            from = at + 1;
            if !slot.in_flight {
                let id = slot.entry.message.id;
                out.extend(self.remove(id));
            }
        }
        out
    }

    /// Hands out, in order, entries that are not in flight and were read at or before `until`; they are in flight
    /// until removed or given back. What is too old by now stays, for [`Ring::force_out`].
    pub fn take(&mut self, now: Time, until: Time, most: usize, most_bytes: usize) -> Vec<Message> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        for slot in self.entries.values_mut() {
            if slot.entry.read_at > until || taken.len() == most {
                break;
            }
            if slot.in_flight || now.since(slot.entry.read_at) > self.limits.age {
                continue;
            }
            bytes += slot.entry.message.body.len();
            if bytes > most_bytes && !taken.is_empty() {
                break;
            }
            slot.in_flight = true;
            self.in_flight += 1;
            taken.push(slot.entry.message.clone());
        }
        taken
    }

    /// Takes entries back that could not be published: they go out again, in their old order.
    pub fn give_back(&mut self, id: EnvelopeId) {
        if let Some(slot) = self.by_id.get(&id).and_then(|at| self.entries.get_mut(at)) {
            self.in_flight -= usize::from(std::mem::take(&mut slot.in_flight));
        }
    }

    /// Takes everything back that is in flight: nobody waits for its answer any more.
    pub fn give_back_all(&mut self) {
        for slot in self.entries.values_mut() {
            slot.doubtful |= std::mem::take(&mut slot.in_flight);
        }
        self.in_flight = 0;
    }

    /// Whether the entry with this id is there.
    pub fn contains(&self, id: &EnvelopeId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Whether the entry with this id was handed out and not answered yet.
    pub fn is_in_flight(&self, id: &EnvelopeId) -> bool {
        self.by_id.get(id).and_then(|at| self.entries.get(at)).is_some_and(|slot| slot.in_flight)
    }

    /// The bus was given the entry with this id, and has not answered.
    pub fn doubt(&mut self, id: EnvelopeId) {
        if let Some(slot) = self.by_id.get(&id).and_then(|at| self.entries.get_mut(at)) {
            slot.doubtful = true;
        }
    }

    /// Whether the bus was given the entry with this id before, and did not answer.
    pub fn is_doubtful(&self, id: &EnvelopeId) -> bool {
        self.by_id.get(id).and_then(|at| self.entries.get(at)).is_some_and(|slot| slot.doubtful)
    }

    /// Counts one more refusal of this entry by the bus; answers how many there were.
    pub fn refused(&mut self, id: EnvelopeId) -> u32 {
        let Some(slot) = self.by_id.get(&id).and_then(|at| self.entries.get_mut(at)) else { return 0 };
        slot.refused = slot.refused.saturating_add(1);
        slot.refused
    }

    /// The earliest time at which an entry was read, in Unix milliseconds. Looks at every entry: lines of several
    /// connections come mixed, and the wall clock may step.
    pub fn oldest_ms(&self) -> Option<u64> {
        self.entries.values().map(|slot| slot.entry.read_at_ms).min()
    }

    /// When the oldest entry was read.
    pub fn oldest(&self) -> Option<Time> {
        self.entries.values().next().map(|slot| slot.entry.read_at)
    }

    /// When the oldest entry that is not in flight was read.
    pub fn oldest_waiting(&self) -> Option<Time> {
        self.entries.values().find(|slot| !slot.in_flight).map(|slot| slot.entry.read_at)
    }

    /// Drops the entries that are not wanted, except those in flight; answers them.
    pub fn drop_where(&mut self, unwanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let ids: Vec<EnvelopeId> = self
            .entries
            .values()
            .filter(|slot| !slot.in_flight && unwanted(&slot.entry))
            .map(|slot| slot.entry.message.id)
            .collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}

fn cost(entry: &Entry) -> usize {
    entry.message.body.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn entry(n: u8, at: u64) -> Entry {
        let message = Message {
            id: EnvelopeId([n; 16]),
            kind: "external.chat.message.v1",
            channel: "c".into(),
            body: Bytes::from(vec![b'x'; 100]),
        };
        Entry { message, read_at: Time::from_millis(at), read_at_ms: at, kind: EntryKind::Line }
    }

    fn ids(messages: &[Message]) -> Vec<u8> {
        messages.iter().map(|message| message.id.0[0]).collect()
    }

    fn ring(bytes: usize) -> Ring {
        Ring::new(RingLimits { bytes, age: Duration::from_secs(60) })
    }

    /// Entries leave in the order they were read, once, and come back to their old place.
    #[test]
    fn entries_are_handed_out_in_order_and_once() {
        let mut ring = ring(usize::MAX);
        for n in 1..=4 {
            assert_eq!(ring.insert(entry(n, u64::from(n))), Inserted::New);
        }
        assert_eq!(ring.insert(entry(2, 9)), Inserted::Known);
        assert_eq!(ids(&ring.take(Time::ZERO, Time::MAX, 2, usize::MAX)), [1, 2]);
        ring.give_back(EnvelopeId([1; 16]));
        assert_eq!(ids(&ring.take(Time::ZERO, Time::MAX, 9, usize::MAX)), [1, 3, 4]);
        assert!(ring.take(Time::ZERO, Time::MAX, 9, usize::MAX).is_empty());
    }

    /// Only what is old enough is handed out, and a batch is bounded by bytes but never empty for it.
    #[test]
    fn batches_are_bounded_by_age_and_bytes() {
        let mut ring = ring(usize::MAX);
        for n in 1..=4 {
            ring.insert(entry(n, u64::from(n)));
        }
        assert_eq!(ids(&ring.take(Time::ZERO, Time::from_millis(3), 9, 250)), [1, 2]);
        assert_eq!(ids(&ring.take(Time::ZERO, Time::from_millis(3), 9, 1)), [3]);
        assert!(ring.take(Time::ZERO, Time::from_millis(3), 9, usize::MAX).is_empty());
    }

    /// The bounds force out the oldest, but never what is in flight.
    #[test]
    fn bounds_force_out_the_oldest_that_is_not_in_flight() {
        let mut ring = ring(2 * (100 + OVERHEAD));
        for n in 1..=4 {
            ring.insert(entry(n, u64::from(n)));
        }
        ring.take(Time::ZERO, Time::MAX, 1, usize::MAX);
        let out: Vec<u8> = ring.force_out(Time::from_millis(5)).iter().map(|entry| entry.message.id.0[0]).collect();
        assert_eq!(out, [2, 3]);
        assert_eq!(ring.bytes(), 2 * (100 + OVERHEAD));
        let out: Vec<u8> = ring.force_out(Time::from_millis(90_000)).iter().map(|e| e.message.id.0[0]).collect();
        assert_eq!(out, [4]);
    }

    /// Unwanted entries can be dropped without the others.
    #[test]
    fn unwanted_entries_can_be_dropped() {
        let mut ring = ring(usize::MAX);
        ring.insert(Entry { kind: EntryKind::LiveLine, ..entry(1, 1) });
        ring.insert(entry(2, 2));
        ring.insert(entry(3, 3));
        assert_eq!(ring.drop_where(|entry| entry.kind.is_leader_only()).len(), 1);
        assert_eq!(ring.drop_where(|entry| entry.read_at_ms <= 2).len(), 1);
        assert_eq!((ring.len(), ring.lines()), (1, 1));
        ring.insert(Entry { kind: EntryKind::LineGap, ..entry(5, 5) });
        assert_eq!((ring.len(), ring.lines()), (2, 1));
        assert_eq!(ring.oldest_ms(), Some(3));
        ring.insert(Entry { read_at_ms: 1, ..entry(4, 4) });
        assert_eq!(ring.oldest_ms(), Some(1), "the wall clock stepped back");
    }
}
