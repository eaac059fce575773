//! The pipeline over a scripted bus and hand-made reader events: what goes onto the bus, and when.

mod ends;
mod fates;
mod script;
mod takeovers;
mod unplaced;

use std::time::Duration;

use tenure_core::Term;
use tenure_envelope::Kind;

use super::{Command, start};
use crate::gaps::{NOT_COVERED, REFUSED};
use script::{Bench, Mode, ScriptedBus, config, note, within};

const GAP: &str = Kind::Gap.as_str();

/// A leader publishes every line once, in order, under its term; an answer that it was there already is counted so.
#[tokio::test]
async fn a_leader_publishes_once_and_counts_duplicates() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.reads(&["a", "b"]).await;
    bus.until("both lines", |bus| bus.texts() == ["a", "b"]).await;
    // Another pipeline with the same lines: the bus has them.
    let mut other = Bench::new(&bus, config());
    bus.blind(true);
    other.lead(None).await;
    other.reads(&["a", "b", "c"]).await;
    other.until("the third line", |shown| shown.published + shown.deduplicated == 3).await;
    assert_eq!(bus.texts(), ["a", "b", "c"]);
}

/// A message that a reachable bus refuses is retried as often as told, then goes to the finalizer with the envelope and
/// the reason; the others do not suffer for it.
#[tokio::test]
async fn a_refused_message_goes_to_the_finalizer_after_its_retries() {
    let bus = ScriptedBus::new();
    bus.reject("bad");
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.reads(&["one", "bad", "two"]).await;
    bench.until("the failure", |shown| shown.failed == 1 && shown.ring_entries == 0).await;
    assert_eq!(bus.texts(), ["one", "two"]);
    assert_eq!(bus.refusals(), 3, "the first attempt and two retries");
    let finalized = bus.finalized();
    assert_eq!(finalized.len(), 1);
    assert_eq!(finalized[0]["error"]["attempts"], 3);
    assert_eq!(finalized[0]["envelope"]["payload"]["text"], "bad");
}

/// A finalizer that cannot be reached loses nothing either, and holds up no command.
#[tokio::test]
async fn an_unreachable_finalizer_is_waited_for() {
    let bus = ScriptedBus::new();
    bus.reject("bad");
    bus.finalizer(Mode::Unreachable);
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.reads(&["bad"]).await;
    bench.until("failures", |shown| shown.bus_failures > 2).await;
    assert_eq!((bench.shown().failed, bench.shown().ring_entries), (0, 1));
    bus.finalizer(Mode::Takes);
    bench.until("the failure", |shown| shown.failed == 1 && shown.ring_entries == 0).await;
    assert_eq!(bus.finalized().len(), 1);
}

/// A message that the finalizer refuses too is a gap: no lost message is silent.
#[tokio::test]
async fn what_nobody_takes_is_a_gap() {
    let bus = ScriptedBus::new();
    bus.reject("bad");
    bus.finalizer(Mode::Rejects);
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.reads(&["bad"]).await;
    bus.until("the gap", |bus| bus.of_type(GAP).len() == 1).await;
    assert_eq!(bus.of_type(GAP)[0]["payload"]["reason"], REFUSED);
}

/// An unreachable bus counts against no message: once it is back everything is there, in order, and nothing failed.
#[tokio::test]
async fn an_unreachable_bus_counts_nothing_and_loses_nothing() {
    let bus = ScriptedBus::new();
    bus.ingress(Mode::Unreachable);
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.reads(&["a", "b", "c"]).await;
    bench.until("more failures than retries", |shown| shown.bus_failures > 4).await;
    bus.ingress(Mode::Takes);
    bus.until("all lines", |bus| bus.texts() == ["a", "b", "c"]).await;
    bench.until("an empty ring", |shown| shown.ring_entries == 0).await;
    assert_eq!(bench.shown().failed, 0);
}

/// A bus that takes fewer messages at once than a batch has is given no more than that.
#[tokio::test]
async fn a_batch_is_no_larger_than_the_bus_takes() {
    let bus = ScriptedBus::with_limit(2);
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.reads(&["a", "b", "c", "d", "e"]).await;
    bus.until("all lines", |bus| bus.texts().len() == 5).await;
    assert!(bus.largest() <= 2);
}

/// Nothing is handed to the bus by a leader whose right has ended, however long its ring is.
#[tokio::test]
async fn nothing_is_handed_out_when_not_current() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    let (_election, leadership) = script::leadership().await;
    bench.lead(Some(leadership.mandate())).await;
    bench.reads(&["a"]).await;
    bus.until("the first line", |bus| bus.texts() == ["a"]).await;
    assert_eq!(bus.terms(), [Some(leadership.term())]);
    drop(leadership);
    bench.reads(&["b"]).await;
    bench.until("the second line in the ring", |shown| shown.ring_entries == 1).await;
    let before = bus.calls();
    bench.ticks(3).await;
    assert_eq!(bus.calls(), before);
    let stood_by = within("standing by", bench.stand_by(Duration::from_secs(60), false)).await;
    assert_eq!(stood_by.held, 1);
}

/// A leader whose term the bus refuses resigns, and keeps what was refused.
#[tokio::test]
async fn a_fenced_leader_resigns() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    let (_election, leadership) = script::leadership().await;
    let seen = Term::new(leadership.term().get() + 7).unwrap();
    bus.ingress(Mode::Fences(seen));
    bench.lead(Some(leadership.mandate())).await;
    bench.reads(&["a"]).await;
    assert_eq!(within("the loss", leadership.lost()).await, tenure::LossReason::Fenced { seen });
    bench.until("the line in the ring", |shown| shown.fenced > 0 && shown.ring_entries == 1).await;
}

/// Two readers that each miss different lines: the bus has their union, each line once.
#[tokio::test]
async fn two_readers_give_the_union() {
    let bus = ScriptedBus::new();
    let (mut leader, mut standby) = (Bench::new(&bus, config()), Bench::new(&bus, config()));
    leader.lead(None).await;
    standby.send(Command::Observe(Term::new(7).unwrap())).await;
    bus.until("both following", |bus| bus.bus_follower() == 2).await;
    leader.reads(&["a", "c"]).await;
    standby.reads(&["a", "b", "c", "d"]).await;
    bus.until("the union", |bus| bus.texts().len() == 4).await;
    standby.until("an empty ring", |shown| shown.ring_entries == 0).await;
    let mut texts = bus.texts();
    texts.sort();
    assert_eq!(texts, ["a", "b", "c", "d"]);
    assert_eq!(standby.shown().repaired, 2);
}

/// Who becomes leader publishes its ring first.
#[tokio::test]
async fn a_new_leader_publishes_its_ring_first() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.reads(&["a", "b"]).await;
    bench.until("the ring", |shown| shown.ring_entries == 2).await;
    bench.lead(None).await;
    bench.reads(&["c"]).await;
    bus.until("all", |bus| bus.texts() == ["a", "b", "c"]).await;
}

/// On a bus that drops nothing, a standby publishes nothing, and a new leader leaves out what was covered.
#[tokio::test]
async fn without_deduplication_a_new_leader_goes_on_from_the_note() {
    let bus = ScriptedBus::new();
    let mut plain = config();
    plain.coverage.repairs = false;
    let mut bench = Bench::new(&bus, plain);
    bench.send(Command::Observe(Term::new(7).unwrap())).await;
    bench.line_at("a", 1_000).await;
    bench.line_at("b", 2_000).await;
    bench.until("the ring", |shown| shown.ring_entries == 2).await;
    bench.ticks(3).await;
    assert_eq!(bus.calls(), 0);
    bench.lead_after(None, note(1, 1_500)).await;
    bus.until("the rest", |bus| bus.texts() == ["b"]).await;
}

/// Only a changed setting of a room is an envelope.
#[tokio::test]
async fn room_states_are_published_where_they_change() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    for state in ["slow=0;subs-only=0", "slow=0", "slow=10", "slow=10"] {
        bench.raw(format!("@room-id=1;{state} :tmi.twitch.tv ROOMSTATE #c").into_bytes(), 1_000).await;
    }
    bench.reads(&["after"]).await;
    bus.until("the line after", |bus| bus.texts() == ["after"]).await;
    assert_eq!(bus.of_type(Kind::Room.as_str()).len(), 1);
}

/// What the leader before had covered, and this one reads only later, is one gap per channel; until it is on the bus the
/// note claims nothing beyond its start.
#[tokio::test]
async fn what_nobody_read_is_one_gap_per_channel() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.lead_after(None, note(1, 1_000)).await;
    bench.joined("c", 5_000).await;
    bench.joined("d", 6_000).await;
    bench.alive(9_000).await;
    bus.ingress(Mode::Unreachable);
    bench.until("the gaps", |shown| shown.gaps == 2 && shown.bus_failures > 0).await;
    bench.ticks(2).await;
    let held = bench.notes().leader.unwrap();
    assert_eq!((held.channel("c").until, held.channel("d").until), (Some(1_000), Some(1_000)));
    bus.ingress(Mode::Takes);
    bus.until("both gaps", |bus| bus.of_type(GAP).len() == 2).await;
    let gaps = bus.of_type(GAP);
    assert_eq!(gaps[0]["payload"]["reason"], NOT_COVERED);
    let mut channels: Vec<&str> = gaps.iter().filter_map(|gap| gap["source"]["channel"].as_str()).collect();
    channels.sort_unstable();
    assert_eq!(channels, ["c", "d"]);
    bench
        .until_notes("the note", |notes| {
            notes.leader.as_ref().is_some_and(|note| note.channel("c").until == Some(9_000))
        })
        .await;
}

/// A leader that is replaced before its gap is on the bus leaves it to the next one, which finds it in the last note.
#[tokio::test]
async fn an_unpublished_gap_is_left_to_the_next_leader() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bus.ingress(Mode::Unreachable);
    bench.lead_after(None, note(1, 1_000)).await;
    bench.joined("c", 5_000).await;
    bench.alive(9_000).await;
    bench.until("the gap", |shown| shown.gaps == 1).await;
    let stood_by = within("standing by", bench.stand_by(Duration::from_millis(50), false)).await;
    assert_eq!((stood_by.held, stood_by.note.channel("c").until), (0, Some(1_000)));
}

/// A leader that was replaced while its ring overflowed says so in its note, and the next one can tell.
#[tokio::test]
async fn an_overflow_is_in_the_note_until_it_is_a_gap() {
    let bus = ScriptedBus::new();
    bus.ingress(Mode::Unreachable);
    let mut small = config();
    small.coverage.ring.bytes = 3_000;
    let mut bench = Bench::new(&bus, small);
    bench.lead(None).await;
    bench.joined("c", 500).await;
    for n in 0..20 {
        bench.line_at(&format!("text {n}"), 1_000 + n).await;
    }
    bench.alive(9_000).await;
    bench.until("the overflow", |shown| shown.forced_out > 5).await;
    bench
        .until_notes("the note", |notes| {
            notes
                .leader
                .as_ref()
                .is_some_and(|note| note.channel("c").until == Some(1_000) || note.channel("c").until == Some(999))
        })
        .await;
    bus.ingress(Mode::Takes);
    bus.until("the gap", |bus| bus.of_type(GAP).len() == 1).await;
    bench
        .until_notes("the note", |notes| {
            notes.leader.as_ref().is_some_and(|note| note.channel("c").until == Some(9_000))
        })
        .await;
}

/// A reader that ends by itself is no chat: the instance is not healthy after `repair_after`.
#[tokio::test]
async fn a_reader_that_ends_by_itself_is_unhealthy() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.joined("c", 1_000).await;
    bench.until("coverage", |shown| shown.covers_any && shown.healthy).await;
    bench.stop_reading();
    bench.until("ill health", |shown| !shown.healthy && !shown.covers_any).await;
}

/// A subscription that takes a while succeeds although lines come in all the time, and one that ends is not asked for
/// again in a loop.
#[tokio::test]
async fn following_begins_although_lines_come_in() {
    let bus = ScriptedBus::new();
    bus.slow_follow(Duration::from_millis(150));
    let mut bench = Bench::new(&bus, config());
    for n in 0..100 {
        bench.reads(&[&format!("line {n}")]).await;
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
    assert_eq!(bus.follows(), 1);
    bus.end_follows();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(bus.follows() <= 4, "{} subscriptions", bus.follows());
}

/// A leader in good order is sent nothing of the bus; standing by it goes on from where it was, so that it repairs
/// nothing that another instance has published meanwhile.
#[tokio::test]
async fn a_leader_in_good_order_does_not_follow() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bus.until("following", |bus| bus.bus_follower() == 1).await;
    bench.lead(None).await;
    bench.reads(&["a"]).await;
    bus.until("rest", |bus| bus.texts() == ["a"] && bus.bus_follower() == 0).await;
    bus.ingress(Mode::Unreachable);
    bench.reads(&["b"]).await;
    bench.until("the second line", |shown| shown.ring_entries == 1).await;
    bus.publishes("b");
    bench.send(Command::Observe(Term::new(7).unwrap())).await;
    within("standing by", bench.stand_by(Duration::ZERO, false)).await;
    bench.until("an empty ring", |shown| shown.ring_entries == 0).await;
    assert_eq!((bench.shown().repaired, bus.bus_follower()), (0, 1));
}

/// A leader that cannot publish follows: what another instance publishes for it is held no longer, and is no gap
/// although the ring had to let it go.
#[tokio::test]
async fn a_leader_that_cannot_publish_follows() {
    let bus = ScriptedBus::new();
    let mut small = config();
    small.coverage.ring.bytes = 3_000;
    let mut bench = Bench::new(&bus, small);
    bench.lead(None).await;
    bench.joined("c", 500).await;
    bench.reads(&["first"]).await;
    bus.until("rest", |bus| bus.texts() == ["first"] && bus.bus_follower() == 0).await;
    bus.ingress(Mode::Unreachable);
    let texts: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    bench.reads(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.until("the overflow", |shown| shown.forced_out > 5).await;
    for text in &texts {
        bus.publishes(text);
    }
    bench.until("an empty ring", |shown| shown.ring_entries == 0).await;
    bus.ingress(Mode::Takes);
    bench.alive(9_000).await;
    bench.reads(&["last"]).await;
    bus.until("rest again", |bus| bus.texts().len() == 22 && bus.bus_follower() == 0).await;
    bench.ticks(4).await;
    assert_eq!((bus.of_type(GAP).len(), bench.shown().gaps), (0, 0));
}

/// A bus that takes its time is given whole batches, in order, while the socket is read on; after a failure the order
/// holds all the same.
#[tokio::test]
async fn batches_stay_in_order_while_reading_goes_on() {
    let bus = ScriptedBus::new();
    bus.slow(Duration::from_millis(50));
    let mut ten = config();
    ten.coverage.batch = 10;
    let mut bench = Bench::new(&bus, ten);
    bench.lead(None).await;
    let texts: Vec<String> = (0..60).map(|n| format!("line {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    bench.reads(&texts[..40]).await;
    bench.until("lines beyond those on their way", |shown| shown.received == 40 && shown.published < 20).await;
    bus.ingress(Mode::Unreachable);
    bench.until("failures", |shown| shown.bus_failures > 1).await;
    bus.ingress(Mode::Takes);
    bench.reads(&texts[40..]).await;
    bus.until("all lines", |bus| bus.texts().len() == 60).await;
    assert_eq!(bus.texts(), texts);
    assert!(bus.largest() <= 10);
}

/// The pipeline ends when whoever commands it has gone.
#[tokio::test]
async fn it_ends_with_its_commander() {
    let bus = ScriptedBus::new();
    let handle = start(config(), bus.clone(), None);
    let mut snapshot = handle.snapshot.clone();
    drop(handle);
    within("the end", async { while snapshot.changed().await.is_ok() {} }).await;
}
