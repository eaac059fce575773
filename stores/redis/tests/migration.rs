//! Slots that a cluster moves to another node, by hand and stage by stage: a lease and its term record may lie on either node,
//! for as long as the operator likes. What is held stays held, what is free is claimed, and terms grow.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::join_all;
use kit::*;
use tenure_redis::RedisStore;
use tenure_store::{
    Bound, BoundClaim, Claim, Claimed, Held, KeyPrefix, LeaseKey, LeaseStore, Note, Released, Renewed, StoreErrorKind,
    Term, Wake,
};
use tenure_test_servers::{RedisCluster, RedisClusterOptions, RedisPrograms, or_skip};
use tokio::time::{Instant, timeout};

/// Where something lies while a slot moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Source,
    Target,
    Nowhere,
}

use At::*;

const EXTENDED: Renewed = Renewed::Extended { resign_requested: false };

/// A cluster, and its first two nodes.
struct Move {
    cluster: RedisCluster,
    names: AtomicUsize,
}

impl Move {
    const FROM: usize = 0;
    const TO: usize = 1;

    fn start(options: &RedisClusterOptions) -> Option<Move> {
        let programs = or_skip("redis cluster", true, RedisPrograms::find())?;
        Some(Move { cluster: programs.start_cluster_with(options).unwrap(), names: AtomicUsize::new(0) })
    }

    async fn client(&self) -> RedisStore {
        open(&(self.cluster.url() + "?durable=true")).await
    }

    /// A key that nobody has used, in a slot of the first node's.
    fn key(&self) -> LeaseKey {
        loop {
            let name = format!("k{}", self.names.fetch_add(1, Ordering::Relaxed));
            if self.cluster.server_of(self.cluster.slot(&name)) == Self::FROM {
                return key(&name);
            }
        }
    }

    /// So many keys of one slot.
    fn keys_of_one_slot(&self, count: usize) -> Vec<LeaseKey> {
        let first = self.key();
        let slot = self.slot(&first);
        let others = (0..).map(|n| format!("other{n}")).filter(|name| self.cluster.slot(name) == slot);
        [first].into_iter().chain(others.map(|name| key(&name))).take(count).collect()
    }

    fn slot(&self, key: &LeaseKey) -> u16 {
        self.cluster.slot(key.as_str())
    }

    /// Opens the key's slot and brings lease and record to where they are to be.
    fn open(&self, key: &LeaseKey, lease: At, record: At) {
        self.cluster.open_slot(self.slot(key), Self::FROM, Self::TO);
        for (name, at) in [(key.as_str().to_owned(), lease), (record_of(key), record)] {
            match at {
                Source => {}
                Target => assert!(self.cluster.move_key(&name, Self::FROM, Self::TO), "there is no {name}"),
                Nowhere => drop(self.cluster.nodes()[Self::FROM].cli(["del", &name])),
            }
        }
    }

    /// Moves what is left, which nothing may be in the way of, and closes the slot.
    fn close(&self, key: &LeaseKey) {
        let slot = self.slot(key);
        for name in self.cluster.keys_in(slot, Self::FROM) {
            assert!(self.cluster.move_key(&name, Self::FROM, Self::TO));
        }
        self.cluster.close_slot(slot, Self::FROM, Self::TO);
    }

    /// Neither lease nor record has an expiry, once the slot is closed.
    fn never_ends(&self, key: &LeaseKey, stage: &str) {
        let names = self.cluster.keys_in(self.slot(key), Self::TO);
        assert_eq!(names.len(), 2, "{stage}: {names:?}");
        for name in names {
            let left = self.cluster.nodes()[Self::TO].cli(["ttl", &name]);
            assert_eq!(left.trim(), "-1", "{stage}: {name}");
        }
    }

    /// Nothing lies on both nodes.
    fn nothing_is_twice(&self, key: &LeaseKey, stage: &str) {
        let [mut source, target] = [Self::FROM, Self::TO].map(|node| self.cluster.keys_in(self.slot(key), node));
        // What has expired may still be counted; whoever asks for it is sent on.
        source.retain(|name| self.cluster.nodes()[Self::FROM].cli(["exists", name]).trim() == "1");
        assert!(!source.iter().any(|name| target.contains(name)), "{stage}: {source:?} and {target:?}");
    }
}

fn record_of(key: &LeaseKey) -> String {
    format!("{{{key}}}:tenure")
}

fn by(key: &LeaseKey, process: u64) -> Claim {
    claim(key.as_str(), process)
}

/// Far above what the clock would give, so that the clock cannot help terms to grow.
fn in_an_hour() -> Option<Term> {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    Term::new(micros + 3_600_000_000)
}

async fn claimed(store: &RedisStore, claim: &Claim) -> (Term, Option<Note>) {
    match acquire(store, claim).await.unwrap() {
        Claimed::Granted { term, last_note } => (term, last_note),
        other => panic!("{:?} was not granted: {other:?}", claim.key),
    }
}

/// Wherever lease and record lie, whoever holds goes on: renews, in many words and in few, is asked to resign, is told apart
/// from a rival, releases; the next one gets the last note and a higher term, also after the move.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_lease_stays_held_in_every_stage_of_a_move() {
    let Some(servers) = Move::start(&RedisClusterOptions::default()) else { return };
    let (one, two) = (servers.client().await, servers.client().await);
    for lease in [Source, Target] {
        for record in [Source, Target, Nowhere] {
            let stage = format!("lease at {lease:?}, record at {record:?}");
            let key = servers.key();
            let mine = Claim { above: in_an_hour(), note: Note::new("first").unwrap(), ..by(&key, 1) };
            let own = held(&mine, granted(&one, &mine).await);
            servers.open(&key, lease, record);

            assert_eq!(renew(&one, &own).await.unwrap(), EXTENDED, "{stage}");
            let noted = Held { note: Note::new("second note").unwrap(), ..own };
            for _ in 0..2 {
                assert_eq!(renew(&one, &noted).await.unwrap(), EXTENDED, "{stage}");
            }
            let (by_whom, term, remaining) = holder(&two, &by(&key, 2)).await;
            assert_eq!((by_whom.as_str(), term), ("holder-1", Some(noted.term)), "{stage}");
            assert!(remaining.is_some_and(|remaining| !remaining.is_zero() && remaining <= noted.ttl), "{stage}");
            assert_eq!(claimed(&one, &mine).await.0, noted.term, "a repeated claim, {stage}");
            assert_eq!(two.last_term(&key).await.unwrap(), Some(noted.term), "{stage}");
            let shown = two.record(&key).await.unwrap().expect(&stage);
            assert_eq!(
                (shown.term, &shown.note, shown.ttl),
                (Some(noted.term), &noted.note, Some(noted.ttl)),
                "{stage}"
            );
            let listed = two.list(&KeyPrefix::from(&key)).await.unwrap();
            assert!(listed.iter().any(|record| record.key == key), "{stage}: {listed:?}");
            servers.nothing_is_twice(&key, &stage);

            let stranger = Held { nonce: by(&key, 2).nonce, ..noted.clone() };
            assert_eq!(release(&two, &stranger).await.unwrap(), Released::NotHeld, "{stage}");
            assert!(two.request_resign(&key).await.unwrap(), "{stage}");
            assert_eq!(renew(&one, &noted).await.unwrap(), Renewed::Extended { resign_requested: true }, "{stage}");
            let last = Held { note: Note::new("last").unwrap(), ..noted };
            assert_eq!(release(&one, &last).await.unwrap(), Released::Freed, "{stage}");
            assert_eq!(release(&one, &last).await.unwrap(), Released::NotHeld, "{stage}");
            assert!(matches!(renew(&one, &last).await.unwrap(), Renewed::Lost { to: None }), "{stage}");
            servers.nothing_is_twice(&key, &stage);

            let (term, note) = claimed(&two, &by(&key, 2)).await;
            assert!(term > last.term, "{stage}: {term} after {}", last.term);
            assert_eq!(note.as_ref().map(Note::as_str), Some("last"), "{stage}");
            servers.nothing_is_twice(&key, &stage);
            servers.close(&key);
            assert_eq!(renew(&two, &held(&by(&key, 2), term)).await.unwrap(), EXTENDED, "{stage}");
            assert!(two.remove(&key).await.unwrap().is_some(), "{stage}");
            assert!(granted(&one, &by(&key, 3)).await > term, "{stage}");
        }
    }
}

/// Wherever lease and record lie, a bound lease stays what it is: held however long the move takes, found by its own claim,
/// told by its record, displaced by whoever names its member, released by its holder alone; and no record of one goes before
/// it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_lease_stays_bound_in_every_stage_of_a_move() {
    let Some(servers) = Move::start(&RedisClusterOptions::default()) else { return };
    let (one, two) = (servers.client().await, servers.client().await);
    let member = |term| Bound { member: key("members/a"), term: Term::new(term).unwrap() };
    let bound = |term, last_term| Some(BoundClaim { to: member(term), last_term });
    for lease in [Source, Target] {
        for record in [Source, Target, Nowhere] {
            let stage = format!("lease at {lease:?}, record at {record:?}");
            let key = servers.key();
            let mine = Claim { above: in_an_hour(), bound: bound(7, None), ..by(&key, 1) };
            let own = held(&mine, granted(&one, &mine).await);
            servers.open(&key, lease, record);

            let expected = Claimed::Held {
                by: mine.holder.clone(),
                term: Some(own.term),
                remaining: None,
                bound: Some(member(7)),
            };
            let rivals = [None, Some(member(6))].map(|displaces| Claim { displaces, ..by(&key, 2) });
            for rival in &rivals {
                assert_eq!(acquire(&two, rival).await.unwrap(), expected, "{stage}");
            }
            assert_eq!(claimed(&two, &mine).await.0, own.term, "a repeated claim, {stage}");
            assert!(matches!(renew(&one, &own).await.unwrap(), Renewed::Lost { .. }), "{stage}");
            assert!(two.request_resign(&key).await.unwrap(), "{stage}");
            let shown = one.record(&key).await.unwrap().expect(&stage);
            assert!(shown.resign_requested && shown.bound == Some(member(7)) && shown.ttl.is_none(), "{stage}");
            servers.nothing_is_twice(&key, &stage);

            let next = Claim { displaces: Some(member(7)), bound: bound(9, Some(own.term)), ..by(&key, 3) };
            let later = held(&next, claimed(&two, &next).await.0);
            assert!(later.term > own.term, "{stage}: {} after {}", later.term, own.term);
            assert_eq!(release(&one, &own).await.unwrap(), Released::NotHeld, "{stage}");
            servers.nothing_is_twice(&key, &stage);

            assert_eq!(release(&one, &later).await.unwrap(), Released::Freed, "{stage}");
            let stale = Claimed::Stale { last_term: Some(later.term) };
            assert_eq!(acquire(&one, &next).await.unwrap(), stale, "a copy after the release, {stage}");
            let again = Claim { bound: bound(9, Some(later.term)), ..next };
            let last = held(&again, claimed(&one, &again).await.0);
            servers.nothing_is_twice(&key, &stage);
            servers.close(&key);
            servers.never_ends(&key, &stage);
            assert_eq!(release(&two, &later).await.unwrap(), Released::NotHeld, "a delayed release, {stage}");
            assert_eq!(release(&two, &last).await.unwrap(), Released::Freed, "{stage}");
        }
    }
}

/// Wherever the record of a free key lies, or none does, the key is claimed, at once and by one alone; its hints come; and a
/// claim follows a release as before, with terms that grow without the clock's help, as long as the slot stays open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_free_key_is_claimed_in_every_stage_of_a_move() {
    let Some(servers) = Move::start(&RedisClusterOptions::default()) else { return };
    let (one, two) = (servers.client().await, servers.client().await);
    let mut wakes = two.watch(&KeyPrefix::default()).await.unwrap();
    for record in [Source, Target, Nowhere] {
        for ended in ["released", "removed", "expired"] {
            let stage = format!("{ended}, record at {record:?}");
            let key = servers.key();
            let ttl = if ended == "expired" { Duration::from_millis(50) } else { Duration::from_secs(10) };
            let first = Claim { ttl, above: in_an_hour(), note: Note::new("first").unwrap(), ..by(&key, 1) };
            let own = held(&first, granted(&one, &first).await);
            match ended {
                "released" => drop(release(&one, &own).await.unwrap()),
                "removed" => drop(one.remove(&key).await.unwrap()),
                _ => tokio::time::sleep(ttl * 2).await,
            }
            servers.open(&key, Source, record);
            if record != Nowhere {
                assert_eq!(two.last_term(&key).await.unwrap(), Some(own.term), "{stage}");
            }
            assert!(two.record(&key).await.unwrap().is_none() && !two.request_resign(&key).await.unwrap(), "{stage}");
            assert!(two.remove(&key).await.unwrap().is_none(), "{stage}");

            let mut last = (record != Nowhere).then_some(own.term);
            let expected = if record == Nowhere { None } else { Some("first") };
            for round in 0..3 {
                let rivals: Vec<Claim> = (10..18).map(|process| by(&key, process)).collect();
                let answers = join_all(
                    rivals.iter().map(|rival| acquire(if rival.nonce.process % 2 == 0 { &one } else { &two }, rival)),
                )
                .await;
                let won: Vec<_> = rivals
                    .iter()
                    .zip(answers)
                    .filter_map(|(rival, answer)| match answer.unwrap() {
                        Claimed::Granted { term, last_note } => Some((held(rival, term), last_note)),
                        Claimed::Held { .. } | Claimed::Stale { .. } => None,
                    })
                    .collect();
                let [(own, note)] = won.as_slice() else { panic!("{stage}, round {round}: {won:?} were granted") };
                assert!(Some(own.term) > last, "{stage}, round {round}: {} after {last:?}", own.term);
                assert_eq!(
                    note.as_ref().map(Note::as_str).filter(|note| !note.is_empty()),
                    expected,
                    "{stage}, round {round}"
                );
                servers.nothing_is_twice(&key, &stage);
                last = Some(own.term);
                assert_eq!(release(&one, own).await.unwrap(), Released::Freed, "{stage}, round {round}");
                for wake in [Wake::taken(key.clone()), Wake::freed(key.clone())] {
                    hears(&mut wakes, &wake).await;
                }
            }
            servers.close(&key);
            assert!(Some(granted(&two, &by(&key, 2)).await) > last, "{stage}");
        }
    }
}

async fn hears(wakes: &mut tenure_store::WakeStream, wake: &Wake) {
    let heard = async { while wakes.next().await.as_ref() != Some(wake) {} };
    timeout(PATIENCE, heard).await.unwrap_or_else(|_| panic!("no {wake:?}"));
}

/// Many leases of one slot, some here and some there, are renewed in one batch, each for itself; what is not held is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_over_both_nodes_is_answered_item_by_item() {
    let Some(servers) = Move::start(&RedisClusterOptions::default()) else { return };
    let store = servers.client().await;
    let keys = servers.keys_of_one_slot(40);
    let claims: Vec<Claim> = keys.iter().map(|key| by(key, 1)).collect();
    let granted = store.acquire(&claims).await.unwrap();
    let own: Vec<Held> = claims
        .iter()
        .zip(granted)
        .map(|(claim, answer)| match answer.unwrap() {
            Claimed::Granted { term, .. } => held(claim, term),
            other => panic!("{other:?}"),
        })
        .collect();
    servers.open(&keys[0], Target, Target);
    for (n, key) in keys.iter().enumerate().skip(1) {
        for name in [(n % 2 == 0).then(|| key.to_string()), (n % 3 == 0).then(|| record_of(key))].into_iter().flatten()
        {
            assert!(servers.cluster.move_key(&name, Move::FROM, Move::TO));
        }
    }
    assert!(store.remove(&keys[7]).await.unwrap().is_some());
    for note in ["", "", "another"] {
        let own: Vec<Held> = own.iter().map(|held| Held { note: Note::new(note).unwrap(), ..held.clone() }).collect();
        for (n, answer) in store.renew(&own).await.unwrap().into_iter().enumerate() {
            let expected = if n == 7 { Renewed::Lost { to: None } } else { EXTENDED };
            assert_eq!(answer.unwrap(), expected, "{note:?}, item {n}");
        }
    }
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), 39);
    for (n, answer) in store.release(&own).await.unwrap().into_iter().enumerate() {
        assert_eq!(answer.unwrap(), if n == 7 { Released::NotHeld } else { Released::Freed }, "item {n}");
    }
    servers.nothing_is_twice(&keys[0], "a batch");
    servers.close(&keys[0]);
    assert!(store.acquire(&claims).await.unwrap().iter().all(|answer| matches!(answer, Ok(Claimed::Granted { .. }))));
}

/// A key that another program holds counts as held, and where it goes is not touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_other_programs_count_as_held_in_every_stage_of_a_move() {
    let Some(servers) = Move::start(&RedisClusterOptions::default()) else { return };
    let store = servers.client().await;
    for lease in [Source, Target] {
        for known in [false, true] {
            let key = servers.key();
            let node = &servers.cluster.nodes()[Move::FROM];
            if known {
                let first = by(&key, 1);
                release(&store, &held(&first, granted(&store, &first).await)).await.unwrap();
            }
            node.cli(["set", key.as_str(), "Instance-7"]);
            servers.open(&key, lease, Source);
            let term = store.last_term(&key).await.unwrap();
            assert_eq!(term.is_some(), known);
            for _ in 0..2 {
                assert_eq!(holder(&store, &by(&key, 2)).await.0, "Instance-7", "{lease:?}");
            }
            assert_eq!(store.last_term(&key).await.unwrap(), term, "{lease:?}");
            servers.nothing_is_twice(&key, "another program's");
            servers.close(&key);
            assert_eq!(holder(&store, &by(&key, 2)).await.0, "Instance-7", "{lease:?}");
        }
    }
}

/// A slot goes to and fro, key by key, while eight clients claim, renew, and release one lease of it: nobody is ever beside
/// another, terms grow, and somebody always comes in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_let_in_beside_another_while_a_slot_goes_to_and_fro() {
    let Some(servers) = Move::start(&RedisClusterOptions::default()) else { return };
    let key = servers.key();
    let slot = servers.slot(&key);
    let first = Claim { above: in_an_hour(), ..by(&key, 1) };
    let store = servers.client().await;
    release(&store, &held(&first, granted(&store, &first).await)).await.unwrap();

    let (ended, inside) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let terms: Arc<Mutex<Vec<(Term, Instant)>>> = Arc::default();
    let mut rivals = tokio::task::JoinSet::new();
    for process in 10..18 {
        // With time enough for a machine that is busy, and with leases that outlive the test: nobody gets in by expiry.
        let store = open(&(servers.cluster.url() + "?durable=true&timeout_ms=10000")).await;
        let (ended, inside, terms) = (Arc::clone(&ended), Arc::clone(&inside), Arc::clone(&terms));
        let mut claim = Claim { ttl: Duration::from_secs(600), ..by(&key, process) };
        rivals.spawn(async move {
            while !ended.load(Ordering::SeqCst) {
                claim.nonce.campaign += 1;
                match acquire(&store, &claim).await {
                    Ok(Claimed::Granted { term, .. }) => {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        terms.lock().unwrap().push((term, Instant::now()));
                        let own = held(&claim, term);
                        for note in ["", "a note", "a note"] {
                            let own = Held { note: Note::new(note).unwrap(), ..own.clone() };
                            assert_eq!(renew(&store, &own).await.unwrap(), EXTENDED);
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                        inside.fetch_sub(1, Ordering::SeqCst);
                        assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
                    }
                    Ok(Claimed::Held { .. }) => tokio::time::sleep(Duration::from_millis(3)).await,
                    other => panic!("{other:?}"),
                }
            }
        });
    }
    let rounds = tokio::task::block_in_place(|| {
        let begun = Instant::now();
        let mut rounds = 0;
        let (mut from, mut to) = (Move::FROM, Move::TO);
        while begun.elapsed() < Duration::from_secs(15) {
            let pause = || std::thread::sleep(Duration::from_millis(20 + 7 * (rounds % 10)));
            servers.cluster.open_slot(slot, from, to);
            pause();
            let mut names = [key.to_string(), record_of(&key)];
            if rounds % 2 == 1 {
                names.reverse();
            }
            for name in names {
                servers.cluster.move_key(&name, from, to);
                pause();
            }
            // What was made at the source before the lease had gone.
            while !servers.cluster.keys_in(slot, from).is_empty() {
                for name in servers.cluster.keys_in(slot, from) {
                    servers.cluster.move_key(&name, from, to);
                }
            }
            servers.cluster.close_slot(slot, from, to);
            (from, to) = (to, from);
            rounds += 1;
        }
        rounds
    });
    ended.store(true, Ordering::SeqCst);
    rivals.join_all().await;
    let terms = terms.lock().unwrap();
    assert!(terms.is_sorted_by(|one, next| one.0 < next.0), "terms that do not grow");
    assert!(terms.len() as u64 > rounds * 3, "{} tenures in {rounds} moves", terms.len());
    let waited = terms.windows(2).map(|two| two[1].1 - two[0].1).max().unwrap();
    println!("{} tenures in {rounds} moves; the longest wait for the next was {waited:?}", terms.len());
}

/// Either of the two nodes may have forgotten who holds: a claim waits until both are up for its ttl.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_in_a_moving_slot_waits_for_both_nodes_that_may_have_forgotten() {
    for (lease, forgets) in [(Source, Move::FROM), (Target, Move::TO)] {
        let Some(mut servers) = Move::start(&RedisClusterOptions { forgetful: true, ..Default::default() }) else {
            return;
        };
        let store = open(&servers.cluster.url()).await;
        // Longer than the node takes to come back, so that there is something to wait for.
        let ttl = Duration::from_secs(8);
        let key = servers.key();
        let first = Claim { ttl, above: in_an_hour(), ..by(&key, 1) };
        let own = held(&first, until_granted(&store, &first).await);
        servers.open(&key, lease, Source);
        let sent = Instant::now();
        assert_eq!(renew(&store, &own).await.unwrap(), EXTENDED);
        servers.cluster.nodes_mut()[forgets].kill();
        servers.cluster.nodes_mut()[forgets].start_again().unwrap();
        servers.cluster.wait_until_whole().unwrap();
        let back = sent.elapsed();
        assert!(back < ttl, "the node came back after {back:?}, which shows nothing");
        let migrating = servers.cluster.nodes()[Move::FROM].cli(["cluster", "nodes"]);
        assert!(migrating.contains("->-"), "the slot is still open: {migrating}");
        let second = Claim { ttl, ..by(&key, 2) };
        until_granted(&store, &second).await;
        assert!(sent.elapsed() >= ttl, "granted {:?} after the holder was told that it has {ttl:?}", sent.elapsed());
    }
}

/// A slot that was given away at its source first, against the manual, belongs to nobody until its target knows: calls say so
/// in time, and go on as soon as it does.
#[tokio::test]
async fn a_slot_that_nobody_owns_fails_in_time_and_goes_on() {
    let Some(servers) = Move::start(&RedisClusterOptions::default()) else { return };
    let store = servers.client().await;
    let key = servers.key();
    let mine = by(&key, 1);
    let own = held(&mine, granted(&store, &mine).await);
    servers.open(&key, Target, Target);
    let slot = servers.slot(&key).to_string();
    let target = servers.cluster.nodes()[Move::TO].cli(["cluster", "myid"]).trim().to_owned();
    let said = servers.cluster.nodes()[Move::FROM].cli(["cluster", "setslot", &slot, "node", &target]);
    assert_eq!(said.trim(), "OK");
    match renew(&store, &own).await {
        Ok(answer) => assert_eq!(answer, EXTENDED),
        Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{error}"),
    }
    servers.close(&key);
    assert_eq!(renew(&store, &own).await.unwrap(), EXTENDED);
    assert_eq!(release(&store, &own).await.unwrap(), Released::Freed);
    assert!(granted(&store, &by(&key, 2)).await > own.term);
}
