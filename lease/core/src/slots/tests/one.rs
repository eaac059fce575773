//! One slot is a plain election: the same requests, orders and events at the same times, and no lists.

use super::*;
use crate::{Elector, Output};

fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

fn any_answer(seed: &mut u64) -> Answer {
    let some_term = term(1 + draw(seed, 20));
    match draw(seed, 6) {
        0 | 1 => Answer::Claimed(Claimed::Granted { term: some_term, last_note: None }),
        2 => {
            Answer::Claimed(Claimed::Held { by: holder("other"), term: Some(some_term), remaining: None, bound: None })
        }
        3 => Answer::Renewed(Renewed::Extended { resign_requested: draw(seed, 5) == 0 }),
        4 => Answer::Released(Released::Freed),
        _ => Answer::Failed(Failure { outcome_unknown: draw(seed, 2) == 0, message: "cut".to_string() }),
    }
}

/// Whatever happens, one slot does what its elector would have done.
#[test]
fn one_slot_is_its_elector() {
    for seed in 0..100 {
        let mut seed = seed;
        let mut slots = Harness::new(1).slots;
        let mut elector = Elector::new(crate::ElectorConfig {
            key: slots.keys().all()[0].clone(),
            holder: holder("me"),
            process: PROCESS,
            timing: TimingOptions::default().resolve().unwrap(),
            hold: Duration::ZERO,
            note: Note::default(),
            leave_lease: false,
            hints: true,
            seed: seed_that_begins_with_the_first_slot(1),
        });
        let (mut at, mut id) = (0, 0);
        for _ in 0..200 {
            at += [0, 1, 100, 3_000, 20_000][draw(&mut seed, 5) as usize];
            let input = match draw(&mut seed, 14) {
                0..=2 => Input::Campaign,
                3 => Input::TryCampaign,
                4 => Input::Resign,
                5 => Input::WorkEnded,
                6 => Input::Health(draw(&mut seed, 3) > 0),
                7 => Input::Wake,
                8 => Input::Timeout,
                _ => Input::Answer(RequestId(id), any_answer(&mut seed)),
            };
            elector.handle(Time::from_millis(at), input.clone());
            slots.handle(Time::from_millis(at), input);
            while let Some(output) = elector.poll() {
                let same = match output {
                    Output::Send(sent, request) => {
                        id = sent.0;
                        SlotsOutput::Send(sent, request)
                    }
                    Output::Work(order) => SlotsOutput::Work(0, order),
                    Output::Event(event) => SlotsOutput::Event(Some(0), event),
                };
                assert_eq!(slots.poll(), Some(same));
            }
            assert_eq!(slots.poll(), None);
            assert_eq!(slots.poll_timeout(), elector.poll_timeout());
            assert_eq!(slots.standing(), elector.standing());
            assert_eq!(slots.is_current(Time::from_millis(at)), elector.is_current(Time::from_millis(at)));
            assert_eq!(slots.held(), elector.held());
        }
    }
}
