//! What befalls PostgreSQL and those who lease there: a kill during a commit, clocks that are set, limits and poolers of an
//! administrator, and what other people's users ran into.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;
#[path = "support/pooler.rs"]
mod pooler;

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use kit::*;
use pooler::FakePooler;
use tenure_base_postgres::{Database, DatabaseConfig, Told, UrlForm};
use tenure_store::{
    Bound, BoundClaim, Claim, Claimed, DocumentStore, Held, KeyPrefix, LeaseStore, Note, Released, Renewed, StoreError,
    StoreErrorKind, Swapped, Term,
};
use tenure_test_servers::{PgBouncer, Postgres, PostgresOptions, WallClock, or_skip};
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(60);

fn server(options: PostgresOptions) -> Option<Postgres> {
    Some(programs()?.start(options).unwrap())
}

fn errors(server: &Postgres) -> Vec<String> {
    let log = std::fs::read_to_string(server.folder().join("log")).unwrap();
    let is_error = |line: &&str| line.contains("ERROR");
    log.lines().filter(is_error).filter(|line| !line.contains("does not exist")).map(str::to_owned).collect()
}

/// A key is claimed in the first call, whether its row is absent, over or released, and no statement fails on the way.
#[tokio::test]
async fn the_first_call_claims_a_row_of_any_state() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let url = server.url();
    let absent = granted(&open(&url).await, &claim("absent", 1, TTL)).await;
    assert_eq!(server.psql("select holder from tenure_leases where key = 'absent'").trim(), "holder-1");
    assert_eq!(release(&open(&url).await, &absent).await.unwrap(), Released::Freed);
    assert_eq!(server.psql("select count(*) from tenure_leases where holder is null").trim(), "1");
    let again = granted(&open(&url).await, &claim("absent", 2, Duration::from_secs(1))).await;
    let over = "select count(*) from tenure_leases where clock_timestamp() - touched_at > ttl_ms * interval '1 ms'";
    while server.psql(over).trim() != "1" {}
    let last = granted(&open(&url).await, &claim("absent", 3, TTL)).await;
    assert!(absent.term < again.term && again.term < last.term);
    assert!(errors(&server).is_empty(), "{:?}", errors(&server));
}

/// Renewals ring no bell: of a claim, ten renewals and a release two are told, so that nobody who waits is woken for nothing.
#[tokio::test]
async fn the_bell_rings_for_claims_and_releases_alone() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let store = open(&server.url()).await;
    const FORM: UrlForm = UrlForm { name: "postgres", example: "postgres://", port: 0, options: &[] };
    let (config, _) = DatabaseConfig::parse(&server.url(), &FORM).unwrap();
    let mut bell = Database::new(config).unwrap().listen("tenure_leases").await.unwrap();
    let own = granted(&store, &claim("k", 1, TTL)).await;
    for _ in 0..10 {
        assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
    }
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    server.psql("select pg_notify('tenure_leases', 'the end')");
    // What stands there then comes along, so that whoever waits need not read it.
    for holder in [r#""holder":"holder-1""#, r#""holder":null"#] {
        let told = Told::of(&bell.next().await.unwrap());
        assert!(told.key == "k" && told.found.as_ref().is_some_and(|(_, text)| text.contains(holder)), "{told:?}");
    }
    assert_eq!(bell.next().await.as_deref(), Some("the end"));
    // A note that a notification has no room for is read by whoever is told.
    let note = Note::new("n".repeat(7_500)).unwrap();
    granted(&store, &Claim { note, ..claim("k", 2, TTL) }).await;
    assert_eq!(Told::of(&bell.next().await.unwrap()).found, None);
    // Documents have a bell of their own, and it rings for each change.
    let documents = open_documents(&server.url()).await;
    let mut wakes = documents.watch(&KeyPrefix::new("d/").unwrap()).await.unwrap();
    let Swapped::Done(version) = documents.create(&key("d/a"), b"one").await.unwrap() else { panic!() };
    documents.create(&key("other"), b"one").await.unwrap();
    documents.delete(&key("d/a"), &version).await.unwrap();
    documents.create(&key("d/b"), b"one").await.unwrap();
    let told: Vec<_> = wakes.by_ref().filter_map(|wake| async { wake.key }).take(3).collect().await;
    assert_eq!(told, [key("d/a"), key("d/a"), key("d/b")]);
}

/// Behind a pooler that lends two connections to all clients for one transaction at a time everything works but hints: behind
/// a fake one, which never lends the same one twice in a row, and behind PgBouncer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_of_transactions_takes_the_hints_alone() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let fake = FakePooler::to(server.port(), 2).await;
    works_without_hints(&server, &fake.url()).await;
    let sessions = server.psql("select distinct application_name from pg_stat_activity where datname = 'postgres'");
    assert!(!sessions.contains("tenure"), "{sessions}");
    drop(fake);
    let Some(program) = or_skip("pgbouncer", false, PgBouncer::find()) else { return };
    let transactions = PgBouncer::start(&program, &server, "transaction", 2).unwrap();
    works_without_hints(&server, &transactions.url()).await;
    // One that lends whole sessions passes on hints as well.
    let sessions = PgBouncer::start(&program, &server, "session", 20).unwrap();
    assert!(open(&sessions.url()).await.info().watch);
    assert!(errors(&server).is_empty(), "{:?}", errors(&server));
}

/// A claim and a renewal are answered once they are as safe as the server's settings make them, here on a standby that is not
/// there. A release is not waited for, but that of a bound lease is: it has no end of its own, if it is forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_alone_does_not_wait_for_the_disk() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let store = open(&(server.url() + "?timeout=1s")).await;
    let mut plain = Vec::new();
    for name in ["1", "2", "5"] {
        plain.push(granted(&store, &claim(name, 1, TTL)).await);
    }
    let to = Bound { member: key("member"), term: Term::new(7).unwrap() };
    let bound = |name| Claim { bound: Some(BoundClaim { to: to.clone(), last_term: None }), ..claim(name, 3, TTL) };
    let [three, four] = [granted(&store, &bound("3")).await, granted(&store, &bound("4")).await];
    server.psql("alter system set synchronous_standby_names = 'nobody'");
    server.psql("select pg_reload_conf()");
    while server.psql("show synchronous_standby_names").trim() != "nobody" {}
    assert!(renew(&store, &plain[1]).await.unwrap_err().is_outcome_unknown());
    assert_eq!(release(&store, &plain[0]).await.unwrap(), Released::Freed);
    assert_eq!(server.psql("select count(*) from tenure_leases where key = '1' and holder is null").trim(), "1");
    assert!(acquire(&store, &claim("1", 5, TTL)).await.unwrap_err().is_outcome_unknown());
    assert!(release(&store, &three).await.unwrap_err().is_outcome_unknown());
    let both = store.release(&[plain[2].clone(), four]).await.unwrap();
    assert!(both.iter().all(|answer| answer.as_ref().is_err_and(StoreError::is_outcome_unknown)), "{both:?}");
    // What another program wrote has no end that is known here, if its removal is forgotten.
    server.psql(
        "set synchronous_commit = off; insert into tenure_leases (key, version, holder, ttl_ms, hold_ms, resign_requested, \
         touched_at, format) values ('foreign', 1, 'other', 0, 0, false, now(), 9)",
    );
    assert!(store.remove(&key("foreign")).await.unwrap_err().is_outcome_unknown());
}

/// What an administrator may set for sessions changes nothing of what is written and read, by one write or in a batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_sessions_change_nothing() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    drop(open(&server.url()).await);
    for setting in [
        "array_nulls = off",
        "standard_conforming_strings = off",
        "bytea_output = 'escape'",
        "default_transaction_isolation = 'serializable'",
        "datestyle = 'German'",
        "extra_float_digits = -15",
    ] {
        server.psql(&format!("alter role postgres set {setting}"));
    }
    let store = open(&server.url()).await;
    let note = Note::new("a\\\"'{,}\u{0}\u{1a}0\n\\").unwrap();
    for process in 1..3 {
        let claims = ["a", "b"].map(|name| Claim { note: note.clone(), ..claim(name, process, TTL) });
        let granted = store.acquire(&claims).await.unwrap();
        let own = claims.iter().zip(granted).map(|(claim, granted)| match granted.unwrap() {
            Claimed::Granted { term, last_note } => {
                assert_eq!(last_note.is_some(), process == 2, "{last_note:?}");
                Held { note: note.clone(), ..held(claim, term) }
            }
            refused => panic!("{refused:?}"),
        });
        let own: Vec<_> = own.collect();
        assert!(store.renew(&own).await.unwrap().iter().all(|renewed| matches!(renewed, Ok(Renewed::Extended { .. }))));
        assert!(matches!(renew(&store, &own[0]).await.unwrap(), Renewed::Extended { .. }));
        let listed = store.list(&KeyPrefix::default()).await.unwrap();
        assert!(listed.len() == 2 && listed.iter().all(|record| record.note == note), "{listed:?}");
        assert_eq!(release(&store, &own[0]).await.unwrap(), Released::Freed);
        store.release(&own[1..]).await.unwrap();
    }
    assert!(errors(&server).is_empty(), "{:?}", errors(&server));
}

/// A server that is killed while commits are under way: what was granted stands afterwards, what was refused does not, and
/// the rest was told to be unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_commit_leaves_the_outcome_open() {
    // Each commit takes a tenth of a second, so that the kill finds some under way.
    let settings = vec!["commit_delay=100000".to_owned(), "commit_siblings=0".to_owned()];
    let Some(mut server) = server(PostgresOptions { settings, ..PostgresOptions::default() }) else { return };
    let (mut unknown, mut stood, mut definite) = (0, 0, 0);
    for round in 0..8_u64 {
        let store = Arc::new(open(&(server.url() + "?timeout=2s")).await);
        let calls: Vec<_> = (0..16)
            .map(|process| {
                let (store, claim) = (Arc::clone(&store), claim(&format!("{round}/{process}"), process, TTL));
                tokio::spawn(async move { (acquire(&store, &claim).await, claim) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(60 + 40 * round)).await;
        server.kill();
        let answers = join_all(calls).await;
        server.start_again().unwrap();
        let after = open(&server.url()).await;
        for answered in answers {
            let (answer, claim) = answered.unwrap();
            let stands = after.record(&claim.key).await.unwrap();
            match answer {
                Ok(Claimed::Granted { term, .. }) => {
                    definite += 1;
                    let stands = stands.unwrap();
                    assert_eq!((stands.holder, stands.term), (claim.holder, Some(term)));
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) if error.is_outcome_unknown() => {
                    unknown += 1;
                    stood += usize::from(stands.is_some());
                }
                Err(error) => {
                    assert!(error.is_retryable() && stands.is_none(), "{error}: {stands:?}");
                    definite += 1;
                }
            }
        }
    }
    println!("{unknown} unknown, of which {stood} stood; {definite} definite");
    assert!(unknown > 0 && definite > 0);
}

/// A server whose clock is set an hour ahead ends leases early, which is named as a fault, and no sooner or more often than
/// that: whoever lost it is told so, and terms grow. One that is set back again keeps nobody waiting for longer than a ttl.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_set_costs_a_ttl_at_most() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let Some(clock) = WallClock::new(&folder.path().join("clock")).unwrap() else {
        return println!("SKIPPED: postgres clocks: install the Debian package faketime");
    };
    let options = PostgresOptions { clock: Some(clock.clone()), ..PostgresOptions::default() };
    let Some(server) = server(options) else { return };
    let ttl = Duration::from_secs(2);
    let (first, second, third) = (open(&server.url()).await, open(&server.url()).await, open(&server.url()).await);
    let own = granted(&first, &claim("k", 1, ttl)).await;
    assert!(matches!(acquire(&second, &claim("k", 2, ttl)).await.unwrap(), Claimed::Held { .. }));
    clock.set("+1h").unwrap();
    let next = granted(&second, &claim("k", 2, ttl)).await;
    assert!(next.term > own.term);
    assert!(matches!(renew(&first, &own).await.unwrap(), Renewed::Lost { .. }));
    assert!(matches!(renew(&second, &next).await.unwrap(), Renewed::Extended { .. }));
    // The record comes from the future now.
    clock.set("+0").unwrap();
    let renewed = Instant::now();
    assert!(matches!(renew(&second, &next).await.unwrap(), Renewed::Extended { .. }));
    assert!(matches!(acquire(&third, &claim("k", 3, ttl)).await.unwrap(), Claimed::Held { .. }));
    clock.set("-1h").unwrap();
    let last = loop {
        match acquire(&third, &claim("k", 3, ttl)).await.unwrap() {
            Claimed::Granted { term, .. } => break term,
            Claimed::Held { remaining, .. } => assert!(remaining.is_none_or(|left| left <= ttl), "{remaining:?}"),
            other => panic!("{other:?}"),
        }
        assert!(renewed.elapsed() < ttl * 4, "waits for the clock to come back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(renewed.elapsed() >= ttl && last > next.term, "{:?}", renewed.elapsed());
    assert!(matches!(renew(&second, &next).await.unwrap(), Renewed::Lost { .. }));
}

/// Limits that an administrator sets for statements, locks and transactions end none of a holder's calls; a limit that does
/// is told as what was not done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_of_sessions_end_no_tenure() {
    let Some(server) = server(PostgresOptions::default()) else { return };
    let server = Arc::new(server);
    drop(open(&server.url()).await);
    for limit in ["idle_in_transaction_session_timeout = '1ms'", "statement_timeout = '5s'", "lock_timeout = '200ms'"] {
        server.psql(&format!("alter role postgres set {limit}"));
    }
    let store = open(&server.url()).await;
    for limit in ["idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout"] {
        server.psql(&format!("alter role postgres reset {limit}"));
    }
    let own = granted(&store, &claim("k", 1, TTL)).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
    }
    let locking = Arc::clone(&server);
    let locked = std::thread::spawn(move || {
        locking.psql("begin; select from tenure_leases where key = 'k' for update; select pg_sleep(2); commit")
    });
    while server.psql("select count(*) from pg_stat_activity where wait_event = 'PgSleep'").trim() != "1" {}
    let error = renew(&store, &own).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
    locked.join().unwrap();
    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
}

/// Plays a test once more in a process with mounts of its own, which this command makes. Whether this is that process.
fn in_own_mounts(test: &str, mount: &str) -> bool {
    const INSIDE: &str = "TENURE_TEST_OWN_MOUNTS";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("hosts"), "").unwrap();
    let script = format!("{mount} || exit 77; exec \"$@\"");
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).arg(folder.path()).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(INSIDE, folder.path());
    match command.status() {
        Ok(status) if matches!(status.code(), Some(1 | 77)) => {
            println!("SKIPPED: postgres mounts: nothing can be mounted here; run as root");
        }
        Ok(status) => assert!(status.success(), "{status}"),
        Err(error) => println!("SKIPPED: postgres mounts: cannot start unshare: {error}; install util-linux"),
    }
    false
}

/// A host whose name moves to another address is looked up anew for each connection.
#[tokio::test]
async fn a_host_that_moves_is_found_again() {
    if !in_own_mounts("a_host_that_moves_is_found_again", "mount --bind \"$0/hosts\" /etc/hosts") {
        return;
    }
    let Some(server) = server(PostgresOptions::default()) else { return };
    let lead = |address: &str| std::fs::write("/etc/hosts", format!("{address} database.test\n")).unwrap();
    lead("127.0.0.1");
    let store = open(&server.url().replace("127.0.0.1", "database.test")).await;
    let own = granted(&store, &claim("k", 1, TTL)).await;
    // Nobody listens there, and the connections that stood have ended.
    lead("127.0.0.2");
    server.psql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tenure'");
    let until = Instant::now() + Duration::from_secs(10);
    while renew(&store, &own).await.is_ok() {
        assert!(Instant::now() < until);
    }
    assert!(store.record(&own.key).await.unwrap_err().is_retryable());
    lead("127.0.0.1");
    while renew(&store, &own).await.is_err() {
        assert!(Instant::now() < until);
    }
}

/// A disk that is full refuses claims, and says so; nothing is granted that does not stand, and once there is room all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_claims() {
    const MOUNT: &str = "mount -t tmpfs -o size=96m,mode=755 tmpfs \"$0\" && export TMPDIR=\"$0\"";
    if !in_own_mounts("a_full_disk_refuses_claims", MOUNT) {
        return;
    }
    let Some(mut server) = server(PostgresOptions::default()) else { return };
    let store = open(&server.url()).await;
    let own = granted(&store, &claim("own", 1, TTL)).await;
    let filling = server.folder().join("filling");
    // No more than the mount has: were it another file system, this would fill that one.
    let zeros = std::io::Read::take(std::io::repeat(0), 200 << 20);
    let full = std::io::copy(&mut { zeros }, &mut std::fs::File::create(&filling).unwrap());
    assert_eq!(full.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let (mut stands, mut refused) = (Vec::new(), 0);
    for batch in 0..200 {
        let claims: Vec<_> = (0..100).map(|n| claim(&format!("{batch}/{n}"), 1, TTL)).collect();
        for (claim, answer) in claims.iter().zip(store.acquire(&claims).await.unwrap()) {
            match answer {
                Ok(Claimed::Granted { term, .. }) => stands.push(held(claim, term)),
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    assert!(error.is_retryable() || error.is_outcome_unknown(), "{error}");
                    refused += 1;
                }
            }
        }
        if refused > 0 {
            break;
        }
    }
    assert!(refused > 0, "{} were granted on a full disk", stands.len());
    std::fs::remove_file(&filling).unwrap();
    // It may have given up, where the disk had no room for its log.
    if store.record(&own.key).await.is_err() {
        server.kill();
        server.start_again().unwrap();
    }
    for held in stands.iter().chain([&own]) {
        assert!(matches!(renew(&store, held).await.unwrap(), Renewed::Extended { .. }), "{held:?}");
    }
    granted(&store, &claim("next", 1, TTL)).await;
}

async fn works_without_hints(server: &Postgres, url: &str) {
    // Makes the tables, so that nobody else is refused doing that at the same time.
    drop(open(url).await);
    let stores: Vec<_> = join_all((0..4).map(|_| open(url))).await.into_iter().map(Arc::new).collect();
    assert!(stores.iter().all(|store| !store.info().watch));
    for round in 0..5 {
        let rounds = (0..20_u64).map(|process| {
            let store = Arc::clone(&stores[usize::try_from(process).unwrap() % stores.len()]);
            tokio::spawn(async move {
                let claim = claim(&format!("k/{}", process % 5), 100 * round + process, TTL);
                let Claimed::Granted { term, .. } = acquire(&store, &claim).await.unwrap() else { return None };
                let own = held(&claim, term);
                for _ in 0..5 {
                    assert!(matches!(renew(&store, &own).await.unwrap(), Renewed::Extended { .. }));
                }
                Some(own)
            })
        });
        let won: Vec<_> = join_all(rounds).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(won.len(), 5, "{won:?}");
        assert_eq!(stores[0].list(&KeyPrefix::new("k/").unwrap()).await.unwrap().len(), 5);
        for own in &won {
            assert_eq!(release(&stores[1], own).await.unwrap(), Released::Freed);
        }
    }
    let documents = open_documents(url).await;
    let Swapped::Done(version) = documents.create(&key("d"), b"one").await.unwrap() else { panic!() };
    assert_eq!(documents.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    assert!(matches!(documents.delete(&key("d"), &version).await.unwrap(), Swapped::Done(_)));
    assert!(errors(server).is_empty(), "{:?}", errors(server));
}
