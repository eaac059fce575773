//! Answers that come late, twice, or in another order.

use super::*;

/// A claim that was given up and granted after all counts, from its own sending.
#[test]
fn a_late_grant_counts_from_its_own_sending() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(3_000, Input::Timeout);
    h.at(6_000, Input::Timeout);
    let mut expected = leads(1, 10, 13_000);
    expected.push(renew(3, 1, 10));
    assert_eq!(h.granted(6_100, 1, 10), expected);
    // The repeated claim met its own nonce, and extends.
    assert_eq!(h.granted(6_200, 2, 10), extend(19_000));
}

/// The deadline never moves back.
#[test]
fn a_late_answer_never_shortens_the_deadline() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(3_000, Input::Timeout);
    h.at(6_000, Input::Timeout);
    assert_eq!(h.granted(6_100, 2, 10), leads(1, 10, 19_000));
    assert_eq!(h.granted(6_200, 1, 10), []);
    assert!(h.is_current(18_999));
}

/// A grant for a campaign that was given up is released.
#[test]
fn a_late_grant_that_nobody_wants_is_released() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.at(10, Input::Resign), []);
    assert_eq!(h.granted(20, 1, 10), [release(2, 1, 10)]);
    assert_eq!(h.freed(30, 2), []);
}

/// A grant of an older campaign, found while a newer one runs, is released before the next claim.
#[test]
fn an_older_campaigns_grant_is_released_first() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(10, Input::Resign);
    assert_eq!(h.at(20, Input::Campaign), [started(), acquire(2, 2, None)]);
    assert_eq!(h.granted(30, 1, 10), []);
    assert_eq!(h.held_by(40, 2, "me", 10, 9_000), [leader_changed("me", 10), release(3, 1, 10)]);
    assert_eq!(h.freed(50, 3), [observe(4)]);
    assert_eq!(h.answer(60, 4, Answer::Observed(None)), [no_leader(), acquire(5, 2, Some(10))]);
}

/// A grant under a higher term than the tenure's proves that the tenure is over; it is released after the work.
#[test]
fn a_late_grant_above_our_term_ends_the_tenure() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(3_000, Input::Timeout);
    h.at(6_000, Input::Timeout);
    h.granted(6_100, 2, 10);
    let reason = LossReason::Lost { to: Some(holder("me")) };
    assert_eq!(h.granted(6_200, 1, 11), [kill(reason.clone()), loss(reason, 100)]);
    assert_eq!(h.at(6_300, Input::WorkEnded), [no_leader(), release(3, 1, 11)]);
}

/// A renewal that was given up and answered after all extends, from its own sending, and counts as a success.
#[test]
fn a_late_extension_counts_from_its_own_sending() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.failed(5_500, 2);
    assert_eq!(h.extended(5_600, 2), extend(18_000));
    assert_eq!(h.at(8_000, Input::Timeout), [renew(3, 1, 10)]);
}

/// A renewal that failed after the one that is answered late still counts as failed.
#[test]
fn a_late_extension_does_not_forgive_later_failures() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.failed(5_500, 2);
    h.at(7_000, Input::Timeout);
    h.failed(7_500, 3);
    assert_eq!(h.extended(7_600, 2), extend(18_000));
    h.at(9_000, Input::Timeout);
    h.at(12_000, Input::Timeout);
    let outputs = h.at(13_000, Input::Timeout);
    assert_eq!(outputs, stop(LossReason::RenewalFailed, 17_500, 13_000));
}

/// A late word that the tenure is lost is as definite as a timely one.
#[test]
fn a_late_loss_is_definite() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.failed(5_500, 2);
    let reason = LossReason::Lost { to: None };
    assert_eq!(h.lost(5_600, 2, None), [no_leader(), kill(reason.clone()), loss(reason, 5_600)]);
    assert_eq!(h.elector.held(), None);
}

/// A late "held" whose term is higher than ours is a loss; a lower one is old news.
#[test]
fn a_late_held_is_compared_by_term() {
    for (seen, kills) in [(9, false), (11, true)] {
        let mut h = Harness::new();
        h.at(0, Input::Campaign);
        h.at(3_000, Input::Timeout);
        h.at(6_000, Input::Timeout);
        h.granted(6_100, 2, 10);
        let outputs = h.held_by(6_200, 1, "other", seen, 0);
        assert_eq!(outputs.iter().any(|o| matches!(o, Output::Work(Order::Kill { .. }))), kills);
        assert_eq!(h.is_current(6_200), !kills);
    }
}

/// The second copy of an answer does nothing, and neither does an answer to a request that was never made.
#[test]
fn doubled_and_invented_answers_do_nothing() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.granted(10, 1, 10);
    assert_eq!(h.granted(20, 1, 10), []);
    assert_eq!(h.lost(30, 99, None), []);
    assert!(h.is_current(40));
    h.at(50, Input::Resign);
    h.at(60, Input::WorkEnded);
    h.freed(70, 2);
    assert_eq!(h.freed(80, 2), []);
}

/// A request that reached the store twice, the second time to be told that the tenure is lost, is believed.
#[test]
fn a_second_answer_may_tell_of_the_loss() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.extended(5_010, 2);
    let reason = LossReason::Lost { to: None };
    assert_eq!(h.lost(5_600, 2, None), [no_leader(), kill(reason.clone()), loss(reason, 5_600)]);
}

/// An answer of another kind than the request is a failure of the store.
#[test]
fn an_answer_that_does_not_fit_is_a_failure() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.freed(10, 1), [store_failed("acquire", "the answer does not fit the request")]);
    assert!(h.due_ms().is_some());
}

/// A clock that goes back is not believed.
#[test]
fn time_does_not_go_back() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.extended(5_100, 2);
    h.elector.handle(ms(100), Input::Resign);
    assert_eq!(h.elector.poll(), Some(stop(LossReason::Resigned, 10_100, 5_100).remove(0)));
}
