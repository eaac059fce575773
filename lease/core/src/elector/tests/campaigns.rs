//! Campaigns: claims, retries, wake-ups, the health gate.

use super::*;

/// A campaign says so and claims at once, and a grant leads: event before order, deadline from the sending.
#[test]
fn a_grant_leads_until_sending_plus_validity() {
    let mut h = Harness::new();
    assert_eq!(h.at(1_000, Input::Campaign), [started(), acquire(1, 1, None)]);
    assert_eq!(h.elector.standing(), Standing::Candidate);
    assert_eq!(h.granted(1_900, 1, 10), leads(1, 10, 14_000));
    assert!(h.is_current(13_999) && !h.is_current(14_000));
    assert_eq!(h.elector.held(), Some(held(1, 10, "")));
}

/// A second wish changes nothing while campaigning or leading.
#[test]
fn a_campaign_is_started_once() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.at(1, Input::Campaign), []);
    h.granted(2, 1, 10);
    assert_eq!(h.at(3, Input::Campaign), []);
}

/// Every campaign has a nonce of its own; a lost one is not started again by itself.
#[test]
fn each_campaign_takes_a_fresh_nonce() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.lost(5_001, 2, None);
    h.at(5_002, Input::WorkEnded);
    assert_eq!(h.elector.standing(), Standing::Idle);
    assert_eq!(h.due_ms(), None);
    assert_eq!(h.at(6_000, Input::Campaign), [started(), acquire(3, 2, Some(10))]);
}

/// After "held" the next claim waits for what remains, at least the retry interval, plus a little; it repeats the nonce
/// and asks for more than the highest term seen.
#[test]
fn a_held_key_is_claimed_again_when_it_can_be_free() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.held_by(10, 1, "other", 40, 9_000), [leader_changed("other", 40)]);
    let due = h.due_ms().unwrap();
    assert!((9_010..=9_260).contains(&due), "{due}");
    assert_eq!(h.at(due + 1, Input::Timeout), [acquire(2, 1, Some(40))]);
    h.held_by(10_000, 2, "other", 40, 1);
    let due = h.due_ms().unwrap();
    assert!((12_000..=12_250).contains(&due), "{due}");
}

/// Where nobody tells of a release, the next claim waits for the retry interval alone, whatever remains: in an hour a standby
/// asks 1,800 times at most.
#[test]
fn without_hints_a_held_key_is_claimed_at_every_retry_interval() {
    let config = ElectorConfig { hints: false, ..Harness::config(TimingOptions::default()) };
    let mut h = Harness { elector: Elector::new(config) };
    h.at(0, Input::Campaign);
    let (mut now, mut asked) = (10, 0);
    while now < 3_600_000 {
        asked += 1;
        h.held_by(now, asked, "other", 40, 15_000);
        let due = h.due_ms().unwrap();
        assert!((now + 2_000..=now + 2_250).contains(&due), "{due} at {now}");
        now = due + 1;
        assert_eq!(h.at(now, Input::Timeout), [acquire(asked + 1, 1, Some(40))]);
    }
    assert!((1_600..=1_800).contains(&asked), "{asked}");
}

/// Where the store cannot say what remains, the retry interval counts; where it says absurdly much, a day does.
#[test]
fn the_timer_remains_whatever_the_store_says() {
    for (remaining, least) in [(None, 2_000), (Some(Duration::MAX), 24 * 60 * 60 * 1_000)] {
        let mut h = Harness::new();
        h.at(0, Input::Campaign);
        h.answer(0, 1, Answer::Claimed(Claimed::Held { by: holder("other"), term: None, remaining, bound: None }));
        let due = h.due_ms().unwrap();
        assert!((least..=least + 250).contains(&due), "{due}");
    }
}

/// A leader that did not change is not told twice; a new term is.
#[test]
fn leader_changes_are_told_once() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.held_by(0, 1, "other", 40, 0), [leader_changed("other", 40)]);
    h.at(3_000, Input::Timeout);
    assert_eq!(h.held_by(3_000, 2, "other", 40, 0), []);
    h.at(6_000, Input::Timeout);
    assert_eq!(h.held_by(6_000, 3, "other", 41, 0), [leader_changed("other", 41)]);
    assert_eq!(*h.elector.observed(), Observed { leader: Some(holder("other")), term: Some(term(41)) });
}

/// A failed claim is told and repeated after the retry interval, with the same nonce.
#[test]
fn a_failed_claim_is_repeated() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.failed(100, 1), [store_failed("acquire", "cut")]);
    let due = h.due_ms().unwrap();
    assert!((2_100..=2_350).contains(&due), "{due}");
    assert_eq!(h.at(due + 1, Input::Timeout), [acquire(2, 1, None)]);
    assert_eq!(h.granted(due + 2, 2, 10), leads(1, 10, due + 1 + 13_000));
}

/// A claim that nobody answers counts as failed after the request timeout, driver or no driver.
#[test]
fn an_unanswered_claim_is_given_up() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.due_ms(), Some(3_000));
    assert_eq!(h.at(3_000, Input::Timeout), [store_failed("acquire", "no answer in time")]);
    // The driver's own word for it comes a moment later and changes nothing.
    assert_eq!(h.failed(3_001, 1), []);
}

/// A wake-up claims at once, once.
#[test]
fn a_wake_claims_at_once() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.held_by(10, 1, "other", 40, 9_000);
    assert_eq!(h.at(500, Input::Wake), [acquire(2, 1, Some(40))]);
    h.held_by(510, 2, "other", 40, 8_500);
    assert!(h.due_ms().unwrap() >= 9_010);
}

/// A wake-up during a claim leads to exactly one more, right after its answer.
#[test]
fn a_wake_during_a_claim_is_not_lost() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.at(1, Input::Wake), []);
    assert_eq!(h.at(2, Input::Wake), []);
    assert_eq!(h.held_by(10, 1, "other", 40, 9_000), [leader_changed("other", 40), acquire(2, 1, Some(40))]);
    assert_eq!(h.held_by(20, 2, "other", 40, 9_000), []);
    assert!(h.due_ms().unwrap() >= 9_020);
}

/// However many wake-ups come, they cause a handful of claims at once, and then one per eighth of the retry interval.
#[test]
fn wake_storms_are_bounded() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.held_by(0, 1, "other", 40, 60_000);
    let mut claims = 0;
    for at in 1..=1_000 {
        for input in [Input::Wake, Input::Timeout] {
            for output in h.at(at, input) {
                if let Output::Send(RequestId(id), _) = output {
                    claims += 1;
                    h.held_by(at, id, "other", 40, 60_000);
                }
            }
        }
    }
    assert_eq!(claims, 4 + 3);
}

/// An elector that does not campaign takes no hint.
#[test]
fn a_wake_does_not_start_anything() {
    let mut h = Harness::new();
    assert_eq!(h.at(0, Input::Wake), []);
    assert_eq!(h.due_ms(), None);
    let mut h = Harness::leader();
    assert_eq!(h.at(10, Input::Wake), []);
}

/// A candidate that stands back does so before its first claim, after a hint, and after what remains.
#[test]
fn claim_delay_is_added_everywhere() {
    let delay = Duration::from_millis(700);
    let mut h = Harness::with(TimingOptions { claim_delay: Some(delay), ..TimingOptions::default() });
    assert_eq!(h.at(0, Input::Campaign), [started()]);
    assert_eq!(h.due_ms(), Some(700));
    assert_eq!(h.at(700, Input::Timeout), [acquire(1, 1, None)]);
    h.held_by(700, 1, "other", 40, 5_000);
    assert!(h.due_ms().unwrap() >= 6_400);
    assert_eq!(h.at(1_000, Input::Wake), []);
    assert_eq!(h.at(1_200, Input::Wake), []);
    assert_eq!(h.at(1_700, Input::Timeout), [acquire(2, 1, Some(40))]);
}

/// A grant that comes when there is no time left to work is given back, and the campaign goes on under a new nonce.
#[test]
fn a_grant_that_came_too_late_is_given_back() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(3_000, Input::Timeout);
    assert_eq!(h.granted(12_500, 1, 10), [release(2, 1, 10)]);
    assert_eq!(h.elector.standing(), Standing::Candidate);
    assert_eq!(h.freed(12_510, 2), [acquire(3, 2, Some(10))]);
    assert_eq!(h.granted(12_520, 3, 11), leads(2, 11, 25_510));
}

/// A grant under a term lower than one that was seen would be fenced: it is given back.
#[test]
fn a_grant_below_a_seen_term_is_given_back() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    assert_eq!(h.at(1, Input::Fenced { slot: None, seen: term(50) }), []);
    assert_eq!(h.granted(2, 1, 10), [release(2, 1, 10)]);
    assert_eq!(h.freed(3, 2), [acquire(3, 2, Some(50))]);
}

/// An unhealthy candidate does not claim; the campaign goes on once it is healthy.
#[test]
fn the_health_gate_holds_back_claims() {
    let mut h = Harness::new();
    assert_eq!(h.at(0, Input::Health(false)), []);
    assert_eq!(h.at(1, Input::Campaign), [started()]);
    assert_eq!(h.due_ms(), None);
    assert_eq!(h.at(5_000, Input::Wake), []);
    assert_eq!(h.at(9_000, Input::Health(true)), [acquire(1, 1, None)]);
}

/// A grant that meets a closed gate is given back without any work; the campaign stays.
#[test]
fn a_grant_while_unhealthy_is_given_back() {
    let mut h = Harness::new();
    h.at(0, Input::Campaign);
    h.at(1, Input::Health(false));
    assert_eq!(h.granted(2, 1, 10), [release(2, 1, 10)]);
    assert_eq!(h.freed(3, 2), []);
    assert_eq!(h.elector.standing(), Standing::Candidate);
    assert_eq!(h.at(9_000, Input::Health(true)), [acquire(3, 2, Some(10))]);
}
