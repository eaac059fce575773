//! The scripts against the reference: the same calls, drawn at random, made to a server and to the pure model, must be
//! answered alike.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use std::time::{Duration, SystemTime};

use kit::*;
use tenure_core::Time;
use tenure_redis::RedisStore;
use tenure_store::{
    Bound, BoundClaim, Claim, Claimed, Held, HolderId, KeyPrefix, LeaseKey, LeaseRecord, LeaseStore, LeaseTable, Nonce,
    Note, RecordFormat, Term,
};
use tenure_test_servers::{RedisOptions, RedisPrograms, or_skip};
use tokio::time::Instant;

/// How long calls are drawn.
const SPAN: Duration = Duration::from_secs(6);
/// How many calls are drawn for one set of keys.
const CALLS: usize = 60;
/// Names that need care, and enough others that renewals of all of them are a large batch.
const NAMES: [&str; 24] = [
    "plain",
    "a b",
    "{a}b",
    "}{",
    "{}",
    "50%",
    "%7B",
    "é/ü",
    "\u{1F600}",
    "*?[a]^-\\",
    "\"q\"",
    "'",
    "l1",
    "l2",
    "l3",
    "l4",
    "l5",
    "l6",
    "l7",
    "l8",
    "l9",
    "l10",
    "l11",
    "l12",
];
const HOLDERS: [&str; 5] = ["host-1", "my host 7", "100% me", "%20", "ho\u{2003}st é"];
const NOTES: [&str; 6] = ["", "", "note", " two  words\n! ", "é\u{1F600}", "7 00000000000000000000000000000001! x"];
const MEMBERS: [&str; 2] = ["pool/members/a b", "%20:1"];
const TTLS: [u64; 3] = [60, 90, 120];
/// Model and server are asked a moment apart.
const SLACK: Duration = Duration::from_secs(20);

/// One key on both sides. An expiry is a step of the model's own clock, and the end of the lease on the server.
struct Twin {
    claim: Claim,
    name: String,
    table: LeaseTable,
    now: Time,
    /// Tenures that were granted, the latest last.
    granted: Vec<Held>,
    foreign: bool,
    log: Vec<String>,
}

/// Numbers that look random and are the same for the same seed (splitmix64).
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Random calls are answered by the server as by the model: who holds, under which term, for how long, with which notes.
#[tokio::test]
async fn random_calls_are_answered_as_the_reference_does() {
    let Some(programs) = or_skip("redis reference", true, RedisPrograms::find()) else { return };
    let server = programs.start(RedisOptions::default()).unwrap();
    let store = open(&(server.url() + "?durable=true")).await;
    let mut raw = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = std::env::var("TENURE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(seed);
    println!("TENURE_SEED={seed}");
    let mut draw = Draw(seed);
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < SPAN || rounds == 0 {
        let mut twins: Vec<Twin> = NAMES.iter().map(|name| Twin::new(&format!("{rounds}/{name}"))).collect();
        for _ in 0..CALLS {
            match draw.below(12) {
                0..=3 => acquire_some(&store, &mut twins, &mut draw).await,
                4..=6 => renew_some(&store, &mut twins, &mut draw).await,
                7 => release_some(&store, &mut twins, &mut draw).await,
                8 => {
                    let twin = &mut twins[draw.below(NAMES.len())];
                    let asked = store.request_resign(&twin.claim.key).await.unwrap();
                    twin.log.push(format!("request_resign -> {asked}"));
                    assert_eq!(asked, twin.table.request_resign(twin.now, &twin.claim.key), "{:#?}", twin.log);
                }
                9 => {
                    let twin = &mut twins[draw.below(NAMES.len())];
                    let stood = store.remove(&twin.claim.key).await.unwrap();
                    twin.log.push(format!("remove -> {stood:?}"));
                    let expected = twin.table.remove(twin.now, &twin.claim.key);
                    same_records(stood.as_slice(), expected.as_slice(), &twin.log);
                    if std::mem::take(&mut twin.foreign) {
                        twin.forget(&mut raw);
                    }
                }
                10 => twins[draw.below(NAMES.len())].expire(&mut raw),
                _ => twins[draw.below(NAMES.len())].plant(&store, &mut raw, &mut draw).await,
            }
        }
        let listed = store.list(&KeyPrefix::new(format!("{rounds}/")).unwrap()).await.unwrap();
        let mut expected: Vec<LeaseRecord> =
            twins.iter().flat_map(|twin| twin.table.list(twin.now, &KeyPrefix::default())).collect();
        expected.sort_by(|a, b| a.key.cmp(&b.key));
        let logs: Vec<_> = twins.iter().map(|twin| (&twin.name, &twin.log)).collect();
        same_records(&listed, &expected, &format!("{logs:#?}"));
        rounds += 1;
    }
    println!("{rounds} rounds of {CALLS} calls on {} keys each", NAMES.len());
}

async fn acquire_some(store: &RedisStore, twins: &mut [Twin], draw: &mut Draw) {
    let chosen = choose(twins, draw);
    let claims: Vec<Claim> = chosen
        .iter()
        .map(|at| {
            let twins_term = twins[*at].table.slot(&twins[*at].claim.key).and_then(|slot| slot.term);
            let claim = &mut twins[*at].claim;
            // Now and then the same claim once more, as after a lost reply.
            if draw.below(3) > 0 {
                claim.nonce = Nonce { process: 1 + draw.below(3) as u64, campaign: draw.below(6) as u64 };
                claim.holder = HolderId::new(draw.of(&HOLDERS)).unwrap();
                claim.note = Note::new(draw.of(&NOTES)).unwrap();
            }
            claim.ttl = Duration::from_secs(draw.of(&TTLS));
            claim.above = match draw.below(40) {
                0 => Term::new(Term::LIMIT - 2),
                1 => Term::new(Term::LIMIT - 1),
                2..=6 => twins[*at].granted.last().and_then(|held| Term::new(held.term.get() + 10_000_000_000)),
                _ => None,
            };
            if draw.below(3) > 0 {
                claim.bound = (draw.below(2) == 0).then(|| BoundClaim {
                    to: any_bound(draw),
                    last_term: match draw.below(8) {
                        0 => None,
                        1 => Term::new(7),
                        _ => twins_term,
                    },
                });
                claim.displaces = (draw.below(3) > 0).then(|| any_bound(draw));
            }
            twins[*at].claim.clone()
        })
        .collect();
    let before = micros();
    let answers = store.acquire(&claims).await.unwrap();
    for ((at, claim), answer) in chosen.into_iter().zip(&claims).zip(answers) {
        let twin = &mut twins[at];
        twin.log.push(format!("{claim:?} -> {answer:?}"));
        // A term that the clock has seeded is taken over from the server, which has read its clock in between.
        let clock = match &answer {
            Ok(Claimed::Granted { term, .. }) if (before..=micros()).contains(&term.get()) => term.get(),
            _ => before,
        };
        let expected = twin.table.acquire(twin.now, clock, claim);
        match (answer, expected) {
            (
                Ok(Claimed::Held { by, term, remaining, bound }),
                Ok(Claimed::Held { by: who, term: under, remaining: left, bound: to }),
            ) => {
                assert_eq!((by, term, bound), (who, under, to), "{:#?}", twin.log);
                assert!(close(remaining, left), "{remaining:?} {left:?} {:#?}", twin.log);
            }
            (Ok(granted), Ok(expected)) => {
                assert_eq!(granted, expected, "{:#?}", twin.log);
                if let Claimed::Granted { term, .. } = granted {
                    twin.granted.push(held(claim, term));
                }
            }
            (Err(error), Err(expected)) => assert_eq!(error.kind(), expected.kind(), "{:#?}", twin.log),
            (answer, expected) => panic!("{answer:?} instead of {expected:?}: {:#?}", twin.log),
        }
    }
}

async fn renew_some(store: &RedisStore, twins: &mut [Twin], draw: &mut Draw) {
    let chosen = choose(twins, draw);
    let own = tenures(twins, &chosen, draw);
    let answers = store.renew(&own).await.unwrap();
    for ((at, own), answer) in chosen.into_iter().zip(&own).zip(answers) {
        let twin = &mut twins[at];
        twin.log.push(format!("renew {own:?} -> {answer:?}"));
        assert_eq!(answer.unwrap(), twin.table.renew(twin.now, own), "{:#?}", twin.log);
    }
}

async fn release_some(store: &RedisStore, twins: &mut [Twin], draw: &mut Draw) {
    let chosen = vec![draw.below(twins.len())];
    let own = tenures(twins, &chosen, draw);
    let answers = store.release(&own).await.unwrap();
    for ((at, own), answer) in chosen.into_iter().zip(&own).zip(answers) {
        let twin = &mut twins[at];
        twin.log.push(format!("release {own:?} -> {answer:?}"));
        assert_eq!(answer.unwrap(), twin.table.release(twin.now, own), "{:#?}", twin.log);
    }
}

/// One of few members' tenures, so that claims displace, and are refused, about as often.
fn any_bound(draw: &mut Draw) -> Bound {
    let member = LeaseKey::new(draw.of(&MEMBERS)).unwrap();
    Bound { member, term: Term::new([2, 9, 10, 4_000_000_000_000_000][draw.below(4)]).unwrap() }
}

/// One key, a few, or all.
fn choose(twins: &[Twin], draw: &mut Draw) -> Vec<usize> {
    match draw.below(4) {
        0 => (0..twins.len()).collect(),
        1 => (0..twins.len()).step_by(1 + draw.below(5)).collect(),
        _ => vec![draw.below(twins.len())],
    }
}

/// What somebody who holds, held, or never did would renew or release.
fn tenures(twins: &[Twin], chosen: &[usize], draw: &mut Draw) -> Vec<Held> {
    // Mostly nothing changes, as in a fleet; now and then ttls and notes do.
    let (ttl, change) = (draw.of(&TTLS), draw.below(2) == 0);
    let one = |at: &usize| {
        let twin = &twins[*at];
        let mut own = match twin.granted.as_slice() {
            [] => held(&twin.claim, Term::new(7).unwrap()),
            all if draw.below(8) == 0 => all[draw.below(all.len())].clone(),
            [.., last] => last.clone(),
        };
        if draw.below(20) == 0 {
            own.term = Term::new(own.term.get() - 1).unwrap();
        }
        if change {
            own.ttl = Duration::from_secs(ttl);
            if draw.below(3) == 0 {
                own.note = Note::new(draw.of(&NOTES)).unwrap();
            }
        }
        own
    };
    chosen.iter().map(one).collect()
}

impl Twin {
    fn new(name: &str) -> Twin {
        Twin {
            claim: claim(name, 1),
            name: name.replace('%', "%25").replace('{', "%7B").replace('}', "%7D"),
            table: LeaseTable::new(),
            now: Time::from_millis(1_000),
            granted: Vec::new(),
            foreign: false,
            log: Vec::new(),
        }
    }

    fn expire(&mut self, raw: &mut redis::Connection) {
        // A bound lease has no expiry.
        let is_bound = self.table.list(self.now, &KeyPrefix::default()).iter().any(|record| record.bound.is_some());
        if !self.foreign && !is_bound {
            self.log.push("expires".to_owned());
            self.now = self.now + Duration::from_secs(1_000);
            redis::cmd("DEL").arg(&self.name).exec(raw).unwrap();
        }
    }

    /// Another program takes the key, and is met by somebody who wants it.
    async fn plant(&mut self, store: &RedisStore, raw: &mut redis::Connection, draw: &mut Draw) {
        self.forget(raw);
        let by = match draw.below(3) {
            0 => {
                redis::cmd("RPUSH").arg(&self.name).arg("x").exec(raw).unwrap();
                "another program (list)"
            }
            1 => {
                redis::cmd("SET").arg(&self.name).arg("Instance-12345").exec(raw).unwrap();
                "Instance-12345"
            }
            _ => {
                // All but a lease of ours: the term is beyond every limit.
                let value = "h 9999999999999999 00000000000000000000000000000001";
                redis::cmd("SET").arg(&self.name).arg(value).exec(raw).unwrap();
                "h"
            }
        };
        self.log.push(format!("planted {by}"));
        let by = HolderId::new(by).unwrap();
        self.table.plant(self.now, self.claim.key.clone(), by, RecordFormat::Foreign, Note::default());
        self.foreign = true;
        let answer = acquire(store, &self.claim).await;
        let expected = self.table.acquire(self.now, 1, &self.claim);
        assert_eq!(answer.unwrap(), expected.unwrap(), "{:#?}", self.log);
    }

    fn forget(&mut self, raw: &mut redis::Connection) {
        self.log.push("forgotten".to_owned());
        self.table.forget(&self.claim.key);
        redis::cmd("DEL").arg(&self.name).arg(format!("{{{}}}:tenure", self.name)).exec(raw).unwrap();
    }
}

fn micros() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros() as u64
}

fn close(got: Option<Duration>, expected: Option<Duration>) -> bool {
    match (got, expected) {
        (Some(got), Some(expected)) => got <= expected && got + SLACK >= expected,
        (got, expected) => got == expected,
    }
}

fn same_records(got: &[LeaseRecord], expected: &[LeaseRecord], log: &(impl std::fmt::Debug + ?Sized)) {
    let bare = |records: &[LeaseRecord]| -> Vec<LeaseRecord> {
        records.iter().map(|record| LeaseRecord { remaining: None, ..record.clone() }).collect()
    };
    assert_eq!(bare(got), bare(expected), "{log:#?}");
    for (got, expected) in got.iter().zip(expected) {
        assert!(close(got.remaining, expected.remaining), "{got:?} {expected:?} {log:#?}");
    }
}
