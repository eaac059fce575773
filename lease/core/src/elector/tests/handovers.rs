//! Requested resignations: the key is left to others for a while, and not longer than they need.
//!
//! With the default ttl of 15 s a candidate stands back for 17 s.

use super::*;
use crate::{LeaseRecord, RecordFormat};

/// A candidate whose work ended at 6 s, after it was asked to resign at 5 s; its release, request 3, is answered and it
/// campaigns again under nonce 2.
fn asked_to_resign() -> Harness {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.asked(5_010, 2);
    assert_eq!(h.at(5_020, Input::Campaign), []);
    assert_eq!(h.at(6_000, Input::WorkEnded), [no_leader(), release(3, 1, 10)]);
    assert_eq!(h.freed(6_010, 3), [started()]);
    assert_eq!(h.elector.standing(), Standing::Candidate);
    h
}

fn held_by_other(remaining_ms: u64) -> Answer {
    Answer::Observed(Some(LeaseRecord {
        nonce: Some(Nonce { process: 8, campaign: 1 }),
        term: Some(term(20)),
        ttl: Some(Duration::from_secs(15)),
        remaining: Some(Duration::from_millis(remaining_ms)),
        ..LeaseRecord::new(LeaseKey::new("key").unwrap(), holder("other"), RecordFormat::Tenure(1))
    }))
}

/// Runs the timers, answers each observation with "nobody", and tells when the first claim is sent.
fn first_claim(h: &mut Harness, hints_every_ms: Option<u64>) -> u64 {
    let mut hint = hints_every_ms.map_or(u64::MAX, |every| 6_020 + every);
    loop {
        let due = h.due_ms().unwrap();
        let (at, input) = if hint < due { (hint, Input::Wake) } else { (due + 1, Input::Timeout) };
        if at == hint {
            hint += hints_every_ms.unwrap();
        }
        for output in h.at(at, input) {
            match output {
                Output::Send(_, Request::Acquire(_)) => return at,
                Output::Send(RequestId(id), Request::Observe(_)) => {
                    assert!(h.answer(at + 1, id, Answer::Observed(None)).is_empty());
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(at < 60_000, "no claim");
    }
}

/// Nobody else takes the key: the first claim comes a ttl and a retry interval after the end of the work, however many
/// hints come meanwhile.
#[test]
fn the_key_is_left_to_others_for_a_bounded_time() {
    for hints in [None, Some(100)] {
        let at = first_claim(&mut asked_to_resign(), hints);
        assert!((23_000..23_300).contains(&at), "{at} {hints:?}");
    }
}

/// Somebody has taken the key: whoever was asked to resign knows the leader, and is a candidate as any other again.
#[test]
fn a_successor_ends_the_standing_back() {
    let mut h = asked_to_resign();
    assert_eq!(h.at(6_020, Input::Wake), [observe(4)]);
    assert_eq!(h.answer(6_030, 4, held_by_other(15_000)), [leader_changed("other", 20)]);
    let due = h.due_ms().unwrap();
    assert!((21_030..=21_280).contains(&due), "{due}");
    assert_eq!(h.at(7_000, Input::Wake), [acquire(5, 2, Some(20))]);
    assert_eq!(h.granted(7_010, 5, 30), leads(2, 30, 20_000));
}

/// A lease with a lower term is no successor's: the store has come back with an older state, and somebody's old lease in it.
#[test]
fn an_older_lease_is_no_successor() {
    // Lower than the one that was led under, or that one itself, which a store minted twice that had forgotten it.
    for older in [9, 10] {
        let mut h = asked_to_resign();
        assert_eq!(h.at(6_020, Input::Wake), [observe(4)]);
        let Answer::Observed(Some(other)) = held_by_other(15_000) else { unreachable!() };
        let answer = Answer::Observed(Some(LeaseRecord { term: Some(term(older)), ..other }));
        assert_eq!(h.answer(6_030, 4, answer), [leader_changed("other", older)]);
        let due = h.due_ms().unwrap();
        assert_eq!(h.at(due, Input::Timeout), [observe(5)]);
        assert_eq!(h.answer(due + 1, 5, Answer::Observed(None)), [no_leader()]);
        let at = first_claim(&mut h, Some(100));
        assert!((23_000..23_300).contains(&at), "{at}");
    }
}

/// What a sink has seen says nothing of who follows: the store's own records do.
#[test]
fn a_sink_s_higher_term_hides_no_successor() {
    let mut h = asked_to_resign();
    assert_eq!(h.at(6_010, Input::Fenced { slot: None, seen: term(1_000) }), []);
    assert_eq!(h.at(6_020, Input::Wake), [observe(4)]);
    assert_eq!(h.answer(6_030, 4, held_by_other(15_000)), [leader_changed("other", 20)]);
    let due = h.due_ms().unwrap();
    assert!((21_030..=21_280).contains(&due), "{due}");
    assert_eq!(h.at(7_000, Input::Wake), [acquire(5, 2, Some(1_000))]);
}

/// Where no hint comes, the successor is looked for by the timer.
#[test]
fn a_successor_is_looked_for_without_hints() {
    let mut h = asked_to_resign();
    assert_eq!(h.due_ms(), Some(8_010));
    assert_eq!(h.at(8_010, Input::Timeout), [observe(4)]);
    assert_eq!(h.answer(8_020, 4, held_by_other(9_000)), [leader_changed("other", 20)]);
    let due = h.due_ms().unwrap();
    assert!((17_020..=17_270).contains(&due), "{due}");
}

/// A request that comes while the work is already stopping counts as well; a holder's own resignation leaves nothing to
/// anybody.
#[test]
fn only_what_was_asked_for_is_left_to_others() {
    let mut h = Harness::leader();
    h.at(4_000, Input::Resign);
    h.at(4_001, Input::Campaign);
    h.at(5_000, Input::Timeout);
    assert_eq!(h.asked(5_010, 2), extend(18_000));
    h.at(6_000, Input::WorkEnded);
    assert_eq!(h.freed(6_010, 3), [started()]);

    let mut h = Harness::leader();
    h.at(1_000, Input::Resign);
    h.at(1_001, Input::Campaign);
    h.at(1_002, Input::WorkEnded);
    assert_eq!(h.freed(1_003, 2), [started(), acquire(3, 2, Some(10))]);
}

/// A lease that was lost leaves nothing to anybody, asked or not.
#[test]
fn a_loss_is_not_made_good_by_standing_back() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.asked(5_010, 2);
    h.at(5_020, Input::Campaign);
    h.at(10_000, Input::Timeout);
    h.lost(10_005, 3, None);
    assert_eq!(h.at(10_006, Input::WorkEnded), [started(), acquire(4, 2, Some(10))]);
}

/// The time is counted from the end of that work: a campaign much later is not put off.
#[test]
fn a_late_campaign_is_not_put_off() {
    let mut h = Harness::leader();
    h.at(5_000, Input::Timeout);
    h.asked(5_010, 2);
    h.at(6_000, Input::WorkEnded);
    h.freed(6_010, 3);
    assert_eq!(h.at(23_001, Input::Campaign), [started(), acquire(4, 2, Some(10))]);
}
