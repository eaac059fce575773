//! What the next leader makes of the last one's note: who had read across its end takes over without a gap, and who had
//! not finds one, over any number of leaders.

use std::time::Duration;

use tenure_core::Note;
use tenure_envelope::Kind;

use super::script::{self, Bench, Mode, ScriptedBus, config, within};

const GAP: &str = Kind::Gap.as_str();

/// A leader's note, with #c as an exception of its own.
fn note(c: &str, rest: &str) -> Option<Note> {
    let all = r#""all":{"since":1,"covered_until":9000}"#;
    Some(Note::new(format!(r#"{{{all},"except":{{"c":{{{c}}}}},"at":9000,{rest}}}"#)).unwrap())
}

/// A standby that reads #c since a moment, and has seen so many lines of it on the bus.
async fn standby(bus: &std::sync::Arc<ScriptedBus>, since: u64, texts: &[&str]) -> Bench {
    let mut bench = Bench::new(bus, config());
    bus.until("following", |bus| bus.bus_follower() == 1).await;
    bench.joined("d", since).await;
    bench.joined("c", since).await;
    for text in texts {
        bench.line_at(text, since + 1).await;
    }
    bench.until("the lines", |shown| shown.ring_entries == texts.len()).await;
    texts.iter().for_each(|text| bus.publishes(text));
    bench.until("that they have appeared", |shown| shown.ring_entries == 0).await;
    bench
}

/// A line that the leader knew on the bus when it made its note says nothing of a channel that it had ceased to read before:
/// another instance has published it.
#[tokio::test]
async fn a_line_of_after_the_leaders_reading_is_no_overlap() {
    for (known_at, gaps) in [(3_000, 1), (1_900, 0)] {
        let bus = ScriptedBus::new();
        let mut bench = standby(&bus, 5_000, &["a"]).await;
        let note = note(r#""covered_until":2000"#, &format!(r#""pos":1,"last":{{"pos":1,"known_at":{known_at}}}"#));
        bench.lead_after(None, note).await;
        bench.line_at("end", 9_100).await;
        bus.until("the end", |bus| bus.texts().len() == 2).await;
        bench.ticks(6).await;
        assert_eq!(bus.of_type(GAP).iter().filter(|gap| gap["source"]["channel"] == "c").count(), gaps, "{known_at}");
    }
}

/// A leader that goes before an interval is decided leaves the next one what it knows of it: who had read across the end of
/// the first leader takes over without a gap.
#[tokio::test]
async fn who_read_across_two_ends_takes_over_without_a_gap() {
    let bus = ScriptedBus::new();
    let mut reader = standby(&bus, 1_000, &["a"]).await;
    let mut newcomer = Bench::new(&bus, config());
    let first = Note::new(r#"{"all":{"since":1,"covered_until":2000},"at":2000,"last":{"pos":1,"known_at":1900}}"#);
    newcomer.lead_after(None, Some(first.unwrap())).await;
    newcomer.joined("c", 3_000).await;
    newcomer.alive(3_100).await;
    newcomer.until_notes("a note", |notes| notes.leader.as_ref().is_some_and(|note| note.channel("c").held_back)).await;
    let left = within("standing by", newcomer.stand_by(Duration::ZERO, true)).await.note;
    assert_eq!((left.channel("c").until, left.channel("d").until), (Some(2_000), Some(2_000)));
    reader.lead_after(None, script::written(&left)).await;
    reader.line_at("end", 9_100).await;
    bus.until("the end", |bus| bus.texts().len() == 2).await;
    reader.ticks(6).await;
    assert_eq!(bus.of_type(GAP).len(), 0);
}

/// A leader that sees the bus late learns only after it has begun to lead that it had read across: its own lines were there.
#[tokio::test]
async fn who_learns_late_that_it_read_across_publishes_no_gap() {
    let bus = ScriptedBus::new();
    bus.blind(true);
    bus.publishes("a");
    bus.ingress(Mode::Unreachable);
    let mut bench = Bench::new(&bus, config());
    bench.joined("c", 1_000).await;
    bench.joined("d", 1_000).await;
    bench.line_at("a", 1_500).await;
    let note = Note::new(r#"{"all":{"since":1,"covered_until":2000},"at":2000,"last":{"pos":1,"known_at":1900}}"#);
    bench.lead_after(None, Some(note.unwrap())).await;
    bench.until("an attempt", |shown| shown.bus_failures > 0).await;
    bus.ingress(Mode::Takes);
    bench.until("the answer", |shown| shown.deduplicated == 1).await;
    bench.ticks(6).await;
    assert_eq!((bench.shown().gaps, bus.of_type(GAP).len()), (0, 0));
}

/// The first leader's clock was 20 s ahead, the second one could not read the channel and goes too: the third one's gap still
/// begins where the first one ended in true time.
#[tokio::test]
async fn a_clocks_error_outlives_the_next_leader() {
    let bus = ScriptedBus::new();
    let mut second = Bench::new(&bus, config());
    second.joined("d", 999_000).await;
    second.alive(1_001_000).await;
    let first = Note::new(r#"{"all":{"since":1,"covered_until":1020000},"at":1020000,"ahead":20000}"#).unwrap();
    second.lead_after(None, Some(first)).await;
    second.until_notes("a note", |notes| notes.leader.as_ref().is_some_and(|note| note.channel("c").held_back)).await;
    let left = within("standing by", second.stand_by(Duration::ZERO, true)).await.note;
    let mut third = Bench::new(&bus, config());
    third.lead_after(None, script::written(&left)).await;
    third.joined("c", 1_030_000).await;
    third.until("the gap", |shown| shown.gaps > 0).await;
    bus.until("the gap", |bus| bus.of_type(GAP).iter().any(|gap| gap["source"]["channel"] == "c")).await;
    let gaps = bus.of_type(GAP);
    let gap = &gaps.iter().find(|gap| gap["source"]["channel"] == "c").unwrap()["payload"];
    assert_eq!((&gap["from"], &gap["uncertain"]), (&"1970-01-01T00:16:40.000Z".into(), &true.into()));
}
