//! Nothing that goes in can make it panic, spin, or flood.

use super::*;
use crate::{LeaseRecord, RecordFormat};

fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn any_answer(seed: &mut u64) -> Answer {
    let some_term = term(1 + draw(seed, 20));
    let name = holder(if draw(seed, 2) == 0 { "me" } else { "other" });
    match draw(seed, 8) {
        0 | 1 => Answer::Claimed(Claimed::Granted { term: some_term, last_note: None }),
        2 => Answer::Claimed(Claimed::Held {
            by: name,
            term: Some(some_term),
            remaining: Some(Duration::MAX),
            bound: None,
        }),
        3 => Answer::Renewed(Renewed::Extended { resign_requested: draw(seed, 5) == 0 }),
        4 => Answer::Renewed(Renewed::Lost { to: Some(name) }),
        5 => Answer::Released(Released::NotHeld),
        6 => Answer::Observed((draw(seed, 2) == 0).then(|| LeaseRecord {
            nonce: Some(nonce(draw(seed, 4))),
            term: Some(some_term),
            ..LeaseRecord::new(LeaseKey::new("key").unwrap(), name, RecordFormat::Foreign)
        })),
        _ => Answer::Failed(Failure { outcome_unknown: draw(seed, 2) == 0, message: String::new() }),
    }
}

/// Any inputs in any order: few outputs each, the next timeout lies ahead, and at most one tenure has work at a time,
/// started once, told to stop at most once, and never released before its end.
#[test]
fn any_input_is_survived() {
    for seed in 0..300 {
        let mut seed = seed;
        let mut h = Harness::new();
        let (mut at, mut id, mut working) = (0, 0, false);
        for _ in 0..400 {
            at += [0, 1, 100, 3_000, 20_000][draw(&mut seed, 5) as usize];
            let input = match draw(&mut seed, 17) {
                0..=2 => Input::Campaign,
                16 => Input::TryCampaign,
                3 => Input::Resign,
                4 => Input::WorkEnded,
                5 => Input::Health(draw(&mut seed, 3) > 0),
                6 => Input::Wake,
                7 => Input::Fenced { slot: None, seen: term(1 + draw(&mut seed, 20)) },
                8..=10 => Input::Timeout,
                _ => Input::Answer(RequestId(id + 2 - draw(&mut seed, 4).min(id + 2)), any_answer(&mut seed)),
            };
            // What is due by then comes before the input.
            let ended = matches!(input, Input::WorkEnded);
            for output in h.at(at, input) {
                match output {
                    Output::Send(RequestId(sent), request) => {
                        id = sent;
                        assert!(!working || ended || matches!(request, Request::Renew(_)), "{request:?}");
                    }
                    Output::Work(Order::Start { .. }) => {
                        assert!(!working);
                        working = true;
                    }
                    Output::Work(_) => assert!(working),
                    Output::Event(_) => {}
                }
            }
            working &= !ended;
        }
    }
}

/// The ends of time and of the terms are ordinary values.
#[test]
fn extremes_are_survived() {
    let mut h = Harness::leader();
    h.elector.handle(Time::MAX, Input::Timeout);
    h.elector.handle(Time::MAX, Input::Fenced { slot: None, seen: term(Term::LIMIT - 1) });
    h.elector.handle(Time::MAX, Input::WorkEnded);
    h.elector.handle(Time::MAX, Input::Campaign);
    assert!(!h.elector.is_current(Time::MAX));
}
