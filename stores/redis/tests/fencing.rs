//! The fence of the guide, as its reader runs it: one script refuses a stale writer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, or_skip};

const TERM: u64 = 1_763_712_000_000_000;

fn server() -> Option<Redis> {
    Some(or_skip("redis fencing", true, RedisPrograms::find())?.start(RedisOptions::default()).unwrap())
}

/// What the guide's script answers to a write.
fn under(server: &Redis, term: u64, body: &str) -> String {
    let guide = include_str!("../../../docs/fencing.md");
    let script = guide.split("```lua\n").nth(1).unwrap().split("```").next().unwrap();
    server.cli(["eval", script, "2", "fence:{7}", "report:{7}", &term.to_string(), body])
}

fn body(server: &Redis) -> String {
    server.cli(["get", "report:{7}"]).trim().to_owned()
}

/// A write under an earlier term than the last is refused and leaves nothing; equal and later ones pass.
#[test]
fn a_stale_writer_is_refused() {
    let Some(server) = server() else { return };
    for (term, text) in [(TERM, "first"), (TERM, "again"), (TERM + 1, "later")] {
        assert_eq!(under(&server, term, text).trim(), "OK");
        assert_eq!(body(&server), text);
    }
    let refused = under(&server, TERM, "stale");
    assert!(refused.contains("FENCED") && refused.contains("a later one has written"), "{refused}");
    assert_eq!(body(&server), "later");
}

/// Of many writers at once the one with the highest term has the last word, and each of the others before it or none.
#[test]
fn the_highest_term_of_many_stands() {
    let Some(server) = server() else { return };
    let mut refused = 0;
    for round in 0..10 {
        let answers: Vec<(u64, String)> = std::thread::scope(|scope| {
            let terms = (0..8).map(|writer| TERM + round * 8 + (writer * 5 + round) % 8);
            let server = &server;
            let writers: Vec<_> =
                terms.map(|term| scope.spawn(move || (term, under(server, term, &term.to_string())))).collect();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        let highest = TERM + round * 8 + 7;
        assert_eq!(body(&server), highest.to_string());
        for (term, answer) in answers {
            let is_refused = answer.contains("FENCED");
            assert!(is_refused != (answer.trim() == "OK") && !(is_refused && term == highest), "{term}: {answer}");
            refused += u32::from(is_refused);
        }
    }
    println!("{refused} of 80 refused");
}
