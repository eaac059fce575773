//! Hints: a list at once, and never a flood of them.

use super::*;

fn waiting() -> Harness {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.listed(0, &[(0, 60_000), (1, 60_000)]);
    h
}

/// A hint leads to a list at once.
#[test]
fn a_hint_leads_to_a_list() {
    let mut h = waiting();
    assert_eq!(h.at(500, Input::Wake), [Told::List]);
    assert_eq!(h.listed(510, &[(1, 60_000)]), [Told::Claim(0)]);
}

/// A hint while a list is under way leads to exactly one more.
#[test]
fn a_hint_during_a_list_is_not_lost() {
    let mut h = waiting();
    h.at(500, Input::Wake);
    assert_eq!(h.at(501, Input::Wake), []);
    assert_eq!(h.at(502, Input::Wake), []);
    assert_eq!(h.listed(510, &[(0, 60_000), (1, 60_000)]), [Told::List]);
    assert_eq!(h.listed(520, &[(0, 60_000), (1, 60_000)]), []);
    assert!(h.due_ms().unwrap() >= 60_520);
}

/// However many hints come, they cause a handful of lists at once, and then one per eighth of the retry interval.
#[test]
fn storms_of_hints_are_bounded() {
    let mut h = waiting();
    let mut lists = 0;
    for at in 1..=1_000 {
        for input in [Input::Wake, Input::Timeout] {
            for told in h.at(at, input) {
                assert_eq!(told, Told::List);
                lists += 1;
                h.listed(at, &[(0, 60_000), (1, 60_000)]);
            }
        }
    }
    assert_eq!(lists, 4 + 3);
}

/// Without a campaign hints start nothing, nor while a slot is held.
#[test]
fn a_hint_starts_nothing() {
    let mut h = Harness::new(2);
    assert_eq!(h.at(0, Input::Wake), []);
    let mut h = Harness::leader(2);
    assert_eq!(h.at(10, Input::Wake), []);
}
