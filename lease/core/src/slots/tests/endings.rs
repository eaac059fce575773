//! Tenures and their ends: what is held is renewed and given back, and what somebody asked for is left to others.

use super::*;

/// The slot that is held is renewed as any lease; the others are let alone.
#[test]
fn the_held_slot_is_renewed() {
    let mut h = Harness::leader(3);
    assert_eq!(h.next(), (5_000, alloc::vec![Told::Renew(0)]));
    let told = h.answer(5_010, Answer::Renewed(Renewed::Extended { resign_requested: false }));
    assert_eq!(told, [Told::Extend(0), Told::Event(Some(0), Event::Renewed)]);
    assert_eq!(h.due_ms(), Some(10_000));
}

/// A campaign that is asked for while the work drains begins when the lease was released, and with a list.
#[test]
fn a_campaign_waits_for_the_release() {
    let mut h = Harness::leader(2);
    let told = h.at(1_000, Input::Resign);
    assert_eq!(told[0], Told::Stop(0));
    assert_eq!(h.at(1_001, Input::Campaign), []);
    assert_eq!(h.slots.leading(), Some(0));
    assert_eq!(h.at(1_010, Input::WorkEnded), [nobody_leads(0), Told::Release(0)]);
    assert_eq!((h.slots.leading(), h.slots.standing()), (None, Standing::Releasing));
    assert_eq!(h.answer(1_020, Answer::Released(Released::Freed)), [started(), Told::List]);
}

/// A resignation ends a search, whichever step it is at; a claim that was under way is released when it is granted.
#[test]
fn a_resignation_ends_the_search() {
    let mut h = Harness::new(2);
    h.at(0, Input::Campaign);
    h.at(1, Input::Resign);
    assert_eq!((h.slots.standing(), h.due_ms()), (Standing::Idle, None));
    assert_eq!(h.listed(2, &[]), []);
    h.at(3, Input::Campaign);
    h.listed(4, &[]);
    h.at(5, Input::Resign);
    assert_eq!(h.slots.standing(), Standing::Idle);
    assert_eq!(h.granted(6, 30), [Told::Release(0)]);
    assert_eq!(h.answer(7, Answer::Released(Released::Freed)), []);
    assert_eq!(h.slots.standing(), Standing::Idle);
}

/// A lost slot is killed, and not campaigned for again by itself.
#[test]
fn a_loss_kills_the_work() {
    let mut h = Harness::leader(2);
    h.next();
    let told = h.answer(5_010, Answer::Renewed(Renewed::Lost { to: Some(holder("other")) }));
    assert!(told.contains(&Told::Kill(0)), "{told:?}");
    assert_eq!(h.slots.leading(), Some(0));
    h.at(5_020, Input::WorkEnded);
    assert_eq!((h.slots.leading(), h.slots.standing()), (None, Standing::Idle));
}

/// A sink's word counts for the slot that it is about: terms of two slots say nothing about each other.
#[test]
fn a_fence_kills_the_work_of_its_slot_alone() {
    let mut h = Harness::leader(2);
    assert_eq!(h.at(8, Input::Fenced { slot: Some(1), seen: term(99) }), []);
    assert_eq!(h.at(9, Input::Fenced { slot: None, seen: term(99) }), []);
    let told = h.at(10, Input::Fenced { slot: Some(0), seen: term(99) });
    let lost =
        Event::LostLeadership { reason: LossReason::Fenced { seen: term(99) }, led_for: Duration::from_millis(10) };
    assert_eq!(told, [Told::Kill(0), Told::Event(Some(0), lost)]);
}

/// Slots of which this candidate was asked to give slot 0 up; it has, and campaigns again.
fn asked_to_resign() -> Harness {
    let mut h = Harness::leader(2);
    h.next();
    let told = h.answer(5_010, Answer::Renewed(Renewed::Extended { resign_requested: true }));
    assert!(told.contains(&Told::Stop(0)), "{told:?}");
    h.at(5_020, Input::Campaign);
    h.at(6_000, Input::WorkEnded);
    assert_eq!(h.answer(6_010, Answer::Released(Released::Freed)), [started(), Told::List]);
    h
}

/// Another slot is as good: it is taken at once.
#[test]
fn who_gave_a_slot_up_takes_another() {
    let mut h = asked_to_resign();
    assert_eq!(h.listed(6_020, &[]), [Told::Claim(1)]);
}

/// Without another one the slot is left to others for as long as the timing says, and is claimed after that.
#[test]
fn a_slot_is_left_to_others() {
    let mut h = asked_to_resign();
    assert_eq!(h.listed(6_020, &[(1, 60_000)]), [none_free()]);
    assert_eq!(h.at(7_000, Input::Wake), [Told::List]);
    assert_eq!(h.listed(7_010, &[(1, 60_000)]), []);
    // Work ended at 6 s, ttl 15 s, retry 2 s.
    let (at, told) = h.next();
    assert!((23_000..=23_251).contains(&at), "{at}");
    assert_eq!(told, [Told::List]);
    assert_eq!(h.listed(23_300, &[(1, 60_000)]), [Told::Claim(0)]);
}

/// Once somebody else was seen to hold it, it is a slot as any other.
#[test]
fn a_successor_ends_the_standing_back() {
    let mut h = asked_to_resign();
    let successor = LeaseRecord { term: Some(term(40)), ..h.record(0, 8, 15_000) };
    let other = h.record(1, 8, 60_000);
    assert_eq!(h.answer(6_020, Answer::Listed(alloc::vec![successor, other])), [none_free()]);
    assert_eq!(h.at(7_000, Input::Wake), [Told::List]);
    assert_eq!(h.listed(7_010, &[(1, 60_000)]), [Told::Claim(0)]);
}

/// A try meanwhile leaves it alone too.
#[test]
fn a_try_leaves_it_to_others_too() {
    let mut h = asked_to_resign();
    h.at(6_011, Input::Resign);
    assert_eq!(h.at(6_012, Input::TryCampaign), [started(), Told::Claim(1)]);
    assert_eq!(h.held(6_020, 9_000), [held_by_other(1), not_elected(NotElected::Held)]);
}
