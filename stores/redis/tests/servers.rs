//! Servers as they are run: with passwords, TLS and sockets; badly set up; restarted, stopped, and back again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use futures_util::{StreamExt, stream};
use kit::*;
use tenure_redis::RedisStore;
use tenure_store::{
    Bound, BoundClaim, Claim, Claimed, Held, KeyPrefix, LeaseStore, Note, Released, Renewed, StoreError,
    StoreErrorKind, Term, Wake, WakeStream,
};
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, RedisTls, or_skip};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

fn programs() -> Option<RedisPrograms> {
    or_skip("redis servers", true, RedisPrograms::find())
}

fn with(programs: &RedisPrograms, arguments: &[&str]) -> Redis {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    programs.start(RedisOptions { arguments, ..RedisOptions::default() }).unwrap()
}

/// A server with a password opens with it, and without it or with a wrong one says how to give it.
#[tokio::test]
async fn a_password_opens_the_server() {
    let Some(programs) = programs() else { return };
    let options = RedisOptions { password: Some("p@ss:w%rd".to_owned()), ..RedisOptions::default() };
    let server = programs.start(options).unwrap();
    let at = |user: &str| format!("redis://{user}127.0.0.1:{}?durable=true", server.port());
    granted(&open(&at(":p%40ss%3Aw%25rd@")).await, &claim("k", 1)).await;
    let without = refused(&at("")).await;
    assert!(without.contains("TENURE_REDIS_PASSWORD"), "{without}");
    let wrong = refused(&at(":hunter2@")).await;
    assert!(wrong.contains("TENURE_REDIS_PASSWORD") && !wrong.contains("hunter2"), "{wrong}");
}

/// A server with TLS opens with its authority's certificate, and not without; one that verifies clients opens to those who have
/// a certificate.
#[tokio::test]
async fn tls_opens_with_the_right_authority_alone() {
    let Some(programs) = programs() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    // OpenSSL takes a certificate with its authority's name for one that signs itself.
    authority.distinguished_name.push(rcgen::DnType::CommonName, "authority");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let ca = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let tls = RedisTls {
        certificate: file("server.pem", certificate.pem()),
        key: file("server.key", key.serialize_pem()),
        ca: file("ca.pem", ca),
    };
    let server = programs.start(RedisOptions { tls: Some(tls.clone()), ..RedisOptions::default() }).unwrap();
    let store = open(&format!("{}?durable=true&ca={}", server.url(), tls.ca.display())).await;
    let mut wakes = store.watch(&KeyPrefix::default()).await.unwrap();
    let own = claim("k", 1);
    let own = held(&own, granted(&store, &own).await);
    release(&store, &own).await.unwrap();
    woken(&mut wakes, "k").await;
    let unknown = refused(&server.url()).await;
    assert!(unknown.contains("certificate") && unknown.contains("?ca=FILE"), "{unknown}");
    let missing = refused(&format!("{}?ca=/no/such.pem", server.url())).await;
    assert!(missing.contains("/no/such.pem"), "{missing}");
    let plain = refused(&server.url().replace("rediss", "redis")).await;
    assert!(plain.contains("127.0.0.1") && plain.contains("write rediss://"), "{plain}");
    assert_eq!(server.cli(["config", "set", "tls-auth-clients", "yes"]).trim(), "OK");
    let trusting = format!("{}?durable=true&ca={}", server.url(), tls.ca.display());
    let nobody = refused(&trusting).await;
    assert!(nobody.contains("?cert=FILE&key=FILE"), "{nobody}");
    let known = format!("{trusting}&cert={}&key={}", tls.certificate.display(), tls.key.display());
    granted(&open(&known).await, &claim("k", 2)).await;
}

/// The socket serves as well as the port; databases are apart.
#[tokio::test]
async fn sockets_and_databases() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let socket = open(&format!("redis+unix://{}?durable=true", server.socket().display())).await;
    let third = open(&format!("{}/3?durable=true", server.url())).await;
    let port = open(&(server.url() + "?durable=true")).await;
    let term = granted(&socket, &claim("k", 1)).await;
    assert_eq!(holder(&port, &claim("k", 2)).await.1, Some(term));
    granted(&third, &claim("k", 3)).await;
    assert_eq!(third.list(&KeyPrefix::default()).await.unwrap().len(), 1);
}

/// Servers on which leases would not be safe are refused, each with its remedy.
#[tokio::test]
async fn unsafe_servers_are_refused() {
    let Some(programs) = programs() else { return };
    let evicting = with(&programs, &["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"]);
    let error = refused(&evicting.url()).await;
    assert!(error.contains("CONFIG SET maxmemory-policy noeviction"), "{error}");
    open(&(evicting.url() + "?eviction=allow")).await;
    evicting.cli(["config", "set", "maxmemory-policy", "noeviction"]);
    open(&evicting.url()).await;

    let replica = with(&programs, &["--replicaof", "127.0.0.1", &evicting.port().to_string()]);
    let error = refused(&replica.url()).await;
    assert!(error.contains("replica") && error.contains("redis-sentinel://"), "{error}");

    let node = with(&programs, &["--cluster-enabled", "yes"]);
    let error = refused(&node.url()).await;
    assert!(error.contains("redis-cluster://"), "{error}");
}

/// Whoever names a server of another kind than it is, or none at all, is told which it is and what to write.
#[tokio::test]
async fn mistaken_urls_are_told_what_to_write() {
    let Some(programs) = programs() else { return };
    let server = with(&programs, &["--databases", "3"]);
    let at = format!("127.0.0.1:{}", server.port());
    let says = async |url: String, kind: StoreErrorKind, words: &[&str]| {
        let error = try_open(&url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{url}: {error}");
        for word in words.iter().chain([&at.as_str()]) {
            assert!(error.to_string().contains(word), "{url}: no {word:?} in {error}");
        }
        assert!(!error.to_string().contains("or newer"), "{error}");
    };
    use StoreErrorKind::{Invalid, Unavailable};
    says(format!("redis-sentinel://{at}/m"), Invalid, &["is no Sentinel", "26379", "redis://HOST:PORT"]).await;
    says(format!("redis-cluster://{at}"), Invalid, &["no node of a cluster", "redis://HOST:PORT"]).await;
    says(format!("redis://{at}/99"), Invalid, &["no database 99", "there are 3, the last is 2", "redis.conf"]).await;
    says(format!("rediss://{at}?timeout_ms=300"), Invalid, &["no TLS", "redis://"]).await;
    server.cli(["acl", "setuser", "me", "on", ">pw", "~*", "&*", "+@all", "-config"]);
    says(format!("redis://me:pw@{at}/3"), Invalid, &["no database 3", "16 where redis.conf"]).await;
    drop(server);
    says(format!("redis://{at}"), Unavailable, &["refused", "a server listens there", "the store's URL is right"])
        .await;
    says(format!("redis-sentinel://{at}/m"), Unavailable, &["refused", "a server listens there"]).await;
    says(format!("redis-cluster://{at}"), Unavailable, &["refused", "a server listens there"]).await;
}

/// A user who may not ask the server about itself may still hold leases.
#[tokio::test]
async fn a_user_without_info_is_served() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    server.cli(["acl", "setuser", "me", "on", ">pw", "~*", "&*", "+@all", "-info", "-config"]);
    let url = format!("redis://me:pw@127.0.0.1:{}", server.port());
    granted(&open(&(url.clone() + "?durable=true")).await, &claim("k", 1)).await;
    // Without the word of the operator, what this client has seen of the server itself must do.
    let store = open(&url).await;
    let short = Claim { ttl: Duration::from_millis(500), ..claim("short", 1) };
    assert!(holder(&store, &short).await.0.contains("started"));
    until_granted(&store, &short).await;
}

/// A server that is found changed by a later connection grants nothing on which leases would not be safe, and goes on
/// with those that there are; once it is mended it grants again, without reopening.
#[tokio::test]
async fn a_server_that_became_unsafe_grants_nothing() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let knowing = open(&(server.url() + "?durable=true&eviction=allow")).await;
    let mine = claim("k", 1);
    let own = held(&mine, granted(&store, &mine).await);
    server.cli(["config", "set", "maxmemory", "100mb"]);
    server.cli(["config", "set", "maxmemory-policy", "allkeys-lru"]);
    server.cli(["client", "kill", "type", "normal"]);
    let error = until_refused(&store, &claim("other", 1)).await;
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains("CONFIG SET maxmemory-policy noeviction"), "{error}");
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    until_granted(&knowing, &claim("other", 2)).await;
    server.cli(["config", "set", "maxmemory-policy", "noeviction"]);
    let deadline = Instant::now() + PATIENCE;
    while !matches!(acquire(&store, &mine).await, Ok(Claimed::Granted { .. })) {
        assert!(Instant::now() < deadline, "a server that was mended grants nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Claims through every failure that may pass until a claim is refused for good.
async fn until_refused(store: &RedisStore, claim: &Claim) -> StoreError {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match acquire(store, claim).await {
            Err(error) if !error.is_retryable() => return error,
            Err(_) => assert!(Instant::now() < deadline),
            Ok(answer) => panic!("{answer:?}"),
        }
    }
}

/// A user with no more rights than the guide names is served, in all that a store does; one with less is told what is
/// missing, and that nothing was done.
#[tokio::test]
async fn the_rights_that_are_named_suffice() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/stores.md")).unwrap();
    let rule =
        guide.lines().find_map(|line| line.trim().strip_prefix("ACL SETUSER tenure ")).expect("the guide's rule");
    let rule = rule.replace(">PASSWORD", ">pw");
    server.cli(["acl", "setuser", "tenure"].into_iter().chain(rule.split_whitespace()));
    let url = format!("redis://tenure:pw@127.0.0.1:{}?durable=true", server.port());
    let store = open(&url).await;
    let mut wakes = store.watch(&KeyPrefix::new("myapp:").unwrap()).await.unwrap();
    for round in 0..2 {
        let mine = claim("myapp:{leader}", 2 * round + 1);
        let own = held(&mine, granted(&store, &mine).await);
        assert_eq!(holder(&store, &claim("myapp:{leader}", 99)).await.0, mine.holder.as_str());
        let noted = Held { note: Note::new("noted").unwrap(), ..own };
        assert_eq!(renew(&store, &noted).await.unwrap(), Renewed::Extended { resign_requested: false });
        let more: Vec<Held> = stream::iter((0..20).map(|n| claim(&format!("myapp:{round}:{n}"), 1)))
            .then(async |claim| held(&claim, granted(&store, &claim).await))
            .collect()
            .await;
        assert!(store.renew(&more).await.unwrap().iter().all(Result::is_ok));
        assert!(store.request_resign(&noted.key).await.unwrap());
        assert_eq!(store.last_term(&noted.key).await.unwrap(), Some(noted.term));
        assert!(store.list(&KeyPrefix::new("myapp:").unwrap()).await.unwrap().len() > 20);
        match round {
            0 => assert_eq!(release(&store, &noted).await.unwrap(), Released::Freed),
            _ => assert!(store.remove(&noted.key).await.unwrap().is_some()),
        }
        woken(&mut wakes, "myapp:{leader}").await;
    }

    // Nothing depends on what is told: a user who may not tell it holds leases all the same.
    server.cli(["acl", "setuser", "tenure", "-publish"]);
    let mine = claim("myapp:{untold}", 1);
    let own = held(&mine, granted(&open(&url).await, &mine).await);
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);

    let denied = async |key: &str| {
        let error = acquire(&open(&url).await, &claim(key, 1)).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}");
        error.to_string()
    };
    assert!(denied("elsewhere").await.contains("docs/stores.md"));
    server.cli(["acl", "setuser", "tenure", "-pexpire", "-set"]);
    assert!(denied("myapp:another").await.contains("docs/stores.md"));
}

/// Whatever answers in a server's place, a question that it refuses has changed nothing.
#[tokio::test]
async fn a_refused_question_has_changed_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let odd = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut asked = [0; 4_096];
            while matches!(client.read(&mut asked).await, Ok(1..)) {
                client.write_all(b"-ODD what is it that you want\r\n").await.unwrap();
            }
        }
    });
    for url in
        [format!("redis://{address}"), format!("redis-cluster://{address}"), format!("redis-sentinel://{address}/m")]
    {
        let error = try_open(&url).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{url}: {error}");
        assert!(error.to_string().contains("ODD what is it"), "{url}: {error}");
    }
    odd.abort();
}

/// A server that restarts without its data grants nothing before whoever held may have stopped believing so.
#[tokio::test]
async fn a_restart_without_data_waits_out_the_ttl() {
    let Some(programs) = programs() else { return };
    let mut server = programs.start(RedisOptions::default()).unwrap();
    let (one, two) = (open(&server.url()).await, open(&server.url()).await);
    let ttl = Duration::from_secs(3);
    let first = Claim { ttl, ..claim("k", 1) };
    let own = held(&first, until_granted(&one, &first).await);
    let sent = Instant::now();
    assert_eq!(renew(&one, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    server.kill();
    server.start_again().unwrap();
    let second = Claim { ttl, ..claim("k", 2) };
    let (by, term, remaining) = loop {
        match acquire(&two, &second).await {
            Ok(Claimed::Held { by, term, remaining, .. }) => break (by.to_string(), term, remaining.unwrap()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    };
    assert!(by.contains("started") && term.is_none() && remaining <= ttl, "{by} {term:?} {remaining:?}");
    let term = until_granted(&two, &second).await;
    let waited = sent.elapsed();
    assert!(waited >= ttl, "granted {waited:?} after the first holder was told that it has {ttl:?}");
    assert!(term > own.term);
    assert_eq!(
        renew(&one, &own).await.unwrap(),
        Renewed::Lost { to: Some(second.holder.clone()) },
        "the first holder learns who followed"
    );
    // A key whose tenures this run has seen is granted at once.
    release(&two, &held(&second, term)).await.unwrap();
    granted(&one, &first).await;
}

/// A server that comes back with an old snapshot has term records, but not the leases that were granted after it.
#[tokio::test]
async fn a_restart_with_an_old_snapshot_waits_out_the_ttl() {
    let Some(programs) = programs() else { return };
    let mut server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&server.url()).await;
    let ttl = Duration::from_secs(3);
    let first = Claim { ttl, ..claim("k", 1) };
    let own = held(&first, until_granted(&store, &first).await);
    release(&store, &own).await.unwrap();
    server.cli(["save"]);
    let second = Claim { ttl, ..claim("k", 2) };
    let sent = Instant::now();
    let term = granted(&store, &second).await;
    server.kill();
    server.start_again().unwrap();
    assert_eq!(server.cli(["exists", "{k}:tenure"]).trim(), "1", "the snapshot was read");
    let third = until_granted(&store, &Claim { ttl, ..claim("k", 3) }).await;
    assert!(sent.elapsed() >= ttl, "granted after {:?}", sent.elapsed());
    assert!(third > term);
}

/// A server that is stopped for three ttls fails every call within its time, and serves again without reopening.
#[tokio::test]
async fn a_stopped_server_fails_calls_in_time_and_serves_again() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true&timeout_ms=300")).await;
    let ttl = Duration::from_secs(1);
    let mine = Claim { ttl, ..claim("k", 1) };
    let own = held(&mine, granted(&store, &mine).await);
    server.stop();
    let stopped = Instant::now();
    let mut first = true;
    while stopped.elapsed() < ttl * 3 {
        let begun = Instant::now();
        let error = renew(&store, &own).await.unwrap_err();
        assert!(error.is_retryable() && begun.elapsed() < Duration::from_secs(2), "{error} {:?}", begun.elapsed());
        // Only what was sent may have been done; afterwards not even a connection is answered.
        assert_eq!(error.is_outcome_unknown(), first, "{error}");
        first = false;
    }
    server.resume();
    let rival = claim("k", 2);
    let term = until_granted(&store, &rival).await;
    assert!(term > own.term);
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Lost { to: Some(rival.holder) });
}

/// A call to a server that is gone fails as unavailable at once: nothing was done.
#[tokio::test]
async fn a_dead_server_is_unavailable() {
    let Some(programs) = programs() else { return };
    let mut server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    granted(&store, &claim("k", 1)).await;
    server.kill();
    until("the connection is known to be dead", || server.pid().is_none()).await;
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        let error = store.acquire(&[claim("k", 1)]).await.err();
        if let Some(error) = error {
            break error;
        }
        assert!(Instant::now() < deadline);
    };
    assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}");
}

/// A server without memory to spare refuses new leases for the moment, and says what to do about it. Those that there are
/// go on: extended, with another note too, handed over, released, taken away.
#[tokio::test]
async fn a_full_server_still_serves_the_leases_that_there_are() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let hold = async |name: &str| {
        let mine = claim(name, 1);
        held(&mine, granted(&store, &mine).await)
    };
    let own = hold("k").await;
    let (taken, gone) = (hold("taken").await, hold("gone").await);
    let to = Bound { member: key("members/a"), term: Term::new(7).unwrap() };
    let bound = Claim { bound: Some(BoundClaim { to, last_term: None }), ..claim("bound", 1) };
    let bound = (held(&bound, granted(&store, &bound).await), bound);
    server.cli(["set", "foreign", "Instance-7"]);
    server.cli(["del", "gone"]);
    server.cli(["config", "set", "maxmemory", "1"]);

    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    let noted = Held { note: Note::new("another note, and a longer one").unwrap(), ..own };
    assert_eq!(renew(&store, &noted).await.unwrap(), Renewed::Extended { resign_requested: false });
    assert!(store.request_resign(&noted.key).await.unwrap());
    let longer = Held { ttl: Duration::from_secs(30), ..noted };
    assert_eq!(renew(&store, &longer).await.unwrap(), Renewed::Extended { resign_requested: true });
    let record = store.list(&KeyPrefix::from(&longer.key)).await.unwrap().remove(0);
    assert_eq!((&record.note, record.ttl), (&longer.note, Some(longer.ttl)));
    assert!(matches!(acquire(&store, &claim("k", 1)).await.unwrap(), Claimed::Granted { .. }), "a repeated claim");
    assert_eq!(holder(&store, &claim("k", 2)).await.0, "holder-1");
    assert_eq!(holder(&store, &claim("foreign", 2)).await.0, "Instance-7");

    assert!(matches!(acquire(&store, &bound.1).await.unwrap(), Claimed::Granted { .. }), "a repeated bound claim");
    assert!(store.request_resign(&bound.1.key).await.unwrap());
    let record = store.record(&bound.1.key).await.unwrap().unwrap();
    assert!(record.resign_requested && record.bound.is_some(), "{record:?}");
    assert_eq!(release(&store, &bound.0).await.unwrap(), Released::Freed);

    assert_eq!(release(&store, &longer).await.unwrap(), Released::Freed);
    assert_eq!(release(&store, &longer).await.unwrap(), Released::NotHeld);
    assert_eq!(release(&store, &gone).await.unwrap(), Released::Freed, "expired, but still that tenure's");
    assert!(store.remove(&taken.key).await.unwrap().is_some());
    assert_eq!(release(&store, &taken).await.unwrap(), Released::NotHeld);

    let error = acquire(&store, &claim("k", 2)).await.unwrap_err();
    assert!(error.is_retryable() && !error.is_outcome_unknown(), "{error}");
    let words = error.to_string();
    assert!(words.contains("raise maxmemory") && words.contains("leases that are held go on"), "{words}");

    server.cli(["config", "set", "maxmemory", "0"]);
    match acquire(&store, &claim("k", 2)).await.unwrap() {
        Claimed::Granted { term, last_note } => assert!(term > longer.term && last_note == Some(longer.note)),
        other => panic!("{other:?}"),
    }
}

/// A watcher whose subscription broke off is told that it may have missed something, and hears what follows.
#[tokio::test]
async fn a_watch_survives_the_loss_of_its_connection() {
    let Some(programs) = programs() else { return };
    let mut server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let mut wakes = store.watch(&KeyPrefix::new("a/").unwrap()).await.unwrap();
    server.cli(["client", "kill", "type", "pubsub"]);
    assert_eq!(next(&mut wakes).await, Wake::unknown());
    for round in 0..2 {
        let other = claim("b/not this one", round + 1);
        let mine = claim("a/k", round + 1);
        for claim in [&other, &mine] {
            let own = held(claim, until_granted(&store, claim).await);
            release(&store, &own).await.unwrap();
        }
        for wake in [Wake::taken(mine.key.clone()), Wake::freed(mine.key)] {
            assert_eq!(next(&mut wakes).await, wake, "and nothing of the other prefix");
        }
        if round == 0 {
            server.kill();
            server.start_again().unwrap();
            assert_eq!(next(&mut wakes).await, Wake::unknown());
        }
    }
}

/// A subscription that is ended as soon as it stands is made again ever later.
#[tokio::test]
async fn a_subscription_that_does_not_last_is_made_ever_later() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let _wakes = store.watch(&KeyPrefix::default()).await.unwrap();
    let mut ends = Vec::new();
    for _ in 0..6 {
        until("a subscription stands", || server.cli(["client", "kill", "type", "pubsub"]).trim() == "1").await;
        ends.push(Instant::now());
    }
    // 50, 100, 200, 400 and 800 ms lie in between.
    assert!(ends[5] - ends[0] > Duration::from_millis(1_400), "{ends:?}");
}

/// A watcher is told when the runtime ends that another one's watch, which it shares, was begun on; the store goes on, on the
/// runtime that is there.
#[test]
fn a_watcher_outlives_the_runtime_of_another() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let store = first.block_on(open(&(server.url() + "?durable=true")));
    let watch = || async { store.watch(&KeyPrefix::default()).await.unwrap() };
    let _first = first.block_on(watch());
    let mut wakes = second.block_on(watch());
    drop(first);
    second.block_on(async {
        let end = timeout(PATIENCE, async { while wakes.next().await.is_some() {} }).await;
        assert!(end.is_ok(), "a watch that nobody feeds");
        let mut wakes = watch().await;
        let mine = claim("k", 1);
        let own = held(&mine, until_granted(&store, &mine).await);
        release(&store, &own).await.unwrap();
        assert_eq!([next(&mut wakes).await, next(&mut wakes).await], [Wake::taken(key("k")), Wake::freed(key("k"))]);
    });
}

/// A watcher that does not read loses hints, which are counted, and is told so by one that names no key.
#[tokio::test]
async fn hints_that_nobody_reads_are_counted() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let mut wakes = store.watch(&KeyPrefix::default()).await.unwrap();
    let claims: Vec<Claim> = (0..1_500).map(|n| claim(&format!("{n}"), 1)).collect();
    let answers = store.acquire(&claims).await.unwrap();
    let own: Vec<_> = claims
        .iter()
        .zip(answers)
        .map(|(claim, answer)| match answer {
            Ok(Claimed::Granted { term, .. }) => held(claim, term),
            other => panic!("{other:?}"),
        })
        .collect();
    store.release(&own).await.unwrap();
    until("hints are dropped", || store.overflowed_wakes() >= 2 * 1_500 - 1_024).await;
    let mut named = 0;
    while next(&mut wakes).await.key.is_some() {
        named += 1;
    }
    assert_eq!(named, 1_024);
}

/// The subscription lives as long as somebody watches, and one serves all.
#[tokio::test]
async fn watches_share_a_subscription_and_end_with_the_last() {
    let Some(programs) = programs() else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let subscribed = || {
        let said = server.cli(["pubsub", "numsub", "tenure:wake:0"]);
        said.split_whitespace().next_back().unwrap().to_owned()
    };
    assert_eq!(subscribed(), "0");
    let mut watches = Vec::new();
    for n in 0..10 {
        watches.push(store.watch(&KeyPrefix::new(format!("{n}")).unwrap()).await.unwrap());
    }
    assert_eq!(subscribed(), "1");
    drop(watches);
    until("the subscription ends", || subscribed() == "0").await;
    let _again = store.watch(&KeyPrefix::default()).await.unwrap();
    assert_eq!(subscribed(), "1");
}

async fn next(wakes: &mut WakeStream) -> Wake {
    timeout(PATIENCE, wakes.next()).await.expect("a hint in time").expect("a watch that goes on")
}

async fn woken(wakes: &mut WakeStream, name: &str) {
    while next(wakes).await.key != Some(key(name)) {}
}
