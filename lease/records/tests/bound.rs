//! The steps on bound records, one by one: which need a read before they write, and what they make of records that changed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use tenure_records::{
    Ask, Bound, Content, Memory, Moment, Next, Occupancy, Occupant, Record, Seen, Step, Swap, Told, Version, Write,
};
use tenure_store::{
    BoundClaim, Claim, Claimed, Held, HolderId, LeaseKey, Nonce, Note, Released, StoreError, StoreErrorKind, Term, Time,
};

const TTL: Duration = Duration::from_secs(10);
const HOUR: u64 = 3_600;

fn key() -> LeaseKey {
    LeaseKey::new("k").unwrap()
}

fn at(seconds: u64) -> Moment {
    Moment { now: Time::from_millis(seconds * 1_000), wall_micros: 100 }
}

fn term(number: u64) -> Term {
    Term::new(number).unwrap()
}

fn member(of: u64) -> Bound {
    Bound { member: LeaseKey::new("members/m").unwrap(), term: term(of) }
}

fn claim(last_term: Option<u64>) -> Claim {
    let (holder, nonce) = (HolderId::new("m").unwrap(), Nonce { process: 1, campaign: 1 });
    let bound = Some(BoundClaim { to: member(7), last_term: last_term.map(term) });
    Claim { bound, ..Claim::new(key(), holder, nonce, TTL) }
}

fn held(of: u64) -> Held {
    Held { key: key(), nonce: claim(None).nonce, term: term(of), ttl: TTL, note: Note::default() }
}

fn version(number: u64) -> Version {
    Version::new(number.to_string())
}

/// The record of [`claim`] under this term, at this version.
fn seen(of: u64, at_version: u64) -> Seen {
    let Claim { holder, nonce, bound, .. } = claim(None);
    let occupant =
        Occupant { holder, nonce, ttl: TTL, hold: TTL, resign_requested: false, bound: bound.map(|bound| bound.to) };
    record(Occupancy::Tenure(occupant), of, at_version)
}

fn record(occupancy: Occupancy, of: u64, at_version: u64) -> Seen {
    let record = Record { occupancy, term: Some(term(of)), note: None, previous_note: None, beat: 1 };
    Seen { content: Some(Content::Lease(record)), version: Some(version(at_version)), ..Seen::default() }
}

/// What is in the write that comes next.
#[track_caller]
fn written(next: Next) -> (Option<Version>, Record) {
    match next {
        Next::Write(Write { expected, to: Some(Content::Lease(record)), .. }) => (expected, record),
        other => panic!("expected a write, got {other:?}"),
    }
}

#[track_caller]
fn read(next: Next) {
    assert!(matches!(next, Next::Read(_)), "expected a read, got {next:?}");
}

#[track_caller]
fn done(next: Next) -> Told {
    match next {
        Next::Done(told) => told.unwrap(),
        other => panic!("expected an answer, got {other:?}"),
    }
}

/// A claim that was granted at this second, with version 1 and term 100.
fn owner(second: u64) -> Memory {
    let mut memory = Memory::new(1);
    let (mut step, next) = Step::begin(Ask::Acquire(claim(None)), at(second), &mut memory);
    read(next);
    let (expected, record) = written(step.seen(at(second), Ok(Seen::default()), &mut memory));
    assert_eq!((expected, record.term, record.bound()), (None, Some(term(100)), Some(&member(7))));
    let told = done(step.swapped(at(second), Ok(Swap::Done(version(1))), &mut memory));
    assert_eq!(told, Told::Claimed(Claimed::Granted { term: term(100), last_note: None }));
    memory
}

/// However old a bound record is by the server's clock and by this process's own, it counts, and is displaced at its version
/// alone.
#[test]
fn no_age_ends_a_bound_record() {
    let mut memory = Memory::new(1);
    let ancient = || Seen { age: Some(Duration::from_secs(9_999_999)), ..seen(100, 1) };
    let rival = Claim { nonce: Nonce { process: 2, campaign: 1 }, bound: None, ..claim(None) };
    for second in [0, HOUR, 100 * HOUR] {
        let (mut step, next) = Step::begin(Ask::Acquire(rival.clone()), at(second), &mut memory);
        read(next);
        let told = done(step.seen(at(second), Ok(ancient()), &mut memory));
        let by = claim(None).holder;
        let bound = Some(member(7));
        assert_eq!(told, Told::Claimed(Claimed::Held { by, term: Some(term(100)), remaining: None, bound }));
    }
    let displacer = Claim { displaces: Some(member(7)), ..rival };
    let (mut step, next) = Step::begin(Ask::Acquire(displacer), at(200 * HOUR), &mut memory);
    read(next);
    let (expected, record) = written(step.seen(at(200 * HOUR), Ok(ancient()), &mut memory));
    assert_eq!((expected, record.term, record.bound()), (Some(version(1)), Some(term(101)), None));
}

/// A claim that comes again finds its own tenure and answers out of what was read: there is nothing to extend. One whose write
/// had an unknown outcome is not repeated from memory.
#[test]
fn a_repeat_reads_and_writes_nothing() {
    let mut memory = owner(0);
    for second in [1, HOUR] {
        let (mut step, next) = Step::begin(Ask::Acquire(claim(None)), at(second), &mut memory);
        read(next);
        let told = done(step.seen(at(second), Ok(seen(100, 1)), &mut memory));
        assert_eq!(told, Told::Claimed(Claimed::Granted { term: term(100), last_note: None }));
    }
    let mut memory = Memory::new(1);
    let (mut step, _) = Step::begin(Ask::Acquire(claim(None)), at(0), &mut memory);
    written(step.seen(at(0), Ok(Seen::default()), &mut memory));
    let lost = StoreError::new(StoreErrorKind::TimedOut, "no answer");
    assert!(matches!(step.swapped(at(1), Err(lost), &mut memory), Next::Done(Err(_))));
    let (mut step, next) = Step::begin(Ask::Acquire(claim(None)), at(2), &mut memory);
    read(next);
    let told = done(step.seen(at(2), Ok(seen(100, 1)), &mut memory));
    assert_eq!(told, Told::Claimed(Claimed::Granted { term: term(100), last_note: None }));
}

/// A copy of a claim that comes after its release writes nothing, whether this process knows of the release or not.
#[test]
fn a_copy_after_the_release_writes_nothing() {
    let released = || record(Occupancy::Nobody, 100, 2);
    let mut knows = owner(0);
    let (mut step, next) = Step::begin(Ask::Release(held(100)), at(1), &mut knows);
    written(next);
    done(step.swapped(at(1), Ok(Swap::Done(version(2))), &mut knows));
    for mut memory in [knows, Memory::new(2), owner(0)] {
        let (mut step, next) = Step::begin(Ask::Acquire(claim(None)), at(2), &mut memory);
        read(next);
        let told = done(step.seen(at(2), Ok(released()), &mut memory));
        assert_eq!(told, Told::Claimed(Claimed::Stale { last_term: Some(term(100)) }));
    }
}

/// A release goes without a read while its owner has seen the record within a ttl, however long ago it was written; later it
/// reads first, because the version may be another record's by then.
#[test]
fn a_release_is_short_while_the_record_was_seen_not_long_ago() {
    let short = |memory: &mut Memory, second| Step::begin(Ask::Release(held(100)), at(second), memory).1;
    let (expected, record) = written(short(&mut owner(0), 9));
    assert_eq!((expected, record.occupancy, record.term), (Some(version(1)), Occupancy::Nobody, Some(term(100))));
    read(short(&mut owner(0), 10));
    let mut memory = owner(0);
    let (mut step, _) = Step::begin(Ask::Look(key()), at(HOUR), &mut memory);
    done(step.seen(at(HOUR), Ok(seen(100, 1)), &mut memory));
    written(short(&mut memory, HOUR + 9));
    read(short(&mut memory, HOUR + 10));
}

/// A release that arrives late, after the key was claimed again under the same nonce, frees nothing: not by the short way,
/// which the server refuses, and not after a read.
#[test]
fn a_late_release_meets_a_later_tenure() {
    let not_held = Told::Released(Released::NotHeld);
    let mut memory = owner(0);
    let (mut step, next) = Step::begin(Ask::Release(held(100)), at(1), &mut memory);
    assert_eq!(written(next).0, Some(version(1)));
    assert_eq!(done(step.swapped(at(1), Ok(Swap::Conflict(Some(seen(101, 3)))), &mut memory)), not_held);
    let mut memory = owner(0);
    let (mut step, next) = Step::begin(Ask::Release(held(100)), at(HOUR), &mut memory);
    read(next);
    assert_eq!(done(step.seen(at(HOUR), Ok(seen(101, 3)), &mut memory)), not_held);
    // What is known by then is the later tenure, and the copy of the release does not name it.
    let (mut step, next) = Step::begin(Ask::Release(held(100)), at(HOUR), &mut memory);
    read(next);
    assert_eq!(done(step.seen(at(HOUR), Ok(seen(101, 3)), &mut memory)), not_held);
}

/// Who has released claims again without a read, under the term that was given back; the write is refused where somebody else was
/// faster.
#[test]
fn a_new_claim_after_a_release_is_short() {
    let mut memory = owner(0);
    let (mut step, next) = Step::begin(Ask::Release(held(100)), at(1), &mut memory);
    written(next);
    done(step.swapped(at(1), Ok(Swap::Done(version(2))), &mut memory));
    let (mut step, next) = Step::begin(Ask::Acquire(claim(Some(100))), at(2), &mut memory);
    let (expected, record) = written(next);
    assert_eq!((expected, record.term, record.bound()), (Some(version(2)), Some(term(101)), Some(&member(7))));
    let taken = record_of_another(102, 3);
    let told = done(step.swapped(at(2), Ok(Swap::Conflict(Some(taken))), &mut memory));
    assert!(matches!(told, Told::Claimed(Claimed::Held { bound: None, .. })), "{told:?}");
}

fn record_of_another(of: u64, at_version: u64) -> Seen {
    let (holder, nonce) = (HolderId::new("other").unwrap(), Nonce { process: 9, campaign: 9 });
    let occupant = Occupant { holder, nonce, ttl: TTL, hold: TTL, resign_requested: false, bound: None };
    record(Occupancy::Tenure(occupant), of, at_version)
}
