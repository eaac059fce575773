//! The fence of the guide, as its reader runs it: a stale writer is refused within its own transaction.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tenure_test_servers::{PostgresOptions, PostgresPrograms, or_skip};

/// The guide's blocks of SQL for this database.
fn blocks() -> Vec<&'static str> {
    let guide = include_str!("../../../docs/fencing.md");
    let section = guide.split("\n## ").find(|section| section.starts_with("PostgreSQL")).unwrap();
    section.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// A write under an earlier term than the last is refused and leaves nothing; equal and later ones pass, and a later holder waits
/// for what an earlier one has begun.
#[test]
fn a_stale_writer_is_refused() {
    let Some(programs) = or_skip("postgres fencing", true, PostgresPrograms::find()) else { return };
    let server = programs.start(PostgresOptions::default()).unwrap();
    let [made, write] = blocks()[..] else { panic!("{:?}", blocks()) };
    assert_eq!(server.psql(made), "");
    server.psql("create table report (id int, body text); insert into report values (7, '')");
    let term: u64 = 1_763_712_000_000_000;
    let under = |term: u64, body: &str| {
        write.replace("1763712000000000", &term.to_string()).replace("'done'", &format!("'{body}'"))
    };
    let body = || server.psql("select body from report where id = 7").trim().to_owned();
    for (term, text) in [(term, "first"), (term, "again"), (term + 1, "later")] {
        assert_eq!(server.psql(&under(term, text)).trim(), "");
        assert_eq!(body(), text);
    }
    let refused = server.psql(&under(term, "stale"));
    assert!(refused.contains("is over: a later one has written"), "{refused}");
    assert_eq!(body(), "later");
    // What an earlier holder has begun ends before a later one writes.
    let slow = under(term + 1, "slow").replace("update", "select pg_sleep(1); update");
    std::thread::scope(|scope| {
        let early = scope.spawn(|| server.psql(&slow));
        let begun = "select count(*) from pg_stat_activity where query like '%pg_sleep(1)%' and wait_event = 'PgSleep'";
        while server.psql(begun).trim() != "1" {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(server.psql(&under(term + 2, "newest")).trim(), "");
        assert_eq!(early.join().unwrap().trim(), "");
    });
    assert_eq!(body(), "newest");
}
