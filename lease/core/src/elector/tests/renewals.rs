//! Renewals: when they are sent, how the deadline moves, what their failure means.

use super::*;

/// Renewals are sent a renew interval after the sending of the one before, and move the deadline.
#[test]
fn a_renewal_extends_from_its_sending() {
    let mut h = Harness::leader();
    assert_eq!(h.due_ms(), Some(5_000));
    assert_eq!(h.at(5_000, Input::Timeout), [renew(2, 1, 10)]);
    assert_eq!(h.extended(5_900, 2), extend(18_000));
    assert_eq!(h.due_ms(), Some(10_000));
    assert!(h.is_current(17_999) && !h.is_current(18_000));
}

/// A failed renewal is repeated every retry interval, counted from its sending.
#[test]
fn a_failed_renewal_is_retried() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    assert_eq!(h.failed(5_100, 2), [store_failed("renew", "cut")]);
    assert_eq!(h.due_ms(), Some(7_000));
    assert_eq!(h.at(7_000, Input::Timeout), [renew(3, 1, 10)]);

    // After a slow failure the interval has passed already.
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    assert_eq!(h.failed(7_500, 2), [store_failed("renew", "cut"), renew(3, 1, 10)]);
}

/// Once a renewal has failed, stopping begins a stop timeout before the deadline, and the kill comes shortly before it.
#[test]
fn failing_renewals_stop_then_kill() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.failed(5_100, 2);
    h.at(7_000, Input::Timeout);
    h.failed(7_100, 3);
    assert_eq!(h.due_ms(), Some(8_000));
    assert_eq!(h.at(8_000, Input::Timeout), stop(LossReason::RenewalFailed, 12_500, 8_000));
    assert_eq!(h.at(9_000, Input::Timeout), [renew(4, 1, 10)]);
    h.failed(9_100, 4);
    assert_eq!(h.at(11_000, Input::Timeout), [renew(5, 1, 10)]);
    assert!(h.is_current(12_499));
    assert_eq!(h.at(12_500, Input::Timeout), [kill(LossReason::RenewalFailed)]);
    assert!(!h.is_current(12_500));
}

/// An unanswered renewal ends its wait exactly where stopping must begin.
#[test]
fn an_unanswered_renewal_stops_in_time() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    assert_eq!(h.due_ms(), Some(8_000));
    let mut expected = alloc::vec![store_failed("renew", "no answer in time")];
    expected.extend(stop(LossReason::RenewalFailed, 12_500, 8_000));
    expected.push(renew(3, 1, 10));
    assert_eq!(h.at(8_000, Input::Timeout), expected);
}

/// Success clears the failure: stopping does not begin.
#[test]
fn a_renewal_that_succeeds_in_time_stops_nothing() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.failed(5_100, 2);
    h.at(7_000, Input::Timeout);
    assert_eq!(h.extended(7_900, 3), extend(20_000));
    assert_eq!(h.at(8_500, Input::Timeout), []);
    assert_eq!(h.due_ms(), Some(12_000));
}

/// A stop cannot be taken back: a renewal that succeeds only keeps the key while the work drains.
#[test]
fn a_stop_is_not_taken_back() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.failed(5_100, 2);
    h.at(7_000, Input::Timeout);
    h.at(8_000, Input::Timeout);
    assert_eq!(h.extended(8_100, 3), extend(20_000));
    // The stop timeout counts from the order, not from the deadline that moved.
    assert_eq!(h.at(12_000, Input::Timeout), [renew(4, 1, 10)]);
    h.extended(12_001, 4);
    assert_eq!(h.at(13_000, Input::Timeout), [kill(LossReason::RenewalFailed)]);
    assert_eq!(h.at(13_010, Input::WorkEnded), [no_leader(), release(5, 1, 10)]);
    assert_eq!(h.freed(13_020, 5), []);
    assert_eq!(h.elector.standing(), Standing::Idle);
}

/// After a pause past the moment of stopping the leader renews first, and stops only once that fails.
#[test]
fn after_a_pause_a_renewal_comes_first() {
    let mut h = Harness::leader();
    assert_eq!(h.at(10_000, Input::Timeout), [renew(2, 1, 10)]);
    assert_eq!(h.extended(10_010, 2), extend(23_000));

    let mut h = Harness::leader();
    h.at(10_000, Input::Timeout);
    let mut expected = alloc::vec![store_failed("renew", "cut")];
    expected.extend(stop(LossReason::RenewalFailed, 12_500, 10_100));
    assert_eq!(h.failed(10_100, 2), expected);
}

/// A pause during a renewal says nothing about the store: it is repeated before anything is stopped.
#[test]
fn a_pause_during_a_renewal_is_not_its_failure() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    let outputs = h.at(11_000, Input::Timeout);
    assert_eq!(outputs, [store_failed("renew", "no answer in time"), renew(3, 1, 10)]);
    // Its own late answer still counts, from its own sending.
    assert_eq!(h.extended(11_001, 2), extend(18_000));
    assert_eq!(h.extended(11_002, 3), extend(24_000));
}

/// A pause past the kill time kills, whatever answer comes with it.
#[test]
fn a_pause_past_the_deadline_kills() {
    for input in
        [Input::Timeout, Input::Answer(RequestId(2), Answer::Renewed(Renewed::Extended { resign_requested: false }))]
    {
        let mut h = Harness::leader();
        h.at(5_000, Input::Timeout);
        let outputs = h.at(13_000, input);
        assert_eq!(outputs[..2], [kill(LossReason::Expired), loss(LossReason::Expired, 13_000)]);
        assert!(!h.is_current(13_000));
    }
}

/// Work that does not die keeps its key: nothing is released, renewals go on, it is not current.
#[test]
fn nothing_is_released_before_the_work_has_ended() {
    let mut h = Harness::leader();
    h.at(12_500, Input::Timeout);
    let mut renewals = 0;
    for at in (13_000..60_000).step_by(500) {
        for output in h.at(at, Input::Timeout) {
            match output {
                Output::Send(_, Request::Renew(_)) => renewals += 1,
                Output::Send(_, other) => panic!("{other:?}"),
                _ => {}
            }
        }
        assert!(!h.is_current(at));
    }
    assert!(renewals > 10);
    let outputs = h.at(60_000, Input::WorkEnded);
    assert!(matches!(outputs[..], [_, Output::Send(_, Request::Release(_))]), "{outputs:?}");
}

/// The first note goes out at once, a new one with the next renewal, and with the release.
#[test]
fn the_latest_note_is_written() {
    let mut h = Harness::leader();
    let outputs = h.at(1, Input::Note(Note::new("0").unwrap()));
    assert_eq!(outputs, [Output::Send(RequestId(2), Request::Renew(held(1, 10, "0")))]);
    h.extended(2, 2);
    assert_eq!(h.at(3, Input::Note(Note::new("a").unwrap())), []);
    assert_eq!(h.at(5_001, Input::Timeout), [Output::Send(RequestId(3), Request::Renew(held(1, 10, "a")))]);
    h.extended(5_001, 3);
    h.at(5_002, Input::Note(Note::new("b").unwrap()));
    h.at(5_003, Input::Resign);
    let outputs = h.at(5_004, Input::WorkEnded);
    assert_eq!(outputs, [no_leader(), Output::Send(RequestId(4), Request::Release(held(1, 10, "b")))]);
}

/// The first note is written at once; where a renewal is in flight, right after its answer.
#[test]
fn the_first_note_follows_the_renewal_in_flight() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    assert_eq!(h.at(5_001, Input::Note(Note::new("a").unwrap())), []);
    let mut expected = extend(18_000);
    expected.push(Output::Send(RequestId(3), Request::Renew(held(1, 10, "a"))));
    assert_eq!(h.extended(5_002, 2), expected);
    h.extended(5_003, 3);
    assert_eq!(h.due_ms(), Some(10_002));
}

/// With a grace period the deadline is the renew interval plus that period.
#[test]
fn a_grace_period_shortens_the_deadline() {
    let h =
        Harness::leader_with(TimingOptions { grace_period: Some(Duration::from_secs(3)), ..TimingOptions::default() });
    assert!(h.is_current(7_999) && !h.is_current(8_000));
    assert_eq!(h.timing().validity(), Duration::from_secs(8));
}
