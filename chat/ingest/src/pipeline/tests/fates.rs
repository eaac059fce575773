//! What becomes of every line, odd ones above all: each has one fate, and they add up at any moment (which the bench
//! asserts of every snapshot that it sees).

use std::time::Duration;

use bytes::Bytes;
use tenure_core::Term;
use tenure_envelope::Kind;
use tenure_twitch::{ParseError, ReaderEvent};

use super::script::{self, Bench, Mode, ScriptedBus, config, within};
use crate::gaps::{LINE_TOO_LONG, REFUSED};
use crate::lines::Lines;
use crate::pipeline::Command;

const GAP: &str = Kind::Gap.as_str();

fn too_long(tags: &str) -> ReaderEvent {
    let mut beginning = format!("@{tags} :u!u@u PRIVMSG #c :").into_bytes();
    beginning.resize(16 * 1024, b'x');
    ReaderEvent::TooLong { connection: 1, beginning: Bytes::from(beginning), received_at_unix_ms: 5_000 }
}

fn no_message() -> ReaderEvent {
    let error: ParseError = tenure_irc::parse(b"@only=tags").unwrap_err();
    ReaderEvent::NoMessage { connection: 1, error }
}

/// A leader: what it publishes, what it knows, what nobody can publish, and what is still held.
#[tokio::test]
async fn every_line_of_a_leader_has_a_fate() {
    let bus = ScriptedBus::new();
    let mut bench = Bench::new(&bus, config());
    bench.lead(None).await;
    bench.joined("c", 500).await;
    bench.reads(&["a", "b", "a"]).await;
    bench.raw(b"@slow=0 :tmi.twitch.tv ROOMSTATE #c".to_vec(), 1_000).await;
    bench.raw(b"@msg-id=slow_on :tmi.twitch.tv NOTICE #c :slow".to_vec(), 1_000).await;
    bench.raw(b"@tmi-sent-ts=1000 :tmi.twitch.tv CLEARCHAT c :u".to_vec(), 1_000).await;
    bench.raw(b"@tmi-sent-ts=1000 :u!u@u PRIVMSG #c :no id".to_vec(), 1_000).await;
    bench.raw(b":u!u@u PRIVMSG #c :neither id nor time".to_vec(), 1_000).await;
    bench.raw(b"@id=x :u!u@u PRIVMSG u :to nobody's channel".to_vec(), 1_000).await;
    bench.event(no_message()).await;
    bench.event(too_long("id=y;tmi-sent-ts=4000")).await;
    bench.event(ReaderEvent::Protocol { connection: 1, lines: 7 }).await;
    let expected = Lines { received: 19, published: 5, known: 10, refused: 2, gap: 2, held: 0 };
    bench.event(too_long("id=y")).await;
    bench.until("all fates", |shown| shown.lines.held == 0 && shown.lines.received == 19).await;
    assert_eq!(bench.shown().lines, expected);
    assert_eq!(bus.of_type(Kind::Moderation.as_str())[0]["payload"]["targetLogin"], "u");
    let gaps = bus.of_type(GAP);
    let named: Vec<_> = gaps.iter().map(|gap| (&gap["payload"]["reason"], &gap["payload"]["from"])).collect();
    let at = |second| format!("1970-01-01T00:00:0{second}.000Z");
    assert_eq!(named, [(&LINE_TOO_LONG.into(), &at(4).into()), (&LINE_TOO_LONG.into(), &at(5).into())]);
    bus.ingress(Mode::Unreachable);
    bench.reads(&["held"]).await;
    bench.until("a line that is held", |shown| shown.lines == Lines { received: 20, held: 1, ..expected }).await;
}

/// A standby: what appears is known, what it repairs is published, a line without identity is the leader's; the gap of
/// a line that was too long is published by whoever read it, once.
#[tokio::test]
async fn every_line_of_a_standby_has_a_fate() {
    let bus = ScriptedBus::new();
    let (mut leader, mut standby) = (Bench::new(&bus, config()), Bench::new(&bus, config()));
    leader.lead(None).await;
    standby.send(Command::Observe(Term::new(7).unwrap())).await;
    bus.until("both following", |bus| bus.bus_follower() == 2).await;
    for bench in [&mut leader, &mut standby] {
        bench.joined("c", 500).await;
        bench.event(too_long("tmi-sent-ts=4000")).await;
        bench.reads(&["both"]).await;
        bench.raw(b":u!u@u PRIVMSG #c :neither id nor time".to_vec(), 1_000).await;
    }
    standby.event(too_long("tmi-sent-ts=4500")).await;
    standby.reads(&["alone"]).await;
    standby.until("its repairs", |shown| shown.lines.received == 5 && shown.ring_entries == 0).await;
    let lines = Lines { received: 5, published: 1, known: 2, refused: 0, gap: 2, held: 0 };
    assert_eq!(standby.shown().lines, lines);
    leader.until("its fates", |shown| shown.lines.held == 0 && shown.lines.received == 3).await;
    assert_eq!(leader.shown().lines, Lines { received: 3, published: 2, gap: 1, ..Lines::default() });
    assert_eq!((bus.of_type(GAP).len(), bus.texts().len()), (2, 3));
}

/// A line that is too long and does not even tell its channel is a gap of each channel of its connection, by the leader; a
/// standby vouches for none of them.
#[tokio::test]
async fn a_line_that_is_all_tags_is_a_gap_of_every_channel() {
    let bus = ScriptedBus::new();
    let (mut leader, mut standby) = (Bench::new(&bus, config()), Bench::new(&bus, config()));
    leader.lead(None).await;
    for bench in [&mut leader, &mut standby] {
        bench.joined("c", 500).await;
        bench.joined("d", 500).await;
        let beginning = Bytes::from([b"@".to_vec(), vec![b'x'; 16 * 1024]].concat());
        bench.event(ReaderEvent::TooLong { connection: 1, beginning, received_at_unix_ms: 5_000 }).await;
        bench.until("its fate", |shown| shown.lines == Lines { received: 1, gap: 1, ..Lines::default() }).await;
    }
    bus.until("both gaps", |bus| bus.of_type(GAP).len() == 2).await;
    assert!(bus.of_type(GAP).iter().all(|gap| gap["payload"]["from"] == "1970-01-01T00:00:05.000Z"));
    standby.until_notes("a later beginning", |notes| notes.reader.channel("d").since == Some(5_001)).await;
}

/// What is seen on the bus before its publication is answered counts once, by the answer; also where that never comes.
#[tokio::test]
async fn an_appearance_before_the_answer_counts_once() {
    let bus = ScriptedBus::new();
    bus.late(Duration::from_millis(300));
    let mut bench = Bench::new(&bus, config());
    bus.until("following", |bus| bus.bus_follower() == 1).await;
    bench.lead(None).await;
    bench.reads(&["a"]).await;
    bus.until("the line", |bus| bus.texts() == ["a"]).await;
    bench.ticks(1).await;
    bench.until("the answer", |shown| shown.published == 1 && shown.lines.held == 0).await;
    assert_eq!(bench.shown().lines, Lines { received: 1, published: 1, ..Lines::default() });
    bus.late(Duration::from_secs(3_600));
    bench.reads(&["b"]).await;
    bus.until("the other line", |bus| bus.texts() == ["a", "b"]).await;
    within("standing by", bench.stand_by(Duration::ZERO, false)).await;
    bench.until("no line without a fate", |shown| shown.lines.held == 0).await;
    let lines = bench.shown().lines;
    assert_eq!((lines.received, lines.published + lines.known), (2, 2));
}

/// What the bus refuses is refused where the finalizer has it, and part of a gap where not; a standby that repairs says so
/// as a leader does.
#[tokio::test]
async fn what_the_bus_refuses_has_a_fate() {
    for leads in [true, false] {
        let bus = ScriptedBus::new();
        bus.reject("bad");
        let mut bench = Bench::new(&bus, config());
        bench.send(Command::Observe(Term::new(7).unwrap())).await;
        if leads {
            bench.lead(None).await;
        }
        bench.reads(&["bad"]).await;
        bench.until("the failure", |shown| shown.failed == 1).await;
        assert_eq!(bench.shown().lines, Lines { received: 1, refused: 1, ..Lines::default() });
        bus.reject("worse");
        bus.finalizer(Mode::Rejects);
        bench.reads(&["worse"]).await;
        bus.until("the gap", |bus| bus.of_type(GAP).len() == 1).await;
        assert_eq!(bus.of_type(GAP)[0]["payload"]["reason"], REFUSED);
        bench.until("the fate", |shown| shown.lines.received == 2 && shown.ring_entries == 0).await;
        assert_eq!(bench.shown().lines, Lines { received: 2, refused: 1, gap: 1, ..Lines::default() });
    }
}

/// Lines that the ring had to let go are held until it is known what became of them: published by another instance, or
/// part of a gap.
#[tokio::test]
async fn what_was_forced_out_is_held_until_it_has_a_fate() {
    let bus = ScriptedBus::new();
    bus.ingress(Mode::Unreachable);
    let mut small = config();
    small.coverage.ring.bytes = 3_000;
    let mut bench = Bench::new(&bus, small);
    bench.lead(None).await;
    bench.joined("c", 500).await;
    let texts: Vec<String> = (0..20).map(|n| format!("line {n}")).collect();
    bench.reads(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    bench.until("the overflow", |shown| shown.lines.received == 20 && shown.forced_out > 5).await;
    assert_eq!(bench.shown().lines.held, 20);
    bus.until("following", |bus| bus.bus_follower() == 1).await;
    bus.publishes(&texts[0]);
    bench.until("one that another has published", |shown| shown.lines.known == 1).await;
    bus.ingress(Mode::Takes);
    bus.until("the gap", |bus| bus.of_type(GAP).len() == 1).await;
    bench.until("all fates", |shown| shown.lines.held == 0).await;
    let lines = bench.shown().lines;
    assert!(lines.gap > 0 && lines.published > 0 && lines.known == 1, "{lines:?}");
    assert_eq!(lines.gap, bench.shown().forced_out - 1);
}

/// A leader that has to stand by with a line that only it may publish does not lose it in silence: it is part of a gap
/// that the next leader finds, for nobody vouches for that time; and a room's state, which is no message, is refused.
#[tokio::test]
async fn a_line_without_identity_is_a_gap_when_its_leader_goes() {
    let bus = ScriptedBus::new();
    bus.ingress(Mode::Unreachable);
    let (mut leader, mut standby) = (Bench::new(&bus, config()), Bench::new(&bus, config()));
    leader.lead(None).await;
    for bench in [&mut leader, &mut standby] {
        bench.joined("c", 300).await;
        bench.raw(b":u!u@u PRIVMSG #c :neither id nor time".to_vec(), 1_000).await;
        bench.raw(b"@slow=0 :tmi.twitch.tv ROOMSTATE #c".to_vec(), 1_000).await;
        bench.raw(b"@slow=9 :tmi.twitch.tv ROOMSTATE #c".to_vec(), 1_100).await;
        bench.alive(2_000).await;
        bench.until("the lines", |shown| shown.lines.received == 3).await;
    }
    let stood_by = within("standing by", leader.stand_by(Duration::ZERO, false)).await;
    assert_eq!(stood_by.note.channel("c").until, Some(999));
    leader.until("their fates", |shown| shown.lines.held == 0).await;
    assert_eq!(leader.shown().lines, Lines { received: 3, known: 1, refused: 1, gap: 1, ..Lines::default() });
    bus.ingress(Mode::Takes);
    standby.lead_after(None, script::written(&stood_by.note)).await;
    bus.until("the gap", |bus| bus.of_type(GAP).len() == 1).await;
    assert_eq!(bus.of_type(GAP)[0]["payload"]["until"], "1970-01-01T00:00:01.001Z");
    assert_eq!(standby.shown().lines, Lines { received: 3, known: 3, ..Lines::default() });
}
