//! The fence of the guide, as its reader runs it: one script refuses a stale writer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};

/// A write under an earlier term than the last is refused and leaves nothing; equal and later ones pass.
#[test]
fn a_stale_writer_is_refused() {
    let Some(programs) = or_skip("redis fencing", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let guide = include_str!("../../../docs/fencing.md");
    let script = guide.split("```lua\n").nth(1).unwrap().split("```").next().unwrap();
    let term: u64 = 1_763_712_000_000_000;
    let under =
        |term: u64, body: &str| server.cli(["eval", script, "2", "fence:{7}", "report:{7}", &term.to_string(), body]);
    let body = || server.cli(["get", "report:{7}"]).trim().to_owned();
    for (term, text) in [(term, "first"), (term, "again"), (term + 1, "later")] {
        assert_eq!(under(term, text).trim(), "OK");
        assert_eq!(body(), text);
    }
    let refused = under(term, "stale");
    assert!(refused.contains("FENCED") && refused.contains("a later one has written"), "{refused}");
    assert_eq!(body(), "later");
}
