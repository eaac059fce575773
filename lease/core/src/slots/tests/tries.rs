//! One try: a claim of each slot, and a word on how it ended.

use super::*;

/// A try claims each slot once, without a list, and takes the first that is granted.
#[test]
fn a_try_claims_each_slot_once() {
    let mut h = Harness::new(3);
    assert_eq!(h.at(0, Input::TryCampaign), [started(), Told::Claim(0)]);
    assert_eq!(h.held(10, 9_000), [held_by_other(0), Told::Claim(1)]);
    assert!(h.granted(20, 30).contains(&Told::Start(1)));
    assert_eq!(h.slots.leading(), Some(1));
}

/// All are held: that is told, and nothing goes on.
#[test]
fn a_try_ends_where_all_are_held() {
    let mut h = Harness::new(2);
    h.at(0, Input::TryCampaign);
    h.held(10, 9_000);
    assert_eq!(h.held(20, 9_000), [held_by_other(1), not_elected(NotElected::Held)]);
    assert_eq!((h.slots.standing(), h.due_ms()), (Standing::Idle, None));
    assert_eq!(h.at(30, Input::Wake), []);
}

/// A store that failed is no proof that all are held.
#[test]
fn a_try_tells_that_the_store_failed() {
    let mut h = Harness::new(2);
    h.at(0, Input::TryCampaign);
    assert_eq!(h.failed(10), [store_failed(Some(0), "acquire"), Told::Claim(1)]);
    assert_eq!(h.held(20, 9_000), [held_by_other(1), not_elected(NotElected::StoreFailed)]);
    assert_eq!(h.slots.standing(), Standing::Idle);
}

/// Behind a closed gate nothing is tried, and a gate that closes ends a try.
#[test]
fn a_closed_gate_ends_a_try() {
    let mut h = Harness::new(2);
    h.at(0, Input::Health(false));
    assert_eq!(h.at(1, Input::TryCampaign), [not_elected(NotElected::MayNotClaim)]);
    h.at(2, Input::Health(true));
    h.at(3, Input::TryCampaign);
    assert_eq!(h.at(4, Input::Health(false)), [not_elected(NotElected::MayNotClaim)]);
    assert_eq!(h.slots.standing(), Standing::Idle);
}

/// A wish for more turns a try into a campaign without end.
#[test]
fn a_try_can_become_a_campaign() {
    let mut h = Harness::new(2);
    h.at(0, Input::TryCampaign);
    h.at(1, Input::Campaign);
    h.held(10, 9_000);
    assert_eq!(h.held(20, 9_000), [held_by_other(1), none_free()]);
    assert_eq!(h.slots.standing(), Standing::Candidate);
}
