//! What stands in Redis, as its users see it with `redis-cli`, and what happens where others have written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use kit::*;
use tenure_store::{
    Claim, Claimed, Held, HolderId, KeyPrefix, LeaseStore, Nonce, Note, RecordFormat, Released, Renewed,
    StoreErrorKind, Term,
};
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, or_skip};

fn start(suite: &str) -> Option<Redis> {
    let programs = or_skip(suite, true, RedisPrograms::find())?;
    Some(programs.start(RedisOptions::default()).unwrap())
}

fn url(server: &Redis) -> String {
    server.url() + "?durable=true"
}

/// The lease is read with GET and TTL under its own name: holder, term, nonce, and a note where there is one.
#[tokio::test]
async fn a_lease_is_readable_with_get_and_ttl() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let mine = Claim { holder: HolderId::new("my host 7%").unwrap(), ..claim("myapp:leader", 0xbeef) };
    let term = granted(&store, &mine).await;
    assert_eq!(server.cli(["get", "myapp:leader"]).trim(), format!("my%20host%207%25 {term} {}", mine.nonce));
    let left: u64 = server.cli(["ttl", "myapp:leader"]).trim().parse().unwrap();
    assert!((9..=10).contains(&left), "{left}");
    let noted = Held { note: Note::new("serves on 10.0.0.7:8080 ").unwrap(), ..held(&mine, term) };
    renew(&store, &noted).await.unwrap();
    let text = server.cli(["get", "myapp:leader"]);
    assert_eq!(text, format!("my%20host%207%25 {term} {} serves on 10.0.0.7:8080 \n", mine.nonce));
    assert_eq!(holder(&store, &claim("myapp:leader", 2)).await.0, "my host 7%");
    release(&store, &noted).await.unwrap();
    assert_eq!(server.cli(["exists", "myapp:leader"]).trim(), "0");
    assert_eq!(server.cli(["exists", "{myapp:leader}:tenure"]).trim(), "1");
    let days: u64 = server.cli(["ttl", "{myapp:leader}:tenure"]).trim().parse().unwrap();
    assert!(days > 7 * 24 * 3600, "the term record outlives seven unused days, got {days} s");
}

/// What other programs put in a key's place counts as held, for as long as it stands, and is never touched but by force.
#[tokio::test]
async fn keys_of_other_programs_count_as_held() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let rows: [(&str, &[&str], &str, bool); 6] = [
        ("plain", &["set", "plain", "Instance-12345", "nx", "px", "30000"], "Instance-12345", true),
        ("json", &["set", "json", "{\"owner\":\"api-1\"}", "px", "30000"], "api-1", true),
        ("for ever", &["set", "for ever", "x"], "x", false),
        ("short nonce", &["set", "short nonce", "host-7 7 00ff"], "host-7", false),
        ("list", &["rpush", "list", "a"], "another program (list)", false),
        ("hash", &["hset", "hash", "a", "b"], "another program (hash)", false),
    ];
    for (name, planted, by, ends) in rows {
        server.cli(planted);
        let mine = claim(name, 1);
        let (who, term, remaining) = holder(&store, &mine).await;
        assert_eq!((who.as_str(), term, remaining.is_some()), (by, None, ends), "{name}");
        let own = held(&mine, tenure_store::Term::new(7).unwrap());
        let to = Some(HolderId::new(by).unwrap());
        assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Lost { to }, "{name}");
        assert_eq!(release(&store, &own).await.unwrap(), Released::NotHeld, "{name}");
        assert!(!store.request_resign(&mine.key).await.unwrap(), "{name}");
        let listed = store.list(&KeyPrefix::from(&mine.key)).await.unwrap();
        assert_eq!((listed.len(), listed[0].format), (1, RecordFormat::Foreign), "{name}");
        let stood = store.remove(&mine.key).await.unwrap().unwrap();
        assert_eq!((stood.holder.as_str(), stood.term), (by, None), "{name}");
        granted(&store, &mine).await;
    }
}

/// A list shows leases, also those that other programs hold under a name that somebody wanted, and nothing else that is
/// in the same database.
#[tokio::test]
async fn other_keys_of_a_shared_database_are_not_listed() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    for n in 0..50 {
        server.cli(["set", &format!("app:cache:{n}"), "x"]);
    }
    server.cli(["set", "app:lock", "another"]);
    granted(&store, &claim("app:leader", 1)).await;
    let names = async |prefix: &str| -> Vec<String> {
        let listed = store.list(&KeyPrefix::new(prefix).unwrap()).await.unwrap();
        listed.iter().map(|record| record.key.to_string()).collect()
    };
    assert_eq!(names("").await, ["app:leader"]);
    assert_eq!(names("app:").await, ["app:leader"]);
    assert_eq!(names("app:lock").await, ["app:lock"], "by its whole name");
    holder(&store, &claim("app:lock", 2)).await;
    assert_eq!(names("app:").await, ["app:leader", "app:lock"], "once somebody wanted it");
    server.cli(["del", "app:lock"]);
    assert_eq!(names("").await, ["app:leader"]);
}

/// One key is looked at without a look through all the others of the database, however many those are.
#[tokio::test]
async fn one_key_is_looked_at_without_a_scan() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    server.cli(["eval", "for n = 1, 5000 do redis.call('SET', 'app:cache:' .. n, 'x') end", "0"]);
    let own = held(&claim("app:leader", 1), granted(&store, &claim("app:leader", 1)).await);
    server.cli(["config", "resetstat"]);
    assert_eq!(store.record(&own.key).await.unwrap().unwrap().term, Some(own.term));
    assert_eq!(store.record(&key("app:cache:17")).await.unwrap().unwrap().format, RecordFormat::Foreign);
    assert_eq!(store.record(&key("app:cache:5001")).await.unwrap(), None);
    let calls = server.cli(["info", "commandstats"]);
    assert!(calls.contains("cmdstat_evalsha:calls=") && !calls.contains("cmdstat_scan"), "{calls}");
}

/// Ten thousand renewals in one call, one of them of a key that holds another type: that one is lost, the others stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_renewals_survive_a_key_of_another_type() {
    const COUNT: usize = 10_000;
    const BAD: usize = 4_711;
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    assert!(store.info().batch_limit >= COUNT);
    let claims: Vec<Claim> =
        (0..COUNT).map(|n| Claim { ttl: Duration::from_secs(60), ..claim(&format!("target/{n:05}"), 1) }).collect();
    let own: Vec<Held> = claims
        .iter()
        .zip(store.acquire(&claims).await.unwrap())
        .map(|(claim, answer)| match answer {
            Ok(Claimed::Granted { term, .. }) => held(claim, term),
            other => panic!("{:?}: {other:?}", claim.key),
        })
        .collect();
    server.cli(["del", "target/04711"]);
    server.cli(["sadd", "target/04711", "x"]);
    // Beside it one of another program, one that is gone, and one with another's nonce.
    server.cli(["set", "target/00001", "other"]);
    server.cli(["del", "target/00002"]);
    let calls = |server: &Redis| {
        let stats = server.cli(["info", "stats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    let before = calls(&server);
    let answers = store.renew(&own).await.unwrap();
    assert!(calls(&server) <= before + 1, "one connection serves a batch");
    for (n, answer) in answers.iter().enumerate() {
        let lost = |to: &str| Renewed::Lost { to: HolderId::new(to).ok() };
        let expected = match n {
            1 => lost("other"),
            2 => Renewed::Lost { to: None },
            BAD => lost("another program (set)"),
            _ => Renewed::Extended { resign_requested: false },
        };
        assert_eq!(*answer.as_ref().unwrap(), expected, "{n}");
    }
    let released = store.release(&own).await.unwrap();
    let freed = released.iter().filter(|answer| matches!(answer, Ok(Released::Freed))).count();
    // The one that is gone had not been taken by anybody: its last note is kept.
    assert_eq!(freed, COUNT - 2);
}

/// In a large batch, too, each renewal does what it says: notes and ttls change, requests are told, lost ones are lost.
#[tokio::test]
async fn a_large_batch_tells_apart_what_changed() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let claims: Vec<Claim> = (0..100).map(|n| claim(&format!("{n:02}"), 1)).collect();
    let mut own: Vec<Held> = claims
        .iter()
        .zip(store.acquire(&claims).await.unwrap())
        .map(|(claim, answer)| match answer {
            Ok(Claimed::Granted { term, .. }) => held(claim, term),
            other => panic!("{other:?}"),
        })
        .collect();
    own[10].note = Note::new("changed").unwrap();
    own[20].ttl = Duration::from_secs(77);
    assert!(store.request_resign(&own[30].key).await.unwrap());
    // Another tenure, whose note reads like the end of this one's lease.
    store.remove(&own[40].key).await.unwrap();
    let words = format!("x {} {}", own[40].term, own[40].nonce);
    let rival = Claim { note: Note::new(words).unwrap(), ..claim("40", 2) };
    granted(&store, &rival).await;
    for round in 0..2 {
        for (n, answer) in store.renew(&own).await.unwrap().into_iter().enumerate() {
            let expected = match n {
                40 => Renewed::Lost { to: Some(rival.holder.clone()) },
                n => Renewed::Extended { resign_requested: n == 30 },
            };
            assert_eq!(answer.unwrap(), expected, "{n} in round {round}");
        }
        let listed = store.list(&KeyPrefix::default()).await.unwrap();
        for (n, record) in listed.iter().enumerate().filter(|(n, _)| *n != 40) {
            assert_eq!((&record.note, record.ttl), (&own[n].note, Some(own[n].ttl)), "{n} in round {round}");
        }
    }
}

/// A renewal keeps everything but what it changes: the note, the ttl, a request to resign.
#[tokio::test]
async fn renewals_keep_what_they_do_not_change() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let first = Claim { note: Note::new("first").unwrap(), ..claim("k", 1) };
    let own = held(&first, granted(&store, &first).await);
    release(&store, &own).await.unwrap();
    let second = Claim { note: Note::new("second").unwrap(), ..claim("k", 2) };
    let own = held(&second, granted(&store, &second).await);
    let longer = Held { ttl: Duration::from_secs(20), ..own.clone() };
    renew(&store, &longer).await.unwrap();
    let record = store.list(&KeyPrefix::default()).await.unwrap().remove(0);
    assert_eq!((record.ttl, record.note.as_str()), (Some(longer.ttl), "second"));
    assert!(store.request_resign(&own.key).await.unwrap());
    for note in ["second", "third", ""] {
        let renewed = renew(&store, &Held { note: Note::new(note).unwrap(), ..own.clone() }).await.unwrap();
        assert_eq!(renewed, Renewed::Extended { resign_requested: true }, "{note}");
    }
    match acquire(&store, &second).await.unwrap() {
        Claimed::Granted { term, last_note } => {
            assert_eq!((term, last_note), (own.term, Some(Note::new("first").unwrap())));
        }
        other => panic!("{other:?}"),
    }
}

/// A tenure that expired hands its last note on, and its own late release may still write a later one, once.
#[tokio::test]
async fn an_expired_tenure_keeps_its_last_note() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let short = Claim { ttl: Duration::from_millis(50), note: Note::new("claimed").unwrap(), ..claim("k", 1) };
    let own = held(&short, granted(&store, &short).await);
    renew(&store, &Held { note: Note::new("renewed").unwrap(), ..own.clone() }).await.unwrap();
    until("the lease expires", || server.cli(["exists", "k"]).trim() == "0").await;
    let last = Held { note: Note::new("last").unwrap(), ..own };
    assert_eq!(release(&store, &last).await.unwrap(), Released::Freed);
    assert_eq!(release(&store, &last).await.unwrap(), Released::NotHeld);
    match acquire(&store, &claim("k", 2)).await.unwrap() {
        Claimed::Granted { last_note, .. } => assert_eq!(last_note, Some(Note::new("last").unwrap())),
        other => panic!("{other:?}"),
    }
}

/// A lease whose term record was deleted, is an earlier tenure's or cannot be read goes on, and gets a new one.
#[tokio::test]
async fn a_lost_term_record_is_made_anew() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let rows: [&[&str]; 3] =
        [&["del", "{k}:tenure"], &["set", "{k}:tenure", "1 10000 0 5 - 0 - "], &["set", "{k}:tenure", "what is this"]];
    for planted in rows {
        let mine = Claim { note: Note::new("n").unwrap(), ..claim("k", 1) };
        let own = held(&mine, granted(&store, &mine).await);
        server.cli(planted);
        // What is written with it reaches the record.
        let own = Held { note: Note::new("newer").unwrap(), ..own };
        assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false }, "{planted:?}");
        let record = store.list(&KeyPrefix::default()).await.unwrap().remove(0);
        assert_eq!((record.term, record.ttl), (Some(own.term), Some(own.ttl)), "{planted:?}");
        server.cli(planted);
        assert_eq!(release(&store, &own).await.unwrap(), Released::Freed, "{planted:?}");
        assert_eq!(store.last_term(&own.key).await.unwrap(), Some(own.term), "{planted:?}");
        let next = claim("k", 2);
        let next = held(&next, granted(&store, &next).await);
        assert!(next.term > own.term, "{planted:?}");
        // A record that knows of a later tenure than the lease is believed.
        server.cli(["set", "{k}:tenure", "1 10000 0 4000000000000000 - 0 - "]);
        assert_eq!(store.last_term(&next.key).await.unwrap(), Term::new(4_000_000_000_000_000), "{planted:?}");
        release(&store, &next).await.unwrap();
        server.cli(["del", "{k}:tenure"]);
    }
}

/// A term record that cannot be read fails its own key alone, and the error says how to mend it. Who holds is told all
/// the same, and whoever does goes on.
#[tokio::test]
async fn an_unreadable_term_record_fails_its_key_alone() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let rows: [&[&str]; 2] = [&["set", "{bad}:tenure", "what is this"], &["rpush", "{bad}:tenure", "what is this"]];
    for planted in rows {
        let standing = claim("bad", 9);
        let own = held(&standing, granted(&store, &standing).await);
        server.cli(["del", "{bad}:tenure"]);
        server.cli(planted);
        assert_eq!(holder(&store, &claim("bad", 1)).await.0, "holder-9", "{planted:?}");
        let listed = store.list(&KeyPrefix::from(&own.key)).await.unwrap();
        assert_eq!((listed.len(), listed[0].term), (1, Some(own.term)), "{planted:?}");
        assert_eq!(store.last_term(&own.key).await.unwrap(), Some(own.term), "{planted:?}");
        server.cli(["set", "bad", "Instance-7"]);
        assert_eq!(holder(&store, &claim("bad", 1)).await.0, "Instance-7", "{planted:?}");
        server.cli(["del", "bad"]);
        let answers = store.acquire(&[claim("good", 1), claim("bad", 1)]).await.unwrap();
        assert!(matches!(answers[0], Ok(Claimed::Granted { .. })), "{planted:?}");
        let error = answers[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{planted:?}: {error}");
        assert!(error.to_string().contains("DEL"), "{error}");
        let error = store.last_term(&own.key).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{planted:?}: {error}");
        assert_eq!(server.cli(["exists", "bad"]).trim(), "0");
        assert_eq!(store.remove(&own.key).await.unwrap(), None, "{planted:?}");
        server.cli(["del", "{bad}:tenure"]);
    }
}

/// Scripts that the server has forgotten are sent again.
#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let Some(server) = start("redis records") else { return };
    let store = open(&url(&server)).await;
    let mine = claim("k", 1);
    let own = held(&mine, granted(&store, &mine).await);
    server.cli(["script", "flush"]);
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    server.cli(["script", "flush"]);
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
}

/// Keys with braces and percent signs lie in the slot of their own names, with their term records beside them.
#[tokio::test]
async fn keys_with_braces_lie_beside_their_term_records() {
    let Some(programs) = or_skip("redis records", true, RedisPrograms::find()) else { return };
    let cluster = programs.start_cluster().unwrap();
    let store = open(&(cluster.url() + "?durable=true")).await;
    let names = ["{a}b", "a{b}", "{}", "{", "}", "}{", "{a}{b}", "50%", "%7B", "{x}:tenure"];
    let claims: Vec<Claim> = names.iter().map(|name| claim(name, 1)).collect();
    let answers = store.acquire(&claims).await.unwrap();
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Claimed::Granted { .. }))), "{answers:?}");
    let listed = store.list(&KeyPrefix::default()).await.unwrap();
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(listed.iter().map(|record| record.key.as_str()).collect::<Vec<_>>(), sorted);
    let node = &cluster.nodes()[0];
    let slot = |name: &str| node.cli(["cluster", "keyslot", name]);
    assert_eq!(slot("%7Ba%7Db"), slot("{%7Ba%7Db}:tenure"));
    assert!(node.cli(["-c", "get", "%7Ba%7Db"]).starts_with("holder-1 "));
}

/// Whose stamp a term record bears makes no difference: on a server that may have forgotten only a grant of its own present
/// run lifts the wait, and neither a second that is to come, as after the clock was set back, nor another server's.
#[tokio::test]
async fn another_run_s_stamp_lifts_no_wait() {
    let Some(server) = start("redis records") else { return };
    server.cli(["acl", "setuser", "silent", "on", "nopass", "~*", "&*", "+@all", "-info"]);
    let stores = [open(&server.url()).await, open(&server.url().replace("redis://", "redis://silent@")).await];
    let day = now() / 86_400;
    let mut term = 7;
    for (number, store) in stores.iter().enumerate() {
        let mine = Claim { ttl: Duration::from_secs(60), ..claim(&format!("k{number}"), 1) };
        for stamp in [(now() + 3_600).to_string(), "281474976710657".to_owned(), "0".to_owned()] {
            server.cli(["set", &format!("{{{}}}:tenure", mine.key), &format!("{day} 1000 {stamp} {term} - 0 - ")]);
            let (by, ..) = holder(store, &mine).await;
            assert!(by.contains("before Redis started"), "{stamp}, {number}: held by {by}");
            term += 1;
        }
        // A grant that has waited: of a ttl for which the server is known to be up.
        let brief = Claim { ttl: Duration::from_secs(1), nonce: Nonce { process: 2, campaign: 1 }, ..mine.clone() };
        let own = held(&brief, until_granted(store, &brief).await);
        assert!(own.term.get() >= term, "the earlier record's term counts");
        release(store, &own).await.unwrap();
        granted(store, &mine).await;
    }
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
