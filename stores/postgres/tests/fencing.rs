//! The fence of the guide, as its reader runs it: a stale writer is refused within its own transaction.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use tenure_test_servers::{Postgres, PostgresOptions, PostgresPrograms, or_skip};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

const TERM: u64 = 1_763_712_000_000_000;

/// The guide's blocks of SQL for this database.
fn blocks() -> [&'static str; 2] {
    let guide = include_str!("../../../docs/fencing.md");
    let section = guide.split("\n## ").find(|section| section.starts_with("PostgreSQL")).unwrap();
    let blocks: Vec<_> = section.split("```sql\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    blocks.try_into().unwrap()
}

/// A server with the fence, and a report to write.
fn server() -> Option<Postgres> {
    let server =
        or_skip("postgres fencing", true, PostgresPrograms::find())?.start(PostgresOptions::default()).unwrap();
    assert_eq!(server.psql(blocks()[0]), "");
    server.psql("create table report (id int, body text); insert into report values (7, '')");
    Some(server)
}

fn body(server: &Postgres) -> String {
    server.psql("select body from report where id = 7").trim().to_owned()
}

/// The guide's transaction under another term, with another text.
fn under(term: u64, body: &str) -> String {
    blocks()[1].replace("1763712000000000", &term.to_string()).replace("'done'", &format!("'{body}'"))
}

/// The same, statement by statement, as somebody types it.
fn typed(term: u64, body: &str) -> Vec<String> {
    under(term, body).split_inclusive(';').map(|one| one.trim().to_owned()).filter(|one| !one.is_empty()).collect()
}

async fn connect(server: &Postgres) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A write under an earlier term than the last is refused and leaves nothing; equal and later ones pass, and a later holder waits
/// for what an earlier one has begun.
#[test]
fn a_stale_writer_is_refused() {
    let Some(server) = server() else { return };
    for (term, text) in [(TERM, "first"), (TERM, "again"), (TERM + 1, "later")] {
        assert_eq!(server.psql(&under(term, text)).trim(), "");
        assert_eq!(body(&server), text);
    }
    let refused = server.psql(&under(TERM, "stale"));
    assert!(refused.contains("is over: a later one has written"), "{refused}");
    assert_eq!(body(&server), "later");
    // What an earlier holder has begun ends before a later one writes.
    let slow = under(TERM + 1, "slow").replace("update", "select pg_sleep(1); update");
    std::thread::scope(|scope| {
        let early = scope.spawn(|| server.psql(&slow));
        let begun = "select count(*) from pg_stat_activity where query like '%pg_sleep(1)%' and wait_event = 'PgSleep'";
        while server.psql(begun).trim() != "1" {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(server.psql(&under(TERM + 2, "newest")).trim(), "");
        assert_eq!(early.join().unwrap().trim(), "");
    });
    assert_eq!(body(&server), "newest");
}

/// A stale writer whose transaction began first, and that has read already, is refused once a later one has written: at every
/// level of isolation, and also where it goes on to the end as if nothing had happened.
#[tokio::test]
async fn beginning_first_does_not_help() {
    let Some(server) = server() else { return };
    let mut term = TERM;
    for level in ["read committed", "repeatable read", "serializable"] {
        // A sink that nobody has written to has no row that could be locked.
        server.psql("delete from tenure_fence");
        for _ in 0..2 {
            term += 2;
            let (stale, later) = (connect(&server).await, connect(&server).await);
            for client in [&stale, &later] {
                let set = format!("set default_transaction_isolation to '{level}'");
                client.batch_execute(&set).await.unwrap();
            }
            let typed = typed(term, "stale");
            let [begin, admit, update, commit] = &typed[..] else { panic!("{typed:?}") };
            stale.batch_execute(begin).await.unwrap();
            stale.simple_query("select body from report").await.unwrap();
            later.batch_execute(&under(term + 1, level)).await.unwrap();
            let refused = stale.batch_execute(admit).await.unwrap_err();
            let code = refused.code().unwrap();
            match level {
                "read committed" => assert_eq!(code.code(), "TN001", "{refused}"),
                _ => assert_eq!(code, &SqlState::T_R_SERIALIZATION_FAILURE, "{refused}"),
            }
            assert!(stale.batch_execute(update).await.is_err());
            stale.batch_execute(commit).await.unwrap();
            assert_eq!(body(&server), level);
            // A repeat is told the reason.
            let refused = stale.batch_execute(&under(term, "stale")).await.unwrap_err();
            assert_eq!(refused.code().unwrap().code(), "TN001", "{refused}");
            stale.batch_execute("rollback").await.unwrap();
            assert_eq!(body(&server), level);
        }
    }
}

/// Of many writers at once, under terms in any order, what was written never goes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_write_never_goes_back() {
    let Some(server) = server() else { return };
    server.psql("create table log (at bigserial, term bigint)");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let client = connect(&server).await;
        writers.spawn(async move {
            let mut refused = 0;
            for turn in 0..25 {
                // Rises by fits and starts, as each writer believes.
                let term = TERM + turn * 8 + (writer * 13 + turn * 29) % 41;
                let write =
                    under(term, "x").replace("update", &format!("insert into log (term) values ({term}); update"));
                match client.batch_execute(&write).await {
                    Ok(()) => {}
                    Err(error) => {
                        assert_eq!(error.code().unwrap().code(), "TN001", "{error}");
                        client.batch_execute("rollback").await.unwrap();
                        refused += 1;
                    }
                }
            }
            refused
        });
    }
    let refused: u64 = writers.join_all().await.into_iter().sum();
    let written = server.psql("select count(*) from log").trim().parse::<u64>().unwrap();
    let fallen =
        "select count(*) from (select term, lag(term) over (order by at) as last from log) as l where term < last";
    assert_eq!((server.psql(fallen).trim(), written + refused), ("0", 200));
    assert!(refused > 0 && written > 0, "{refused} refused, {written} written");
}
