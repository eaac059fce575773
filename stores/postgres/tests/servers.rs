//! What PostgreSQL can be made to do to those who use it: tables that are missing, logins that are refused, hosts that take no
//! writes, sessions that somebody set up otherwise or ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;
#[path = "support/proxy.rs"]
mod proxy;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kit::*;
use proxy::{Mode, Proxy};
use tenure_records::{Content, Place, Records, Swap, Write};
use tenure_store::{Claimed, KeyPrefix, LeaseStore, Released, Renewed, StoreErrorKind};
use tenure_test_servers::{Postgres, PostgresOptions};
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(60);

fn server(options: PostgresOptions) -> Option<Postgres> {
    Some(programs()?.start(options).unwrap())
}

/// Nothing failed at the server but the first look at tables that were not there yet.
fn no_errors(server: &Postgres) {
    let log = std::fs::read_to_string(server.folder().join("log")).unwrap();
    let errors: Vec<&str> =
        log.lines().filter(|line| line.contains("ERROR") && !line.contains("does not exist")).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// Of many who come at once one makes the tables, and nobody fails. Whoever finds them dropped later makes them anew, and goes on
/// without being started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_made_where_they_are_missing() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    assert_eq!(server.psql("create schema ops"), "");
    let url = server.url() + "?schema=ops&table=elections";
    let stores = join_all((0..16).map(|_| open(&url))).await;
    let first = claim("k", 1, TTL);
    let own = granted(&stores[0], &first).await;
    assert_eq!(server.psql("select holder, term from ops.elections").trim(), format!("holder-1|{}", own.term));
    for round in 0..3 {
        server.psql("drop table ops.elections, ops.elections_documents");
        let again = claim("k", 2 + round, TTL);
        let next = granted(&stores[usize::try_from(round).unwrap()], &again).await;
        assert!(next.term > own.term);
        let documents = stores[9].records().read(&Place::document(&key("d"))).await;
        assert_eq!(documents.unwrap().content, None);
    }
    assert!(matches!(renew(&stores[0], &own).await.unwrap(), Renewed::Lost { .. }));
}

/// Whoever may not make the tables is told which are missing and how they are made; with those, and the rights to rows alone,
/// everything works.
#[tokio::test]
async fn few_rights_are_enough() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    server.psql("create role app login; revoke create on schema public from public");
    let url = server.url().replace("postgres@", "app@");
    let error = try_open(&url).await.unwrap_err();
    let said = error.to_string();
    assert_eq!(error.kind(), StoreErrorKind::Denied, "{said}");
    assert!(said.contains("\"tenure_leases\" cannot be made") && said.contains("permission denied"), "{said}");
    // As the administrator would: the statement that the error tells, then the next one.
    for table in ["tenure_leases", "tenure_documents"] {
        let said = refused(&url).await;
        let create = &said[said.find("create table").unwrap()..];
        assert!(create.contains(table), "{create}");
        server.psql(create);
        assert!(refused(&url).await.contains("GRANT SELECT, INSERT, UPDATE, DELETE ON"));
        assert_eq!(server.psql(&format!("grant select, insert, update, delete on {table} to app")), "");
    }
    let store = open(&url).await;
    assert!(store.info().watch);
    let own = granted(&store, &claim("k", 1, TTL)).await;
    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
}

/// Of several hosts the one that takes writes is used, whatever its place; one that stops taking them is told, or left for
/// another, and what a replica answers is not believed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_without_writes_are_passed_over() {
    let read_only =
        PostgresOptions { settings: vec!["default_transaction_read_only=on".to_owned()], ..PostgresOptions::default() };
    let (Some(first), Some(mut second)) = (server(read_only), server(PostgresOptions::default())) else { return };
    let alone = refused(&first.url()).await;
    assert!(alone.contains("does not allow writes") && alone.contains(&first.port().to_string()), "{alone}");
    // The third place is nobody's.
    let both =
        format!("postgres://postgres@127.0.0.1:{},127.0.0.1:{},127.0.0.1:1/postgres", first.port(), second.port());
    let store = open(&both).await;
    let own = granted(&store, &claim("k", 1, TTL)).await;
    // The server that was written to forbids it for a while: told, not done, and mended without a restart.
    let set = |value: &str| {
        second.psql(&format!("alter system set default_transaction_read_only = {value}"));
        second.psql("select pg_reload_conf()");
    };
    set("on");
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        match renew(&store, &own).await {
            Err(error) => break assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
            Ok(_) => assert!(Instant::now() < until),
        }
    }
    set("off");
    while renew(&store, &own).await.is_err() {
        assert!(Instant::now() < until + Duration::from_secs(20));
    }
    // It comes back as a replica: nobody believes what it has, nor writes there.
    second.kill();
    std::fs::write(second.folder().join("data/standby.signal"), "").unwrap();
    second.start_again().unwrap();
    assert!(store.record(&own.key).await.is_err());
    let replica_only = refused(&second.url()).await;
    assert!(replica_only.contains("does not allow writes"), "{replica_only}");
}

/// Where the database isolates transactions more strictly than it needs to, a lost race is still an answer and no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_race_is_no_error_at_any_isolation() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    for isolation in ["serializable", "repeatable read"] {
        server.psql(&format!("alter role postgres set default_transaction_isolation = '{isolation}'"));
        let url = server.url();
        let stores: Vec<_> = join_all((0..10).map(|_| open(&url))).await.into_iter().map(Arc::new).collect();
        for round in 0..20 {
            let name = format!("{isolation}/{}", round % 7);
            let tries = (0..50).map(|process| {
                let (store, claim) =
                    (Arc::clone(&stores[process % stores.len()]), claim(&name, 1_000 * round + process as u64, TTL));
                tokio::spawn(async move { (acquire(&store, &claim).await.unwrap(), claim) })
            });
            let mut granted = Vec::new();
            for tried in join_all(tries).await {
                if let (Claimed::Granted { term, .. }, claim) = tried.unwrap() {
                    granted.push(held(&claim, term));
                }
            }
            assert_eq!(granted.len(), 1, "{name}");
            // Half of the rounds begin with a row that is free again, the others with none.
            assert_eq!(release(&stores[0], &granted[0]).await.unwrap(), Released::Freed);
        }
        let own = granted(&stores[1], &claim("renewed", 1, TTL)).await;
        for _ in 0..1_000 {
            assert!(matches!(renew(&stores[1], &own).await.unwrap(), Renewed::Extended { .. }));
        }
        release(&stores[1], &own).await.unwrap();
    }
}

/// Batches that name the same keys in opposite orders, new keys and old ones, wait for each other and never block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_in_opposite_orders_do_not_deadlock() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let stores = [Arc::new(open(&server.url()).await), Arc::new(open(&server.url()).await)];
    for round in 0..40_u64 {
        // Some of the keys are old by now, some are new in this round.
        let names: Vec<String> =
            (0..60).map(|n| if n % 3 == 0 { format!("{n}/{round}") } else { format!("{n}") }).collect();
        let batches = [1, 2].map(|process| {
            let mut claims: Vec<_> = names.iter().map(|name| claim(name, process + 10 * round, TTL)).collect();
            if process == 2 {
                claims.reverse();
            }
            let store = Arc::clone(&stores[usize::try_from(process - 1).unwrap()]);
            tokio::spawn(async move {
                let answers = store.acquire(&claims).await.unwrap();
                let mut own = Vec::new();
                for (claim, answer) in claims.iter().zip(answers) {
                    if let Claimed::Granted { term, .. } = answer.unwrap() {
                        own.push(held(claim, term));
                    }
                }
                let renewed = store.renew(&own).await.unwrap();
                assert!(renewed.iter().all(|renewed| matches!(renewed, Ok(Renewed::Extended { .. }))), "{renewed:?}");
                let freed = store.release(&own).await.unwrap();
                assert!(freed.iter().all(|freed| matches!(freed, Ok(Released::Freed))), "{freed:?}");
                own.len()
            })
        });
        let won: usize = join_all(batches).await.into_iter().map(|won| won.unwrap()).sum();
        assert!(won >= names.len(), "{won}");
    }
    no_errors(&server);
}

/// Sessions with other time zones on either side change nothing: nobody is granted early, and what is left is told right.
#[tokio::test]
async fn time_zones_change_nothing() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    for (one, two) in [("+00", "+05"), ("+00", "-05"), ("Asia/Kathmandu", "America/St_Johns")] {
        let mut stores = Vec::new();
        for zone in [one, two] {
            server.psql(&format!("alter role postgres set timezone = '{zone}'"));
            stores.push(open(&server.url()).await);
        }
        let (first, second) = (claim(one, 1, Duration::from_secs(2)), claim(one, 2, Duration::from_secs(2)));
        let sent = Instant::now();
        let own = granted(&stores[0], &first).await;
        match acquire(&stores[1], &second).await.unwrap() {
            Claimed::Held { remaining: Some(left), .. } => {
                assert!(left <= first.ttl && left + Duration::from_secs(1) >= first.ttl - sent.elapsed(), "{left:?}");
            }
            other => panic!("{other:?}"),
        }
        while !matches!(acquire(&stores[1], &second).await.unwrap(), Claimed::Granted { .. }) {}
        assert!(sent.elapsed() >= first.ttl, "{:?}", sent.elapsed());
        assert!(matches!(renew(&stores[0], &own).await.unwrap(), Renewed::Lost { .. }));
        server.psql("delete from tenure_leases");
    }
}

/// A holder keeps its term although somebody ends every session, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_sessions_cost_no_tenure() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let store = open(&server.url()).await;
    let own = granted(&store, &claim("k", 1, Duration::from_secs(2))).await;
    let _wakes = store.watch(&KeyPrefix::default()).await.unwrap();
    let (begun, mut answered, mut ended) = (Instant::now(), Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(8) {
        let all = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'tenure'";
        ended += server.psql(all).trim().parse::<u32>().unwrap();
        for _ in 0..5 {
            let sent = Instant::now();
            match renew(&store, &own).await {
                Ok(Renewed::Extended { .. }) => answered = sent,
                Ok(lost) => panic!("{lost:?} after {:?}", answered.elapsed()),
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            assert!(answered.elapsed() < Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(ended > 20, "{ended}");
    server.psql("alter role postgres set idle_session_timeout = '100ms'");
    let store = open(&server.url()).await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
    }
}

/// A claim whose answer is lost is neither granted nor refused; repeated, it gets the term that it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_unknown() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let proxy = Proxy::to(server.port()).await;
    let (store, other) = (open(&proxy.url()).await, open(&server.url()).await);
    // Known to the store, so that its next claim is one write.
    let first = claim("k", 1, TTL);
    let before = granted(&store, &first).await;
    release(&store, &before).await.unwrap();
    proxy.set(Mode::LoseAnswers);
    let again = claim("k", 2, TTL);
    let error = acquire(&store, &again).await.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error}");
    proxy.set(Mode::Pass);
    let Claimed::Held { by, term: Some(term), .. } = acquire(&other, &claim("k", 3, TTL)).await.unwrap() else {
        panic!()
    };
    assert_eq!(by.as_str(), "holder-2");
    assert_eq!(granted(&store, &again).await.term, term);
    // A server that stops answering ends no call late, and no answer is made up.
    proxy.set(Mode::Hold);
    let sent = Instant::now();
    let error = renew(&store, &held(&again, term)).await.unwrap_err();
    assert!(
        error.is_outcome_unknown() && sent.elapsed() < Duration::from_secs(6),
        "{error} after {:?}",
        sent.elapsed()
    );
    proxy.set(Mode::Pass);
    assert!(matches!(renew(&store, &held(&again, term)).await.unwrap(), Renewed::Extended { .. }));
}

/// Where notifications do not arrive, as behind a pooler of transactions, the store says that it has no hints, and all else works.
#[tokio::test]
async fn without_notifications_there_are_no_hints() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let proxy = Proxy::to(server.port()).await;
    proxy.set(Mode::NoNotifications);
    let store = open(&proxy.url()).await;
    assert!(!store.info().watch);
    let Err(error) = store.watch(&KeyPrefix::default()).await else { panic!("hints without notifications") };
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    let own = granted(&store, &claim("k", 1, TTL)).await;
    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    assert!(open(&server.url()).await.info().watch);
    no_errors(&server);
}

/// Calls that wait for a row that somebody has locked end in time, and leave no session behind at the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_row_holds_up_nobody_for_long() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let server = Arc::new(server);
    let store = open(&(server.url() + "?timeout=1s")).await;
    let own = granted(&store, &claim("k", 1, TTL)).await;
    let locking = Arc::clone(&server);
    let locked = std::thread::spawn(move || {
        locking.psql("begin; select from tenure_leases where key = 'k' for update; select pg_sleep(9); commit")
    });
    while server.psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'").trim() != "1" {}
    for _ in 0..6 {
        let error = renew(&store, &own).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error}");
        granted(&store, &claim(&format!("free/{:?}", Instant::now()), 1, TTL)).await;
        let sessions = server.psql("select count(*) from pg_stat_activity where application_name = 'tenure'");
        assert!(sessions.trim().parse::<u32>().unwrap() <= 6, "{sessions}");
    }
    locked.join().unwrap();
    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
}

/// Documents are made, replaced and deleted where they are as they were seen, and lie in a table of their own.
#[tokio::test]
async fn documents_are_compared_and_swapped() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let store = open(&server.url()).await;
    let records = store.records();
    let place = Place::document(&key("wanted/a"));
    let write = |expected: Option<&tenure_records::Version>, to: Option<&[u8]>| Write {
        place: place.clone(),
        expected: expected.cloned(),
        to: to.map(|bytes| Content::Document(bytes.to_vec())),
    };
    let Swap::Done(first) = records.write(&write(None, Some(b"one\0\xff"))).await.unwrap() else { panic!() };
    assert!(matches!(records.write(&write(None, Some(b"two"))).await.unwrap(), Swap::Conflict(_)));
    let Swap::Done(second) = records.write(&write(Some(&first), Some(b"one\0\xff"))).await.unwrap() else { panic!() };
    assert!(first != second && matches!(records.write(&write(Some(&first), None)).await.unwrap(), Swap::Conflict(_)));
    let seen = records.read(&place).await.unwrap();
    assert_eq!((seen.content, seen.version.as_ref()), (Some(Content::Document(b"one\0\xff".to_vec())), Some(&second)));
    assert_eq!(
        records.scan(tenure_records::Kind::Document, &KeyPrefix::new("wanted/").unwrap()).await.unwrap().len(),
        1
    );
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 0);
    assert!(matches!(records.write(&write(Some(&second), None)).await.unwrap(), Swap::Done(_)));
    assert_eq!(records.read(&place).await.unwrap().content, None);
    // A lease and a document under one key are apart, also in one batch.
    let mixed =
        [write(None, Some(b"three")), Write { place: Place::document(&key("other")), ..write(None, Some(b"four")) }];
    assert!(records.write_many(&mixed).await.iter().all(|swap| matches!(swap, Ok(Swap::Done(_)))));
    assert_eq!(server.psql("select count(*) from tenure_documents").trim(), "2");
}
