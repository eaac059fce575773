//! Campaigns of one try: one claim, and a word on how it ended.

use super::*;

fn not_elected(why: NotElected) -> Output {
    Output::Event(Event::NotElected(why))
}

/// A granted try leads as any other claim.
#[test]
fn a_granted_try_leads() {
    let mut h = Harness::new();
    assert_eq!(h.at(0, Input::TryCampaign), [started(), acquire(1, 1, None)]);
    assert_eq!(h.granted(10, 1, 10), leads(1, 10, 13_000));
}

/// A key that is held ends the try, and no timer is left.
#[test]
fn a_held_key_ends_the_try() {
    let mut h = Harness::new();
    h.at(0, Input::TryCampaign);
    let told = h.held_by(10, 1, "other", 40, 9_000);
    assert_eq!(told, [leader_changed("other", 40), not_elected(NotElected::Held)]);
    assert_eq!((h.elector.standing(), h.due_ms()), (Standing::Idle, None));
    assert_eq!(h.at(20, Input::Wake), []);
}

/// A failure ends the try too; what the claim was granted all the same is released, whenever its answer comes.
#[test]
fn a_failure_ends_the_try() {
    let mut h = Harness::new();
    h.at(0, Input::TryCampaign);
    assert_eq!(h.failed(10, 1), [store_failed("acquire", "cut"), not_elected(NotElected::StoreFailed)]);
    assert_eq!(h.elector.standing(), Standing::Idle);
    // Its outcome is unknown: the record is looked at.
    assert_eq!(h.at(3_010, Input::Timeout), [observe(2)]);
    assert_eq!(h.granted(3_020, 1, 10), []);
    assert_eq!(h.answer(3_030, 2, Answer::Observed(None)), [release(3, 1, 10)]);
}

/// A grant that comes when there is no time left to work ends the try, and is given back.
#[test]
fn a_grant_that_came_too_late_ends_the_try() {
    let mut h = Harness::new();
    h.at(0, Input::TryCampaign);
    assert_eq!(h.granted(12_600, 1, 10), [not_elected(NotElected::StoreFailed), release(2, 1, 10)]);
    assert_eq!(h.elector.standing(), Standing::Releasing);
}

/// A try that may not claim says so at once: behind a closed gate, and while the key is left to others.
#[test]
fn a_try_that_may_not_claim_says_so() {
    let mut h = Harness::new();
    h.at(0, Input::Health(false));
    assert_eq!(h.at(1, Input::TryCampaign), [not_elected(NotElected::MayNotClaim)]);
    h.at(2, Input::Health(true));
    h.at(3, Input::TryCampaign);
    assert_eq!(h.at(4, Input::Health(false)), [not_elected(NotElected::MayNotClaim)]);

    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.asked(5_010, 2);
    h.at(5_020, Input::TryCampaign);
    h.at(6_000, Input::WorkEnded);
    assert_eq!(h.freed(6_010, 3), [not_elected(NotElected::MayNotClaim)]);
}

/// The greater wish prevails: a campaign without end is not shortened by a try, and a try becomes one.
#[test]
fn the_greater_wish_prevails() {
    for inputs in [[Input::TryCampaign, Input::Campaign], [Input::Campaign, Input::TryCampaign]] {
        let mut h = Harness::new();
        for input in inputs {
            h.at(0, input);
        }
        assert_eq!(h.held_by(10, 1, "other", 40, 9_000), [leader_changed("other", 40)]);
        assert_eq!(h.elector.standing(), Standing::Candidate);
    }
}
