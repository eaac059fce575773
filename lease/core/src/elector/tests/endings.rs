//! The ends of a tenure, and what comes after them.

use super::*;

/// A definite loss kills at once; nothing is renewed or released any more.
#[test]
fn a_definite_loss_kills_at_once() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    let reason = LossReason::Lost { to: Some(holder("other")) };
    let changed = Output::Event(Event::LeaderChanged { leader: Some(holder("other")), term: None, is_self: false });
    assert_eq!(h.lost(5_010, 2, Some("other")), [changed, kill(reason.clone()), loss(reason, 5_010)]);
    assert!(!h.is_current(5_010));
    assert_eq!(h.elector.held(), None);
    assert_eq!(h.due_ms(), None);
    assert_eq!(h.at(5_020, Input::WorkEnded), []);
    assert_eq!(h.elector.standing(), Standing::Idle);
}

/// A resignation drains within the stop timeout, renewing meanwhile, and releases when the work has ended.
#[test]
fn a_resignation_drains_then_releases() {
    let mut h = Harness::leader();
    assert_eq!(h.at(2_000, Input::Resign), stop(LossReason::Resigned, 7_000, 2_000));
    assert!(h.is_current(2_000));
    assert_eq!(h.at(2_001, Input::Resign), []);
    assert_eq!(h.at(5_000, Input::Timeout), [renew(2, 1, 10)]);
    assert_eq!(h.extended(5_010, 2), extend(18_000));
    assert_eq!(h.at(6_000, Input::WorkEnded), [no_leader(), release(3, 1, 10)]);
    assert_eq!(h.elector.standing(), Standing::Releasing);
    assert_eq!(h.freed(6_010, 3), []);
    assert_eq!(h.elector.standing(), Standing::Idle);
}

/// A drain that takes too long is killed, by the stop timeout or by the deadline, whichever is first.
#[test]
fn a_drain_is_bounded_twice() {
    let mut h = Harness::leader();
    h.at(2_000, Input::Resign);
    h.at(5_000, Input::Timeout);
    h.extended(5_010, 2);
    assert_eq!(h.at(7_000, Input::Timeout), [kill(LossReason::Resigned)]);

    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.at(11_000, Input::Timeout);
    assert_eq!(h.at(11_500, Input::Resign), stop(LossReason::Resigned, 12_500, 11_500));
    assert_eq!(h.at(12_500, Input::Timeout), [kill(LossReason::Resigned)]);
}

/// An unhealthy leader hands over; health that comes back changes nothing.
#[test]
fn an_unhealthy_leader_hands_over() {
    let mut h = Harness::leader();
    assert_eq!(h.at(2_000, Input::Health(false)), stop(LossReason::Unhealthy, 7_000, 2_000));
    assert_eq!(h.at(2_001, Input::Health(true)), []);
    assert_eq!(h.at(2_002, Input::WorkEnded), [no_leader(), release(2, 1, 10)]);
}

/// A holder that is asked through the record to resign, does.
#[test]
fn a_resign_request_in_the_record_is_followed() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    let mut expected = extend(18_000);
    expected.extend(stop(LossReason::ResignRequested, 10_010, 5_010));
    let answer = Answer::Renewed(Renewed::Extended { resign_requested: true });
    assert_eq!(h.answer(5_010, 2, answer), expected);
}

/// A refused term kills; the record may still be ours, so it is released, and the next campaign asks for more.
#[test]
fn a_fenced_leader_kills_and_campaigns_above() {
    let mut h = Harness::leader();
    assert_eq!(h.at(1_000, Input::Fenced { slot: None, seen: term(10) }), []);
    let reason = LossReason::Fenced { seen: term(30) };
    assert_eq!(h.at(2_000, Input::Fenced { slot: None, seen: term(30) }), [kill(reason.clone()), loss(reason, 2_000)]);
    assert!(!h.is_current(2_000));
    assert_eq!(h.at(2_001, Input::WorkEnded), [no_leader(), release(2, 1, 10)]);
    assert_eq!(h.freed(2_002, 2), []);
    assert_eq!(h.at(2_003, Input::Campaign), [started(), acquire(3, 2, Some(30))]);
}

/// Work that ends by itself gives the key back.
#[test]
fn work_that_ends_releases() {
    let mut h = Harness::leader();
    assert_eq!(h.at(2_000, Input::WorkEnded), [loss(LossReason::WorkEnded, 2_000), no_leader(), release(2, 1, 10)]);
}

/// The end of work that nobody leads means nothing.
#[test]
fn work_ended_is_ignored_elsewhere() {
    let mut h = Harness::new();
    assert_eq!(h.at(0, Input::WorkEnded), []);
    h.at(1, Input::Campaign);
    assert_eq!(h.at(2, Input::WorkEnded), []);
    assert_eq!(h.elector.standing(), Standing::Candidate);
}

/// The release does not wait for a renewal in flight, whose late answer changes nothing.
#[test]
fn a_release_does_not_wait_for_a_renewal() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    let ended = [loss(LossReason::WorkEnded, 5_010), no_leader(), release(3, 1, 10)];
    assert_eq!(h.at(5_010, Input::WorkEnded), ended);
    assert_eq!(h.extended(5_020, 2), []);
    assert_eq!(h.freed(5_030, 3), []);
}

/// A release is repeated every retry interval until it is answered.
#[test]
fn a_release_is_retried() {
    let mut h = Harness::leader();
    h.at(1_000, Input::WorkEnded);
    assert_eq!(h.failed(1_010, 2), [store_failed("release", "cut")]);
    assert_eq!(h.at(3_000, Input::Timeout), [release(3, 1, 10)]);
    assert_eq!(h.at(6_000, Input::Timeout), [store_failed("release", "no answer in time"), release(4, 1, 10)]);
    assert_eq!(h.answer(6_001, 4, Answer::Released(Released::NotHeld)), []);
    assert_eq!(h.due_ms(), None);
}

/// A release that nobody answers is given up when the lease has certainly run out.
#[test]
fn a_release_is_given_up_when_the_lease_has_ended() {
    let mut h = Harness::leader();
    h.at(1_000, Input::WorkEnded);
    let mut last = 1_000;
    while let Some(due) = h.due_ms() {
        last = due;
        assert!(due < 30_000);
        h.at(due, Input::Timeout);
    }
    assert!((17_000..21_000).contains(&last), "{last}");
    assert_eq!(h.elector.standing(), Standing::Idle);
}

/// A campaign that is wished for during the end of a tenure starts after its release; a resignation takes it back.
#[test]
fn a_campaign_waits_for_the_release() {
    let mut h = Harness::leader();
    h.at(1_000, Input::Resign);
    assert_eq!(h.at(1_001, Input::Campaign), []);
    assert_eq!(h.at(1_002, Input::WorkEnded), [no_leader(), release(2, 1, 10)]);
    assert_eq!(h.freed(1_003, 2), [started(), acquire(3, 2, Some(10))]);

    let mut h = Harness::leader();
    h.at(1_000, Input::WorkEnded);
    h.at(1_001, Input::Campaign);
    h.at(1_002, Input::Resign);
    assert_eq!(h.freed(1_003, 2), []);
    assert_eq!(h.elector.standing(), Standing::Idle);
}

/// Where nothing is to be released, the remembered campaign starts with the end of the work.
#[test]
fn after_a_definite_loss_a_campaign_starts_when_the_work_has_ended() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.lost(5_010, 2, None);
    assert_eq!(h.at(5_011, Input::Campaign), []);
    assert_eq!(h.at(5_012, Input::WorkEnded), [started(), acquire(3, 2, Some(10))]);
}

/// A lease that is to be left runs out after the work, whichever way that ended: nothing is released.
#[test]
fn a_lease_that_is_left_runs_out() {
    for end in
        [None, Some(Input::Resign), Some(Input::Health(false)), Some(Input::Fenced { slot: None, seen: term(30) })]
    {
        let mut h = Harness::leader_that_leaves();
        if let Some(end) = end {
            h.at(1_000, end);
        }
        let outputs = h.at(1_001, Input::WorkEnded);
        assert!(!outputs.iter().any(|output| matches!(output, Output::Send(..))), "{outputs:?}");
        assert_eq!((h.elector.standing(), h.due_ms()), (Standing::Idle, None));
    }
}
