//! Leases that this process may hold without knowing it.

use super::*;
use crate::{LeaseRecord, RecordFormat};

fn record(process: u64, campaign: u64, of: u64) -> Answer {
    Answer::Observed(Some(LeaseRecord {
        nonce: Some(Nonce { process, campaign }),
        term: Some(term(of)),
        ..LeaseRecord::new(LeaseKey::new("key").unwrap(), holder("me"), RecordFormat::Tenure(1))
    }))
}

/// A resignation with a claim in flight looks for what that claim may have left, and releases it.
#[test]
fn a_resignation_looks_for_its_orphan() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.at(100, Input::Resign), []);
    assert_eq!(h.elector.standing(), Standing::Idle);
    assert_eq!(h.due_ms(), Some(3_100));
    assert_eq!(h.at(3_100, Input::Timeout), [observe(2)]);
    assert_eq!(h.answer(3_110, 2, record(PROCESS, 1, 10)), [leader_changed("me", 10), release(3, 1, 10)]);
    h.freed(3_120, 3);
    assert_eq!(h.due_ms(), None);
}

/// It looks a few times, then leaves the rest to the ttl.
#[test]
fn looking_for_an_orphan_is_bounded() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.failed(10, 1);
    h.at(100, Input::Resign);
    let mut looked = 0;
    while let Some(due) = h.due_ms() {
        for output in h.at(due, Input::Timeout) {
            assert!(matches!(output, Output::Send(_, Request::Observe(_))), "{output:?}");
            looked += 1;
            h.answer(due, 1 + looked, if looked == 1 { Answer::Observed(None) } else { record(99, 1, 5) });
        }
    }
    assert_eq!(looked, 3);
}

/// A resignation whose claims were all answered leaves nothing to look for.
#[test]
fn a_resignation_without_doubt_is_silent() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.failed(10, 1);
    h.at(2_500, Input::Timeout);
    h.held_by(2_510, 2, "other", 40, 9_000);
    assert_eq!(h.at(2_600, Input::Resign), []);
    assert_eq!(h.due_ms(), None);
}

/// A candidate that finds the key held under its own name looks whether it holds it itself.
#[test]
fn held_under_our_own_name_is_looked_into() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(10, Input::Resign);
    h.at(20, Input::Campaign);
    assert_eq!(h.held_by(30, 2, "me", 10, 14_000), [leader_changed("me", 10), observe(3)]);
    assert_eq!(h.answer(40, 3, record(PROCESS, 1, 10)), [release(4, 1, 10)]);
    assert_eq!(h.freed(50, 4), [acquire(5, 2, Some(10))]);
}

/// A predecessor under the same name is left alone, and not asked about more often than the retry interval allows.
#[test]
fn a_predecessor_of_the_same_name_is_left_alone() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.held_by(30, 1, "me", 10, 14_000), [leader_changed("me", 10), observe(2)]);
    assert_eq!(h.answer(40, 2, record(99, 1, 10)), []);
    assert_eq!(h.at(500, Input::Wake), [acquire(3, 1, Some(10))]);
    assert_eq!(h.held_by(510, 3, "me", 10, 14_000), []);
    assert_eq!(h.due_ms(), Some(2_030));
    assert_eq!(h.at(2_030, Input::Timeout), [observe(4)]);
}

/// A record of this very campaign means that a claim was granted: repeating it brings the term and the deadline.
#[test]
fn the_campaigns_own_record_is_claimed_again() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.held_by(30, 1, "me", 10, 14_000);
    assert_eq!(h.answer(40, 2, record(PROCESS, 1, 11)), [leader_changed("me", 11), acquire(3, 1, Some(11))]);
    assert_eq!(h.granted(50, 3, 11)[0], Output::Event(Event::BecameLeader { term: term(11) }));
}

/// An unhealthy candidate whose claim got no answer gives back what it may hold.
#[test]
fn an_unhealthy_candidate_gives_back_what_it_may_hold() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(10, Input::Health(false));
    h.failed(20, 1);
    assert_eq!(h.at(3_020, Input::Timeout), [observe(2)]);
    assert_eq!(h.answer(3_030, 2, record(PROCESS, 1, 10)), [leader_changed("me", 10), release(3, 1, 10)]);
    assert_eq!(h.freed(3_040, 3), []);
    assert_eq!(h.at(4_000, Input::Health(true)), [acquire(4, 2, Some(10))]);
}

/// What it cannot remember of releases runs out by itself: the list is bounded.
#[test]
fn owed_releases_are_bounded() {
    let mut h = Harness::new();
    for campaign in 0..10 {
        h.at(campaign * 10, Input::Campaign);
        h.at(campaign * 10 + 1, Input::Resign);
    }
    for id in 1..=10 {
        h.granted(200, id, 10 + id);
    }
    let mut released = 0;
    while let Some(sent) = h.elector.requests.in_flight() {
        released += 1;
        h.freed(210, sent.id.0);
    }
    assert!(released <= 5, "{released}");
}

/// A lease that was left to run out is no orphan: its own candidate waits for its end like any other.
#[test]
fn a_lease_that_was_left_is_waited_for() {
    let mut h = Harness::leader_that_leaves();
    h.at(1_000, Input::WorkEnded);
    assert_eq!(h.at(2_000, Input::Campaign), [started(), acquire(2, 2, Some(10))]);
    assert_eq!(h.held_by(2_010, 2, "me", 10, 12_990), [leader_changed("me", 10), observe(3)]);
    assert_eq!(h.answer(2_020, 3, record(PROCESS, 1, 10)), []);
    // The answer to a repetition of the first claim, late.
    assert_eq!(h.granted(2_030, 1, 10), []);
    let due = h.due_ms().unwrap();
    assert!((15_000..15_251).contains(&due), "claims again at {due} ms");
    assert_eq!(h.at(due + 1, Input::Timeout), [acquire(4, 2, Some(10))]);
    h.granted(due + 10, 4, 11);
    assert_eq!(h.standing_term(), Some(term(11)));
}

/// A lease that no work began under is released even where leases are left.
#[test]
fn an_orphan_is_released_even_where_leases_are_left() {
    let mut h = Harness::leader_that_leaves();
    h.at(1_000, Input::WorkEnded);
    h.at(20_000, Input::Campaign);
    h.at(20_001, Input::Resign);
    assert_eq!(h.granted(20_010, 2, 11), [release(3, 2, 11)]);
}

/// What a late answer tells of a lease that was left before the last one is no orphan either.
#[test]
fn leases_that_were_left_before_are_no_orphans() {
    let mut h = Harness::leader_that_leaves();
    h.at(1_000, Input::WorkEnded);
    h.at(20_000, Input::Campaign);
    h.granted(20_010, 2, 11);
    h.at(21_000, Input::WorkEnded);
    assert_eq!(h.at(22_000, Input::Campaign), [started(), acquire(3, 3, Some(11))]);
    assert_eq!(h.held_by(22_010, 3, "me", 11, 12_990), [leader_changed("me", 11), observe(4)]);
    let outputs = h.answer(22_020, 4, record(PROCESS, 1, 10));
    assert!(!outputs.iter().any(|output| matches!(output, Output::Send(..))), "{outputs:?}");
}

/// Of several leases that are given back the one with the highest term goes first: it is the one that keeps others waiting.
#[test]
fn the_highest_term_is_released_first() {
    let mut h = Harness::new();
    for at in [0, 20] {
        h.at(at, Input::Campaign);
        h.at(at + 10, Input::Resign);
    }
    // A release of the older one is under way when the younger one is told of, and fails.
    assert_eq!(h.granted(100, 1, 10), [release(3, 1, 10)]);
    assert_eq!(h.granted(110, 2, 20), []);
    assert_eq!(h.failed(120, 3), [store_failed("release", "cut")]);
    let due = h.due_ms().unwrap();
    assert_eq!(h.at(due, Input::Timeout), [release(4, 2, 20)]);
    assert_eq!(h.freed(due + 10, 4), [release(5, 1, 10)]);
}
