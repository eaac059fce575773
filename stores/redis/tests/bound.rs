//! Bound leases as they stand in Redis: for its users, for versions that know of none, and beside what those have written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use kit::*;
use tenure_store::{
    Bound, BoundClaim, Claim, Claimed, Held, HolderId, KeyPrefix, LeaseStore, Note, RecordFormat, Released, Term,
};
use tenure_test_servers::{Redis, RedisOptions, RedisPrograms, or_skip};

/// What versions that knew of no bound leases make of a value: nothing, where another program wrote it.
const OLDER: &str = "
  local value = redis.call('GET', KEYS[1])
  local holder, term, nonce, asked, at = string.match(value, '^(%S+) ([1-9]%d*) (%x+)(!?)()')
  if not nonce or #nonce ~= 32 then return false end
  if at > #value or string.byte(value, at) == 32 then return holder end
  return false";

fn start() -> Option<Redis> {
    let programs = or_skip("redis bound", true, RedisPrograms::find())?;
    Some(programs.start(RedisOptions::default()).unwrap())
}

fn url(server: &Redis) -> String {
    server.url() + "?durable=true"
}

fn member(term: u64) -> Bound {
    Bound { member: key("my pool/members/%a"), term: Term::new(term).unwrap() }
}

fn bound(text: &str, process: u64, last_term: Option<Term>) -> Claim {
    Claim { bound: Some(BoundClaim { to: member(7), last_term }), ..claim(text, process) }
}

fn held_by(claim: &Claim, term: Term) -> Claimed {
    let bound = claim.bound.as_ref().map(|bound| bound.to.clone());
    Claimed::Held { by: claim.holder.clone(), term: Some(term), remaining: None, bound }
}

/// A bound lease is read with GET as any other, with what it is bound to behind its nonce. It has no expiry while it is held, and
/// its term record has none either, so that lists find it however old it is.
#[tokio::test]
async fn a_bound_lease_is_readable_and_has_no_expiry() {
    let Some(server) = start() else { return };
    let store = open(&url(&server)).await;
    let mine = Claim { note: Note::new("a note").unwrap(), ..bound("app:target", 0xbeef, None) };
    let term = granted(&store, &mine).await;
    let text = |asked: &str| format!("holder-48879 {term} {}{asked}@7:my%20pool/members/%25a a note", mine.nonce);
    let ttl = |name: &str| server.cli(["ttl", name]).trim().parse::<i64>().unwrap();
    for (asked, mark) in [(false, ""), (true, "!")] {
        assert_eq!(asked, asked && store.request_resign(&mine.key).await.unwrap());
        assert_eq!(server.cli(["get", "app:target"]).trim(), text(mark));
        assert_eq!((ttl("app:target"), ttl("{app:target}:tenure")), (-1, -1));
        // An older version counts it as another program's, and so as held.
        assert_eq!(server.cli(["eval", OLDER, "1", "app:target"]).trim(), "");
        assert_eq!(granted(&store, &mine).await, term);
        assert_eq!(acquire(&store, &claim("app:target", 2)).await.unwrap(), held_by(&mine, term));
    }
    assert_eq!(release(&store, &held(&mine, term)).await.unwrap(), Released::Freed);
    assert_eq!(ttl("app:target"), -2);
    assert!(ttl("{app:target}:tenure") > 7 * 24 * 3600, "what is not held goes once it is not used");
    // What a bound lease leaves behind an older version reads as ever, and the next lease with a ttl has its own again.
    granted(&store, &claim("app:target", 3)).await;
    assert_eq!(server.cli(["eval", OLDER, "1", "app:target"]).trim(), "holder-3");
    assert!(ttl("app:target") > 0 && ttl("{app:target}:tenure") > 0);
    // Displacing a bound lease with one that has a ttl sets both as well.
    let again = bound("app:other", 4, None);
    granted(&store, &again).await;
    granted(&store, &Claim { displaces: Some(member(7)), ..claim("app:other", 5) }).await;
    assert!(ttl("app:other") > 0 && ttl("{app:other}:tenure") > 0);
}

/// What older versions have written goes on: their leases are held and renewed, their term records tell the last term that
/// a bound claim has to name.
#[tokio::test]
async fn leases_of_older_versions_go_on() {
    let Some(server) = start() else { return };
    let store = open(&url(&server)).await;
    let mine = claim("k", 1);
    server.cli(["set", "k", &format!("holder-1 17 {} a note", mine.nonce), "px", "60000"]);
    let record = format!("20000 60000 123 17 {} 6 - a note", mine.nonce);
    server.cli(["set", "{k}:tenure", &record, "px", "9000000"]);
    let own = Held { note: Note::new("a note").unwrap(), ..held(&mine, Term::new(17).unwrap()) };
    renew(&store, &own).await.unwrap();
    let next = bound("k", 2, Some(own.term));
    let answer = acquire(&store, &Claim { displaces: Some(member(7)), ..next.clone() }).await.unwrap();
    assert!(matches!(&answer, Claimed::Held { by, bound: None, .. } if *by == mine.holder), "{answer:?}");
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    let stale = Claimed::Stale { last_term: Some(own.term) };
    assert_eq!(acquire(&store, &bound("k", 2, None)).await.unwrap(), stale);
    assert!(granted(&store, &next).await > own.term);
    // A key that a version before met as another program's has a record without a term.
    server.cli(["set", "theirs", "x"]);
    holder(&store, &claim("theirs", 1)).await;
    server.cli(["del", "theirs"]);
    granted(&store, &bound("theirs", 1, None)).await;
}

/// A bound lease whose term record was lost is held as before, is found by its own nonce, which writes the record anew, and is
/// displaced under a higher term.
#[tokio::test]
async fn a_bound_lease_outlives_its_term_record() {
    let Some(server) = start() else { return };
    let store = open(&url(&server)).await;
    let mine = Claim { above: Term::new(Term::LIMIT / 2), ..bound("k", 1, None) };
    let term = granted(&store, &mine).await;
    server.cli(["del", "{k}:tenure"]);
    assert_eq!(acquire(&store, &claim("k", 2)).await.unwrap(), held_by(&mine, term));
    assert_eq!(granted(&store, &mine).await, term);
    assert_eq!(server.cli(["ttl", "{k}:tenure"]).trim(), "-1");
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 1);
    server.cli(["del", "{k}:tenure"]);
    let next = Claim { displaces: Some(member(8)), ..bound("k", 2, Some(term)) };
    assert_eq!(
        acquire(&store, &Claim { bound: bound("k", 2, None).bound, ..next.clone() }).await.unwrap(),
        Claimed::Stale { last_term: Some(term) }
    );
    assert!(granted(&store, &next).await > term);
}

/// What only looks like a bound lease is another program's: held, whoever displaces.
#[tokio::test]
async fn what_is_no_bound_lease_counts_as_held() {
    let Some(server) = start() else { return };
    let store = open(&url(&server)).await;
    let nonce = claim("k", 1).nonce;
    for odd in ["@", "@7", "@7:", "@:m", "@0:m", "@07:m", "@x:m", "@9999999999999999:m", "@7:m!\tx", "@7!:m"] {
        server.cli(["set", "k", &format!("host-1 17 {nonce}{odd}")]);
        let rival = Claim { displaces: Some(Bound { member: key("m"), term: Term::new(9).unwrap() }), ..claim("k", 1) };
        let answer = acquire(&store, &rival).await.unwrap();
        let by = HolderId::new("host-1").unwrap();
        assert_eq!(answer, Claimed::Held { by, term: None, remaining: None, bound: None }, "{odd}");
        let own = held(&rival, Term::new(17).unwrap());
        assert_eq!(release(&store, &own).await.unwrap(), Released::NotHeld, "{odd}");
        assert_eq!(store.record(&rival.key).await.unwrap().unwrap().format, RecordFormat::Foreign, "{odd}");
        assert!(store.remove(&rival.key).await.unwrap().is_some(), "{odd}");
    }
}
