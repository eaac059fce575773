//! The fence of the guide, as its reader runs it: a stale writer is refused within its own transaction.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rusqlite::Connection;

/// A write under an earlier term than the last is refused and leaves nothing, not even an open transaction; equal and later ones pass.
#[test]
fn a_stale_writer_is_refused() {
    let guide = include_str!("../../../docs/fencing.md");
    let section = guide.split("\n## ").find(|section| section.starts_with("SQLite")).unwrap();
    let blocks: Vec<&str> = section.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    let [made, write] = blocks[..] else { panic!("{blocks:?}") };
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(made).unwrap();
    connection.execute_batch("create table report (id int, body text); insert into report values (7, '')").unwrap();
    let term: u64 = 1_763_712_000_000_000;
    let under = |term: u64, body: &str| {
        let sql = write.replace("1763712000000000", &term.to_string()).replace("'done'", &format!("'{body}'"));
        connection.execute_batch(&sql)
    };
    let body = || connection.query_row("select body from report", [], |row| row.get::<_, String>(0)).unwrap();
    for (term, text) in [(term, "first"), (term, "again"), (term + 1, "later")] {
        under(term, text).unwrap();
        assert_eq!(body(), text);
    }
    let refused = under(term, "stale").unwrap_err().to_string();
    assert!(refused.contains("a later one has written") && connection.is_autocommit(), "{refused}");
    assert_eq!(body(), "later");
}
