//! The fence of the guide, as its reader runs it: a stale writer is refused within its own transaction.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

const TERM: u64 = 1_763_712_000_000_000;

/// The guide's blocks of SQL for this database.
fn blocks() -> [&'static str; 2] {
    let guide = include_str!("../../../docs/fencing.md");
    let section = guide.split("\n## ").find(|section| section.starts_with("SQLite")).unwrap();
    let blocks: Vec<_> = section.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    blocks.try_into().unwrap()
}

/// A database with the fence, and a report to write.
fn database(path: &Path) -> Connection {
    let connection = connect(path);
    connection.execute_batch(blocks()[0]).unwrap();
    connection.execute_batch("create table report (id int, body text); insert into report values (7, '')").unwrap();
    connection
}

fn connect(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection
}

fn body(connection: &Connection) -> String {
    connection.query_row("select body from report", [], |row| row.get(0)).unwrap()
}

/// The guide's transaction under another term, with another text.
fn under(term: u64, body: &str) -> String {
    blocks()[1].replace("1763712000000000", &term.to_string()).replace("'done'", &format!("'{body}'"))
}

/// A write under an earlier term than the last is refused and leaves nothing, not even an open transaction; equal and later ones pass.
#[test]
fn a_stale_writer_is_refused() {
    let connection = database(Path::new(":memory:"));
    for (term, text) in [(TERM, "first"), (TERM, "again"), (TERM + 1, "later")] {
        connection.execute_batch(&under(term, text)).unwrap();
        assert_eq!(body(&connection), text);
    }
    let refused = connection.execute_batch(&under(TERM, "stale")).unwrap_err().to_string();
    assert!(refused.contains("a later one has written") && connection.is_autocommit(), "{refused}");
    assert_eq!(body(&connection), "later");
}

/// Whoever sends the statements one by one and does not stop at the one that fails writes nothing either, though no transaction is
/// open any more by then.
#[test]
fn going_on_after_the_refusal_writes_nothing() {
    let connection = database(Path::new(":memory:"));
    connection.execute_batch(&under(TERM + 1, "later")).unwrap();
    let stale = under(TERM, "stale");
    let ended: Vec<bool> = stale.split_inclusive(';').map(|one| connection.execute_batch(one).is_ok()).collect();
    assert_eq!(ended[..4], [true, false, true, false], "begun, refused, without effect, nothing to commit");
    assert_eq!(body(&connection), "later");
}

/// A stale writer whose transaction began first is refused once a later one has written; one that holds the lock is waited for.
#[test]
fn beginning_first_does_not_help() {
    for mode in ["delete", "wal"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data.db");
        let stale = database(&path);
        stale.pragma_update(None, "journal_mode", mode).unwrap();
        let later = connect(&path);
        // A deferred transaction has no lock yet, and no snapshot.
        stale.execute_batch("begin").unwrap();
        later.execute_batch(&under(TERM + 1, "later")).unwrap();
        let refused = stale.execute_batch(&under(TERM, "stale").replace("begin immediate;", "")).unwrap_err();
        assert!(refused.to_string().contains("a later one has written") && stale.is_autocommit(), "{refused}");
        assert_eq!(body(&later), "later");

        let whole = under(TERM + 1, "slow");
        let (begun, rest) = whole.split_at(whole.find("update report").unwrap());
        stale.execute_batch(begun).unwrap();
        later.busy_timeout(Duration::ZERO).unwrap();
        assert!(later.execute_batch(&under(TERM + 2, "newest")).is_err(), "it should wait");
        stale.execute_batch(rest).unwrap();
        later.execute_batch(&under(TERM + 2, "newest")).unwrap();
        assert_eq!(body(&later), "newest");
    }
}

/// Of many writers at once, under terms in any order, what was written never goes back.
#[test]
fn what_many_write_never_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.db");
    let first = database(&path);
    first.pragma_update(None, "journal_mode", "wal").unwrap();
    first.execute_batch("create table log (at integer primary key autoincrement, term integer)").unwrap();
    let refused: u32 = std::thread::scope(|scope| {
        let write = |writer: u64| {
            let connection = connect(&path);
            let mut refused = 0;
            for turn in 0..25 {
                let term = TERM + turn * 8 + (writer * 13 + turn * 29) % 41;
                let log = format!("insert into log (term) values ({term}); update report");
                if let Err(error) = connection.execute_batch(&under(term, "x").replace("update report", &log)) {
                    assert!(error.to_string().contains("a later one has written"), "{error}");
                    refused += 1;
                }
            }
            refused
        };
        let writers: Vec<_> = (0..8).map(|writer| scope.spawn(move || write(writer))).collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    let count = |sql: &str| first.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    let written = count("select count(*) from log");
    let fallen = "select count(*) from (select term, lag(term) over (order by at) as last from log) where term < last";
    assert_eq!((count(fallen), written + refused), (0, 200));
    assert!(refused > 0 && written > 0, "{refused} refused, {written} written");
}
