//! How publishing ends: drained and bounded on resigning, and not taken up again after a pause that was too long.

use std::time::Duration;

use tenure_core::Term;

use super::script::{self, Bench, Mode, ScriptedBus, config, within};
use crate::pipeline::Command;

/// A reader that was stopped may have left lines behind it: all of them are published before standing by.
#[tokio::test]
async fn a_drain_publishes_what_the_reader_left() {
    let bus = ScriptedBus::new();
    bus.slow(Duration::from_millis(30));
    let mut bench = Bench::new(&bus, script::one_by_one());
    bench.lead(None).await;
    bench.joined("c", 500).await;
    bench.until("a reader", |shown| shown.covers_any).await;
    let standing_by = bench.ask_to_stand_by(Duration::from_secs(20), true).await;
    bench.ticks(1).await;
    // The reader had read these, and gives them only now.
    let texts: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    bench.reads(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.stop_reading();
    let stood_by = within("standing by", standing_by).await.unwrap();
    assert_eq!((stood_by.held, bus.texts()), (0, texts));
}

/// What was read after the resignation and is on its way by then is waited for: on a bus that drops nothing, the next
/// leader would publish it once more.
#[tokio::test]
async fn a_resignation_waits_for_all_that_is_on_its_way() {
    let bus = ScriptedBus::new();
    bus.keeps_all();
    bus.late(Duration::from_millis(300));
    let mut plain = script::one_by_one();
    plain.coverage.repairs = false;
    let mut bench = Bench::new(&bus, plain);
    bench.lead(None).await;
    bench.joined("c", 500).await;
    bench.line_at("a", 1_000).await;
    bus.until("the first line", |bus| bus.texts() == ["a"]).await;
    let standing_by = bench.ask_to_stand_by(Duration::from_secs(20), false).await;
    bench.line_at("b", 2_000).await;
    bench.alive(3_000).await;
    let stood_by = within("standing by", standing_by).await.unwrap();
    let last_note = script::written(&stood_by.note);
    bench.lead_after(None, last_note).await;
    bench.line_at("c", 4_000).await;
    bus.until("the line after", |bus| bus.texts().iter().any(|text| text == "c")).await;
    assert_eq!(bus.texts(), ["a", "b", "c"]);
}

/// Once the bound of a drain is reached nothing more is begun: only what is on its way is waited for.
#[tokio::test]
async fn nothing_is_begun_after_the_bound_of_a_drain() {
    let bus = ScriptedBus::new();
    bus.slow(Duration::from_millis(200));
    let mut bench = Bench::new(&bus, script::one_by_one());
    bench.lead(None).await;
    bench.joined("c", 500).await;
    let texts: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    bench.reads(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.until("the lines", |shown| shown.received == 20).await;
    let stood_by = within("standing by", bench.stand_by(Duration::ZERO, true)).await;
    let (calls, on_bus) = (bus.calls(), bus.texts().len());
    assert!(calls <= 4, "{calls} publications: two were on their way when it was asked, a moment after the lines");
    assert_eq!(stood_by.held, 20 - on_bus, "what was on its way was waited for");
}

/// A standby that was stopped for longer than its ring may hold an entry publishes none of it when it goes on: the bus
/// may have forgotten that it has them.
#[tokio::test]
async fn what_a_pause_made_too_old_is_not_repaired() {
    let bus = ScriptedBus::new();
    bus.blind(true);
    let mut aged = config();
    aged.coverage.ring.age = Duration::from_millis(600);
    for _ in 0..6 {
        let mut bench = Bench::new(&bus, aged.clone());
        bench.send(Command::Observe(Term::new(7).unwrap())).await;
        bench.reads(&["a"]).await;
        bench.until("the line", |shown| shown.ring_entries == 1).await;
        // The one thread that there is stands still, as a stopped process does.
        std::thread::sleep(Duration::from_millis(900));
        bench.until("an empty ring", |shown| shown.ring_entries == 0).await;
    }
    assert_eq!(bus.texts(), [""; 0]);
}

/// A message on its way to the finalizer is given up when it has become too old, as any other is.
#[tokio::test]
async fn what_a_pause_made_too_old_is_not_finalized() {
    let bus = ScriptedBus::new();
    bus.blind(true);
    bus.reject("a");
    bus.finalizer(Mode::Unreachable);
    let mut aged = config();
    aged.coverage.ring.age = Duration::from_millis(800);
    aged.max_retries = 0;
    let mut bench = Bench::new(&bus, aged);
    bench.send(Command::Observe(Term::new(7).unwrap())).await;
    bench.reads(&["a"]).await;
    bench.until("a finalizer that fails", |shown| shown.bus_failures >= 1).await;
    std::thread::sleep(Duration::from_millis(1_000));
    bus.finalizer(Mode::Takes);
    bench.until("an empty ring", |shown| shown.received == 1 && shown.ring_entries == 0).await;
    assert_eq!(bus.finalized().len(), 0);
}

/// What stands ready behind a publication while the process is stopped for so long does not begin when it goes on.
#[tokio::test]
async fn what_a_pause_made_too_old_on_its_way_does_not_begin() {
    let bus = ScriptedBus::new();
    bus.blind(true);
    bus.slow(Duration::from_millis(100));
    let mut aged = script::one_by_one();
    aged.coverage.ring.age = Duration::from_millis(800);
    let mut bench = Bench::new(&bus, aged);
    bench.send(Command::Observe(Term::new(7).unwrap())).await;
    bench.reads(&["a", "b"]).await;
    bus.until("the first line on its way", |bus| bus.calls() == 1).await;
    std::thread::sleep(Duration::from_millis(1_000));
    bench.until("an empty ring", |shown| shown.received == 2 && shown.ring_entries == 0).await;
    assert_eq!(bus.texts(), ["a"]);
}

/// A drain that has begun can still be hurried: it ends although its bound is far.
#[tokio::test]
async fn a_running_drain_can_be_hurried() {
    let bus = ScriptedBus::new();
    bus.ingress(Mode::Hangs);
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.joined("c", 500).await;
    bench.reads(&["held"]).await;
    bench.until("the line", |shown| shown.ring_entries == 1).await;
    let mut standing_by = bench.ask_to_stand_by(Duration::from_secs(3600), false).await;
    bench.ticks(2).await;
    assert!(standing_by.try_recv().is_err(), "the drain has ended before it was hurried");
    bench.send(Command::Hurry).await;
    assert_eq!(within("standing by", standing_by).await.unwrap().held, 1);
}

/// A bus that never answers does not hold up the end: what it was given is held again.
#[tokio::test]
async fn a_drain_is_bounded_although_the_bus_hangs() {
    let bus = ScriptedBus::new();
    bus.ingress(Mode::Hangs);
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.reads(&["a", "b"]).await;
    bench.until("the lines", |shown| shown.ring_entries == 2).await;
    let stood_by = within("standing by", bench.stand_by(Duration::from_millis(100), false)).await;
    assert_eq!(stood_by.held, 2);
}

/// A standby that is told to end waits for what it holds to appear, and repairs what does not.
#[tokio::test]
async fn a_standby_drains_too() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.send(Command::Observe(Term::new(7).unwrap())).await;
    bench.reads(&["a", "b"]).await;
    bench.until("the lines", |shown| shown.ring_entries == 2).await;
    bench.stop_reading();
    let stood_by = within("standing by", bench.stand_by(Duration::from_secs(20), true)).await;
    assert_eq!((stood_by.held, bus.texts().len()), (0, 2));
}
