//! Nothing that goes in can make it panic, spin, flood, or work under two slots.

use super::*;

fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn any_record(h: &Harness, seed: &mut u64) -> LeaseRecord {
    let process = if draw(seed, 4) == 0 { PROCESS } else { 8 };
    let record = h.record(draw(seed, 3) as usize, process, draw(seed, 20_000));
    match draw(seed, 8) {
        0 => LeaseRecord { key: LeaseKey::new("k/0/more").unwrap(), ..record },
        1 => LeaseRecord { nonce: None, term: None, remaining: None, format: RecordFormat::Foreign, ..record },
        _ => LeaseRecord { term: Some(term(1 + draw(seed, 20))), ..record },
    }
}

fn any_answer(h: &Harness, seed: &mut u64) -> Answer {
    let some_term = term(1 + draw(seed, 20));
    let name = holder(if draw(seed, 2) == 0 { "me" } else { "other" });
    match draw(seed, 10) {
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
        6 => Answer::Observed((draw(seed, 2) == 0).then(|| any_record(h, seed))),
        7 | 8 => Answer::Listed((0..draw(seed, 6)).map(|_| any_record(h, seed)).collect()),
        _ => Answer::Failed(Failure { outcome_unknown: draw(seed, 2) == 0, message: "cut".to_string() }),
    }
}

/// What a store might answer to this request, if it has made its mind up for good.
fn fitting_answer(h: &Harness, id: RequestId, seed: &mut u64) -> Answer {
    match h.sent.iter().find(|(sent, _)| *sent == id) {
        Some((_, Request::Acquire(_))) => {
            Answer::Claimed(Claimed::Granted { term: term(1 + h.sent.len() as u64), last_note: None })
        }
        Some((_, Request::Renew(_))) => Answer::Renewed(Renewed::Extended { resign_requested: draw(seed, 5) == 0 }),
        Some((_, Request::Release(_))) => Answer::Released(Released::Freed),
        Some((_, Request::List { .. })) => Answer::Listed((0..draw(seed, 3)).map(|_| any_record(h, seed)).collect()),
        Some((_, Request::Observe(_))) | None => Answer::Observed(None),
    }
}

/// Any inputs in any order: few outputs each, the next timeout lies ahead, one slot at a time has work, and one claim or
/// list at a time is sent.
#[test]
fn any_input_is_survived() {
    let mut started = 0;
    for seed in 0..300 {
        let mut seed = seed;
        let mut h = Harness::new(3);
        let (mut at, mut working) = (0, None);
        for _ in 0..400 {
            at += [0, 1, 100, 3_000, 20_000][draw(&mut seed, 5) as usize];
            let id = match h.sent.len() as u64 {
                0 => RequestId(draw(&mut seed, u64::MAX >> 34)),
                sent => h.sent[(sent - 1).saturating_sub(draw(&mut seed, 4)) as usize].0,
            };
            let input = match draw(&mut seed, 18) {
                0..=2 => Input::Campaign,
                3 => Input::TryCampaign,
                4 => Input::Resign,
                5 => Input::WorkEnded,
                6 => Input::Health(draw(&mut seed, 3) > 0),
                7 => Input::Wake,
                8 => {
                    // No slot, one of them, or one that there is not.
                    let slot = usize::try_from(draw(&mut seed, 6)).unwrap().checked_sub(1);
                    Input::Fenced { slot, seen: term(1 + draw(&mut seed, 20)) }
                }
                9 => Input::Note(Note::new("note").unwrap()),
                10..=12 => Input::Timeout,
                13 | 14 => Input::Answer(id, any_answer(&h, &mut seed)),
                _ => Input::Answer(id, fitting_answer(&h, id, &mut seed)),
            };
            let ended = matches!(input, Input::WorkEnded);
            let told = h.at(at, input);
            assert!(told.len() <= 16, "{told:?}");
            assert!(told.iter().filter(|told| matches!(told, Told::Claim(_) | Told::List)).count() <= 1, "{told:?}");
            for told in told {
                match told {
                    Told::Start(slot) => {
                        assert_eq!(working.replace(slot), None);
                        started += 1;
                    }
                    Told::Extend(slot) | Told::Stop(slot) | Told::Kill(slot) => assert_eq!(working, Some(slot)),
                    Told::Claim(_) | Told::List => assert!(working.is_none() || ended),
                    _ => {}
                }
            }
            // What was due by then came before the input.
            if ended {
                working = None;
            }
            assert_eq!(h.slots.leading(), working);
        }
    }
    assert!(started > 200, "{started}");
}

/// The ends of time are ordinary values, and so are all request ids.
#[test]
fn extremes_are_survived() {
    let mut h = Harness::leader(2);
    for input in [Input::Timeout, Input::WorkEnded, Input::Campaign, Input::Wake, Input::Timeout] {
        h.slots.handle(Time::MAX, input);
    }
    for id in [0, 1, 2, u64::MAX - 1, u64::MAX].map(RequestId) {
        h.slots.handle(Time::MAX, Input::Answer(id, Answer::Listed(Vec::new())));
    }
    assert!(!h.slots.is_current(Time::MAX));
}
