//! Campaigns: a list, claims one after the other, and the wait for the next list.

use super::*;

/// A campaign lists the slots and claims the first that looks free; a grant leads.
#[test]
fn the_first_free_slot_is_claimed() {
    let mut h = Harness::new(3);
    assert_eq!(h.at(1_000, Input::Campaign), [started(), Told::List]);
    assert_eq!(h.slots.standing(), Standing::Candidate);
    let (_, request) = h.sent[0].clone();
    let keys = h.slots.keys().clone();
    assert_eq!(request, Request::List { prefix: keys.prefix().clone(), keys: keys.all().clone() });
    assert_eq!(h.listed(1_010, &[(0, 9_000)]), [Told::Claim(1)]);
    let told = h.granted(1_020, 30);
    assert!(told.contains(&Told::Start(1)), "{told:?}");
    assert_eq!(h.slots.leading(), Some(1));
    assert!(h.slots.is_current(Time::from_millis(14_009)) && !h.slots.is_current(Time::from_millis(14_010)));
    assert_eq!(h.slots.held().unwrap().key, keys.all()[1]);
    assert_eq!(*h.slots.electors()[0].observed().leader.as_ref().unwrap(), holder("other"));
}

/// A slot that somebody took meanwhile is passed over, and no two claims are under way at once.
#[test]
fn claims_come_one_after_the_other() {
    let mut h = Harness::new(3);
    h.at(0, Input::Campaign);
    assert_eq!(h.listed(10, &[]), [Told::Claim(0)]);
    assert_eq!(h.at(11, Input::Wake), []);
    assert_eq!(h.at(12, Input::Campaign), []);
    assert_eq!(h.held(20, 9_000), [held_by_other(0), Told::Claim(1)]);
    assert_eq!(h.held(30, 8_000), [held_by_other(1), Told::Claim(2)]);
    // The hint came after the list: it leads to another one.
    assert_eq!(h.held(40, 12_000), [held_by_other(2), none_free(), Told::List]);
}

/// Where all are held the next list comes when the first lease can have run out, a retry interval at the least.
#[test]
fn the_next_list_comes_when_the_first_lease_runs_out() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    assert_eq!(h.listed(10, &[(0, 9_000), (1, 7_000)]), [none_free()]);
    let (at, told) = h.next();
    assert!((7_010..=7_260).contains(&at), "{at}");
    assert_eq!(told, [Told::List]);
    // That none is free is not told again.
    assert_eq!(h.listed(7_300, &[(0, 1), (1, 12_000)]), []);
    let (at, told) = h.next();
    assert!((9_300..=9_550).contains(&at), "{at}");
    assert_eq!(told, [Told::List]);
}

/// Where nobody tells of a release, the next list comes after the retry interval, whatever remains.
#[test]
fn without_hints_the_next_list_comes_after_the_retry_interval() {
    let mut h = Harness::without_hints(2);
    h.at(0, Input::Campaign);
    assert_eq!(h.listed(10, &[(0, 9_000), (1, 7_000)]), [none_free()]);
    let (at, told) = h.next();
    assert!((2_010..=2_260).contains(&at), "{at}");
    assert_eq!(told, [Told::List]);
}

/// What is left of a lease counts wherever it was told, and the retry interval where it was not.
#[test]
fn a_claim_s_answer_tells_when_to_look_too() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.listed(0, &[(1, 12_000)]);
    assert_eq!(h.held(10, 5_000), [held_by_other(0), none_free()]);
    let due = h.due_ms().unwrap();
    assert!((5_010..=5_261).contains(&due), "{due}");

    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    let unknown = |slot| LeaseRecord { remaining: None, ..h.record(slot, 8, 0) };
    let records = alloc::vec![unknown(0), unknown(1)];
    h.answer(0, Answer::Listed(records));
    let due = h.due_ms().unwrap();
    assert!((2_000..=2_251).contains(&due), "{due}");
}

/// However absurd the store's word, the timer remains.
#[test]
fn the_timer_remains_whatever_the_store_says() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.listed(0, &[(0, u64::MAX), (1, u64::MAX)]);
    let day = 24 * 60 * 60 * 1_000;
    let due = h.due_ms().unwrap();
    assert!((day..=day + 251).contains(&due), "{due}");
}

/// Of a record that does not tell how long it lasts the retry interval is assumed, however long the others last.
#[test]
fn a_lease_of_unknown_length_is_looked_at_again() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    let unknown = LeaseRecord { remaining: None, ..h.record(0, 8, 0) };
    let records = alloc::vec![unknown, h.record(1, 8, 3_600_000)];
    h.answer(0, Answer::Listed(records));
    let due = h.due_ms().unwrap();
    assert!((2_000..=2_251).contains(&due), "{due}");
}

/// A list that is answered while a lease of ours is given back is old by then; the next one follows the release at once.
#[test]
fn a_list_during_a_release_is_made_anew() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.listed(10, &[]);
    let claim = h.sent.last().unwrap().0;
    // The claim of slot 0 gets no answer, that of slot 1 is refused, and the next list goes out.
    let (at, told) = h.next();
    assert!(told.contains(&Told::Claim(1)), "{told:?} at {at}");
    h.held(at + 10, 12_000);
    let (at, told) = h.next();
    assert_eq!(told, [Told::List]);
    let list = h.sent.last().unwrap().0;
    let late = Answer::Claimed(Claimed::Granted { term: term(30), last_note: None });
    let told = h.at(at + 10, Input::Answer(claim, late));
    assert_eq!(told, [Told::Release(0)]);
    assert_eq!(h.at(at + 20, Input::Answer(list, Answer::Listed(Vec::new()))), []);
    assert_eq!(h.answer(at + 30, Answer::Released(Released::Freed)), [Told::List]);
}

/// Where the store cannot list, some slots are claimed all the same; the first claim that fails too ends that, and the next time
/// others come first.
#[test]
fn a_store_that_cannot_list_is_asked_by_claims() {
    let mut h = Harness::new(3);
    h.at(0, Input::Campaign);
    assert_eq!(h.failed(10), [store_failed(None, "list"), Told::Claim(0)]);
    assert_eq!(h.held(20, 9_000), [held_by_other(0), Told::Claim(1)]);
    let told = h.failed(30);
    assert!(!told.iter().any(|told| matches!(told, Told::Claim(_))), "{told:?}");
    let (at, told) = h.next();
    assert!((2_030..=2_281).contains(&at), "{at}");
    assert_eq!(told, [Told::List]);
    assert_eq!(h.failed(at + 10), [store_failed(None, "list"), Told::Claim(2)]);
    let told = h.granted(at + 20, 30);
    assert!(told.contains(&Told::Start(2)), "{told:?}");
}

/// A list that fails is told and repeated; that nothing is free is told again after it.
#[test]
fn a_failed_list_is_repeated() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.listed(0, &[(0, 9_000), (1, 9_000)]);
    h.next();
    assert_eq!(h.failed(9_300), [store_failed(None, "list"), Told::Claim(0)]);
    h.failed(9_310);
    let (at, told) = h.next();
    assert!((11_310..=11_561).contains(&at), "{at}");
    assert_eq!(told, [Told::List]);
    assert_eq!(h.listed(11_600, &[(0, 9_000), (1, 9_000)]), [none_free()]);
}

/// A list that nobody answers counts as failed; its late answer is as good as any, once no claim is under way.
#[test]
fn a_late_list_counts() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    let (at, told) = h.next();
    assert_eq!(at, 6_000);
    assert!(
        matches!(&told[..], [Told::Event(None, Event::StoreFailed { verb: "list", .. }), Told::Claim(0)]),
        "{told:?}"
    );
    h.failed(6_010);
    let list = h.sent[0].0;
    let held = alloc::vec![h.record(0, 8, 5_000)];
    assert_eq!(h.at(7_000, Input::Answer(list, Answer::Listed(held))), [Told::Claim(1)]);
    // But not twice.
    assert_eq!(h.at(7_001, Input::Answer(list, Answer::Listed(Vec::new()))), []);
}

/// An answer that does not fit is a failure.
#[test]
fn an_answer_of_another_kind_is_a_failure() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    let told = h.answer(1, Answer::Observed(None));
    assert!(matches!(told[0], Told::Event(None, Event::StoreFailed { verb: "list", .. })), "{told:?}");
}

/// A claim that failed is told, and the next free slot is claimed; the next list comes after a retry interval.
#[test]
fn a_failed_claim_does_not_end_the_search() {
    let mut h = Harness::new(3);
    h.at(0, Input::Campaign);
    h.listed(0, &[(1, 9_000)]);
    assert_eq!(h.failed(10), [store_failed(Some(0), "acquire"), Told::Claim(2)]);
    assert_eq!(h.held(20, 9_000), [held_by_other(2)]);
    let due = h.due_ms().unwrap();
    assert!((2_020..=2_271).contains(&due), "{due}");
}

/// A store that fails four claims counts as away, and the next search begins behind them.
#[test]
fn the_search_moves_on_past_failing_slots() {
    let mut h = Harness::new(6);
    h.at(0, Input::Campaign);
    assert_eq!(h.listed(0, &[]), [Told::Claim(0)]);
    for slot in 0..3 {
        assert_eq!(h.failed(1), [store_failed(Some(slot), "acquire"), Told::Claim(slot + 1)]);
    }
    assert_eq!(h.failed(2), [store_failed(Some(3), "acquire")]);
    assert_eq!(h.next().1, [Told::List]);
    assert_eq!(h.listed(2_300, &[]), [Told::Claim(4)]);
}

/// A claim whose reply was lost is settled while the search goes on: what was granted late is released at once.
#[test]
fn a_lost_claim_leaves_no_lease() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.listed(0, &[]);
    let lost = h.sent.last().unwrap().0;
    let (at, told) = h.next();
    assert_eq!((at, told.last()), (3_000, Some(&Told::Claim(1))));
    assert!(h.granted(3_010, 30).contains(&Told::Start(1)));
    let granted = Answer::Claimed(Claimed::Granted { term: term(29), last_note: None });
    assert_eq!(h.at(3_020, Input::Answer(lost, granted)), [Told::Release(0)]);
    assert_eq!(h.slots.leading(), Some(1));
}

/// A lease of this process that a list shows and nobody wants is released, and only then the search goes on.
#[test]
fn an_orphan_in_a_list_is_released_first() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    let orphan = h.record(0, PROCESS, 9_000);
    assert_eq!(h.answer(10, Answer::Listed(alloc::vec![orphan])), [Told::Release(0)]);
    assert_eq!(h.answer(20, Answer::Released(Released::Freed)), [Told::List]);
}

/// Candidates with different seeds begin their search with different slots.
#[test]
fn the_search_begins_where_the_seed_says() {
    let first = |seed| {
        let h = Harness::new(8);
        let config = SlotsConfig {
            keys: h.slots.keys().clone(),
            holder: holder("me"),
            process: PROCESS,
            timing: TimingOptions::default().resolve().unwrap(),
            hold: Duration::ZERO,
            note: Note::default(),
            leave_lease: false,
            hints: true,
            seed,
        };
        let mut h = Harness { slots: Slots::new(config), sent: Vec::new() };
        h.at(0, Input::Campaign);
        match h.listed(0, &[])[..] {
            [Told::Claim(slot)] => slot,
            ref told => panic!("{told:?}"),
        }
    };
    let firsts: alloc::collections::BTreeSet<usize> = (0..64).map(first).collect();
    assert_eq!(firsts.len(), 8);
}

/// A candidate that stands back does so before each list, and not before each slot.
#[test]
fn claim_delay_comes_once() {
    let delay = Duration::from_millis(700);
    let mut h = Harness::with(3, TimingOptions { claim_delay: Some(delay), ..TimingOptions::default() });
    assert_eq!(h.at(0, Input::Campaign), [started()]);
    assert_eq!(h.next(), (700, alloc::vec![Told::List]));
    assert_eq!(h.listed(710, &[]), [Told::Claim(0)]);
    assert_eq!(h.held(720, 4_000), [held_by_other(0), Told::Claim(1)]);
    h.held(730, 9_000);
    h.held(740, 9_000);
    let due = h.due_ms().unwrap();
    assert!((5_420..=5_671).contains(&due), "{due}");
    assert_eq!(h.at(800, Input::Wake), []);
    assert_eq!(h.due_ms(), Some(1_500));
}

/// A closed gate holds the search up, and an open one lets it go on with a list.
#[test]
fn the_gate_holds_the_search_up() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.listed(0, &[]);
    assert_eq!(h.at(10, Input::Health(false)), []);
    // The claim was under way: its slot is looked at once it can be expected to be over.
    assert_eq!(h.next(), (3_010, alloc::vec![Told::Observe(0)]));
    h.answer(3_020, Answer::Observed(None));
    h.next();
    h.answer(5_100, Answer::Observed(None));
    h.next();
    h.answer(7_200, Answer::Observed(None));
    assert_eq!(h.due_ms(), None);
    assert_eq!(h.at(9_000, Input::Health(true)), [Told::List]);
    assert_eq!(h.at(9_001, Input::Health(false)), []);
    assert_eq!(h.listed(9_002, &[]), []);
    assert_eq!(h.at(9_003, Input::Health(true)), [Told::List]);
}
