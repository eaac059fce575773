//! The table: leases as a pure in-memory model, for the memory store and the simulator.
//!
//! It reads no clock: `now` is a moment of the store's monotonic clock, `clock_micros` its wall clock in microseconds
//! since 1970, which only seeds terms. Limits (ttl, batch size) are the store's business, not the table's.

use std::collections::BTreeMap;
use std::ops::Bound as End;
use std::time::Duration;

use tenure_core::{
    Claim, Claimed, Held, HolderId, KeyPrefix, LeaseKey, LeaseRecord, Note, RecordFormat, Released, Renewed, Time,
};

use crate::error::StoreError;
use crate::slot::{Change, ClaimTime, Occupant, Slot};

/// Slots by key. Two tables that are given the same calls answer the same.
#[derive(Clone, Debug, Default)]
pub struct LeaseTable {
    entries: BTreeMap<LeaseKey, Entry>,
    // When unused term records were last looked for.
    swept: Time,
    // Since when every tenure is known, where some may have been lost before.
    complete_since: Option<Time>,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    slot: Slot,
    // The last moment at which somebody claimed, renewed or released the key.
    used: Time,
}

impl LeaseTable {
    /// How long a key that nobody holds keeps its term record without use.
    pub const KEEP_UNUSED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

    /// A table without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// One claim; see [`Slot::acquire`] for what is granted.
    pub fn acquire(&mut self, now: Time, clock_micros: u64, claim: &Claim) -> Result<Claimed, StoreError> {
        self.acquire_step(now, clock_micros, claim).map(|(answer, _)| answer)
    }

    /// One renewal; see [`Slot::renew`].
    pub fn renew(&mut self, now: Time, held: &Held) -> Renewed {
        self.entries.get_mut(&held.key).map_or(Renewed::Lost { to: None }, |entry| {
            entry.used = now;
            entry.slot.renew(now, held).0
        })
    }

    /// One release; see [`Slot::release`].
    pub fn release(&mut self, now: Time, held: &Held) -> Released {
        self.entries.get_mut(&held.key).map_or(Released::NotHeld, |entry| {
            entry.used = now;
            entry.slot.release(held).0
        })
    }

    /// The leases that are held at `now` under keys with this prefix, by key.
    pub fn list(&self, now: Time, prefix: &KeyPrefix) -> Vec<LeaseRecord> {
        let from = LeaseKey::new(prefix.as_str()).map_or(End::Unbounded, End::Included);
        self.entries
            .range((from, End::Unbounded))
            .take_while(|(key, _)| prefix.matches(key))
            .filter_map(|(key, entry)| entry.slot.record(now, key))
            .collect()
    }

    /// What is kept for `key`, held or not.
    pub fn slot(&self, key: &LeaseKey) -> Option<&Slot> {
        self.entries.get(key).map(|entry| &entry.slot)
    }

    /// Asks the holder to resign; `false` where nobody holds the key.
    pub fn request_resign(&mut self, now: Time, key: &LeaseKey) -> bool {
        self.entries.get_mut(key).is_some_and(|entry| entry.slot.request_resign(now))
    }

    /// Deletes the lease by force, but keeps the term record and the last note; answers the record as it stood.
    /// The holder learns of it with its next renewal and may act until then.
    pub fn remove(&mut self, now: Time, key: &LeaseKey) -> Option<LeaseRecord> {
        self.entries.get_mut(key).and_then(|entry| entry.slot.remove(now, key))
    }

    /// Loses all that is kept for `key`, the term record too, as a broken or emptied store would.
    pub fn forget(&mut self, key: &LeaseKey) -> bool {
        self.entries.remove(key).is_some()
    }

    /// Loses everything, and does not know that it did.
    pub fn forget_all(&mut self) {
        self.entries.clear();
    }

    /// Comes back at `now` with what `saved` knew, as a store does that was restored from a snapshot or, from an empty
    /// table, without its data. It knows that it may have lost tenures: see [`Slot::acquire`].
    pub fn come_back(&mut self, now: Time, saved: &LeaseTable) {
        self.entries.clone_from(&saved.entries);
        self.complete_since = Some(now);
    }

    /// Puts a record of another program, or of another format, in the key's place.
    pub fn plant(&mut self, now: Time, key: LeaseKey, holder: HolderId, format: RecordFormat, note: Note) {
        let tenure = Occupant::Foreign { holder, format };
        self.entries.insert(key, Entry { slot: Slot { tenure, note: Some(note), ..Slot::default() }, used: now });
    }

    /// Drops the term records of keys that nobody holds and nobody used for [`LeaseTable::KEEP_UNUSED`]; says how many.
    pub fn drop_unused(&mut self, now: Time) -> usize {
        let before = self.entries.len();
        self.entries
            .retain(|key, entry| now.since(entry.used) < Self::KEEP_UNUSED || entry.slot.record(now, key).is_some());
        before - self.entries.len()
    }

    /// As [`LeaseTable::drop_unused`], but looks at most once an hour: cheap enough for every claim.
    pub(crate) fn drop_unused_now_and_then(&mut self, now: Time) {
        if now.since(self.swept) >= Duration::from_secs(60 * 60) {
            self.swept = now;
            self.drop_unused(now);
        }
    }

    pub(crate) fn acquire_step(
        &mut self,
        now: Time,
        clock_micros: u64,
        claim: &Claim,
    ) -> Result<(Claimed, Change), StoreError> {
        let at = ClaimTime { now, clock_micros, complete_since: self.complete_since };
        if let Some(entry) = self.entries.get_mut(&claim.key) {
            entry.used = now;
            return entry.slot.acquire(at, claim);
        }
        // A refused first claim must not leave an empty entry behind.
        let mut slot = Slot::default();
        let (answer, change) = slot.acquire(at, claim)?;
        if change != Change::Nothing {
            self.entries.insert(claim.key.clone(), Entry { slot, used: now });
        }
        Ok((answer, change))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{Bound, BoundClaim, Nonce, Term};

    const TTL: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    fn claim(campaign: u64, note: &str) -> Claim {
        let (key, holder) = (LeaseKey::new("k").unwrap(), HolderId::new(format!("h{campaign}")).unwrap());
        let note = Note::new(note).unwrap();
        Claim { note, ..Claim::new(key, holder, Nonce { process: 1, campaign }, TTL) }
    }

    fn held(claim: &Claim, term: Term) -> Held {
        Held { key: claim.key.clone(), nonce: claim.nonce, term, ttl: claim.ttl, note: claim.note.clone() }
    }

    fn term_of(answer: &Claimed) -> Term {
        match answer {
            Claimed::Granted { term, .. } => *term,
            Claimed::Held { .. } | Claimed::Stale { .. } => panic!("expected Granted, got {answer:?}"),
        }
    }

    fn note_of(answer: &Claimed) -> Option<&str> {
        match answer {
            Claimed::Granted { last_note, .. } => last_note.as_ref().map(Note::as_str),
            Claimed::Held { .. } | Claimed::Stale { .. } => panic!("expected Granted, got {answer:?}"),
        }
    }

    /// The second claimant learns who holds, under which term, and for how long at least.
    #[test]
    fn one_of_two_claimants_is_granted() {
        let mut table = LeaseTable::new();
        let first = table.acquire(at(0), 100, &claim(1, "")).unwrap();
        assert_eq!(first, Claimed::Granted { term: Term::new(100).unwrap(), last_note: None });
        let second = table.acquire(at(4), 200, &claim(2, "")).unwrap();
        let by = HolderId::new("h1").unwrap();
        assert_eq!(
            second,
            Claimed::Held { by, term: Term::new(100), remaining: Some(Duration::from_secs(6)), bound: None }
        );
    }

    /// A repeated claim gets the same term and last note, extends the lease, and does not touch a newer note.
    #[test]
    fn a_repeated_claim_extends_and_keeps_the_term() {
        let mut table = LeaseTable::new();
        let old = term_of(&table.acquire(at(0), 1, &claim(1, "old")).unwrap());
        table.release(at(1), &held(&claim(1, "older still"), old));
        let first = table.acquire(at(2), 1, &claim(2, "new")).unwrap();
        assert_eq!(note_of(&first), Some("older still"));
        table.renew(at(3), &held(&claim(2, "newer"), term_of(&first)));
        assert_eq!(table.acquire(at(4), 999, &claim(2, "new")).unwrap(), first);
        let record = table.list(at(4), &KeyPrefix::default()).remove(0);
        assert_eq!((record.note.as_str(), record.remaining), ("newer", Some(TTL)));
    }

    /// A claim that arrives twice, the second time late and with a shorter ttl, does not shorten the lease.
    #[test]
    fn a_repeated_claim_never_shortens_the_lease() {
        let mut table = LeaseTable::new();
        let term = term_of(&table.acquire(at(0), 1, &claim(1, "")).unwrap());
        let long = Held { ttl: Duration::from_secs(60), ..held(&claim(1, ""), term) };
        table.renew(at(1), &long);
        table.acquire(at(2), 1, &claim(1, "")).unwrap();
        let record = table.list(at(2), &KeyPrefix::default()).remove(0);
        assert_eq!((record.ttl, record.remaining), (Some(long.ttl), Some(Duration::from_secs(59))));
    }

    /// An expired record is nobody's: renewing it is Lost, and its own nonce starts a new tenure under a new term.
    #[test]
    fn an_expired_record_is_lost_even_to_its_own_nonce() {
        let mut table = LeaseTable::new();
        let term = term_of(&table.acquire(at(0), 5, &claim(1, "n")).unwrap());
        assert_eq!(table.renew(at(10), &held(&claim(1, ""), term)), Renewed::Lost { to: None });
        assert!(table.list(at(10), &KeyPrefix::default()).is_empty());
        let again = table.acquire(at(10), 0, &claim(1, "")).unwrap();
        assert_eq!((term_of(&again).get(), note_of(&again)), (6, Some("n")));
        assert_eq!(
            table.renew(at(11), &held(&claim(1, ""), term)),
            Renewed::Lost { to: Some(HolderId::new("h1").unwrap()) }
        );
    }

    /// Nonce and term must both match; a second release does nothing.
    #[test]
    fn foreign_and_late_renewals_and_releases_are_refused() {
        let mut table = LeaseTable::new();
        let term = term_of(&table.acquire(at(0), 5, &claim(1, "")).unwrap());
        let to = Some(HolderId::new("h1").unwrap());
        assert_eq!(table.renew(at(1), &held(&claim(2, ""), term)), Renewed::Lost { to: to.clone() });
        let wrong = Term::new(4).unwrap();
        assert_eq!(table.renew(at(1), &held(&claim(1, ""), wrong)), Renewed::Lost { to });
        assert_eq!(table.release(at(1), &held(&claim(2, ""), term)), Released::NotHeld);
        assert_eq!(table.release(at(1), &held(&claim(1, ""), wrong)), Released::NotHeld);
        assert_eq!(table.release(at(1), &held(&claim(1, ""), term)), Released::Freed);
        assert_eq!(table.release(at(1), &held(&claim(1, ""), term)), Released::NotHeld);
    }

    /// Terms grow over release, expiry and removal whatever the clock says; only losing the record lets the clock seed.
    #[test]
    fn terms_grow_until_the_record_is_lost() {
        let mut table = LeaseTable::new();
        let first = term_of(&table.acquire(at(0), 1_000, &claim(1, "")).unwrap());
        table.release(at(1), &held(&claim(1, ""), first));
        let second = term_of(&table.acquire(at(1), 3, &claim(2, "")).unwrap());
        let third = term_of(&table.acquire(at(20), 3, &claim(3, "")).unwrap());
        assert!(table.remove(at(20), &claim(0, "").key).is_some());
        assert_eq!(table.renew(at(20), &held(&claim(3, ""), third)), Renewed::Lost { to: None });
        let fourth = term_of(&table.acquire(at(21), 3, &claim(4, "")).unwrap());
        assert_eq!([first, second, third, fourth].map(Term::get), [1_000, 1_001, 1_002, 1_003]);
        assert!(table.forget(&claim(0, "").key));
        let above = Claim { above: Some(fourth), ..claim(5, "") };
        assert_eq!(term_of(&table.acquire(at(22), 3, &above).unwrap()).get(), 1_004);
    }

    /// A claim with nothing left above it fails and leaves the key free.
    #[test]
    fn exhausted_terms_refuse_and_change_nothing() {
        let mut table = LeaseTable::new();
        let above = Claim { above: Term::new(Term::LIMIT - 1), ..claim(1, "") };
        assert!(table.acquire(at(0), 1, &above).is_err());
        assert!(table.slot(&above.key).is_none());
        assert!(table.acquire(at(0), 1, &claim(1, "")).is_ok());
    }

    /// Records of other programs count as held for ever, until somebody removes them.
    #[test]
    fn a_foreign_record_counts_as_held() {
        let mut table = LeaseTable::new();
        let (key, other) = (claim(1, "").key, HolderId::new("other").unwrap());
        table.plant(at(0), key.clone(), other.clone(), RecordFormat::Foreign, Note::default());
        let answer = table.acquire(at(1_000_000), 1, &claim(1, "")).unwrap();
        assert_eq!(answer, Claimed::Held { by: other, term: None, remaining: None, bound: None });
        assert_eq!(table.list(at(1_000_000), &KeyPrefix::default())[0].format, RecordFormat::Foreign);
        assert!(table.remove(at(1_000_000), &key).is_some());
        assert!(table.acquire(at(1_000_000), 1, &claim(1, "")).is_ok());
    }

    /// A request to resign reaches the holder with each renewal, and ends with its tenure.
    #[test]
    fn a_request_to_resign_lasts_as_long_as_the_tenure() {
        let mut table = LeaseTable::new();
        let key = claim(1, "").key;
        assert!(!table.request_resign(at(0), &key));
        let term = term_of(&table.acquire(at(0), 1, &claim(1, "")).unwrap());
        assert!(table.request_resign(at(1), &key));
        let told = Renewed::Extended { resign_requested: true };
        assert_eq!(table.renew(at(2), &held(&claim(1, ""), term)), told);
        table.release(at(3), &held(&claim(1, ""), term));
        let term = term_of(&table.acquire(at(3), 1, &claim(2, "")).unwrap());
        assert_eq!(table.renew(at(4), &held(&claim(2, ""), term)), Renewed::Extended { resign_requested: false });
    }

    /// What nobody holds and nobody used for seven days goes; what is held stays.
    #[test]
    fn unused_term_records_are_dropped_after_seven_days() {
        let mut table = LeaseTable::new();
        table.acquire(at(0), 1, &claim(1, "")).unwrap();
        let long = Claim { key: LeaseKey::new("l").unwrap(), ttl: LeaseTable::KEEP_UNUSED * 2, ..claim(1, "") };
        table.acquire(at(0), 1, &long).unwrap();
        let to = Bound { member: claim(1, "").key, term: Term::new(1).unwrap() };
        let bound = Some(BoundClaim { to, last_term: None });
        let bound = Claim { key: LeaseKey::new("b").unwrap(), bound, ..claim(1, "") };
        table.acquire(at(0), 1, &bound).unwrap();
        assert_eq!(table.drop_unused(at(3600)), 0);
        assert_eq!(table.drop_unused(at(0) + LeaseTable::KEEP_UNUSED), 1);
        assert!(table.slot(&long.key).is_some());
        assert_eq!(table.drop_unused(at(0) + LeaseTable::KEEP_UNUSED * 100), 1, "the one with a ttl");
        assert!(table.slot(&bound.key).is_some());
    }
}
