//! What Firestore makes of conditional writes, as the emulator shows it, and what the records make of that.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/by_hand.rs"]
mod by_hand;
#[path = "support/front.rs"]
mod front;
#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use by_hand::{ByHand, text};
use front::Front;
use kit::*;
use serde_json::json;
use tenure_records::{Content, Place, Records, Swap, Version, Write};
use tenure_store::{Claim, Claimed, KeyPrefix, LeaseStore, Note, Renewed};
use tenure_test_servers::{Firestore, FirestorePrograms, or_skip};
use tokio::time::{Instant, sleep};

async fn opened() -> Option<(Firestore, ByHand, Store)> {
    let emulator = or_skip("firestore writes", false, FirestorePrograms::find())?.start().unwrap();
    let project = emulator.new_project();
    let store = open(&format!("firestore://{project}?emulator={}", emulator.host())).await.unwrap();
    let by_hand = ByHand::new(&emulator.host(), &project);
    Some((emulator, by_hand, store))
}

fn write(name: &str, expected: Option<&Version>, to: Option<&str>) -> Write {
    let to = to.map(|text| Content::Document(text.into()));
    Write { place: Place::document(&key(name)), expected: expected.cloned(), to }
}

fn version(swap: Swap) -> Version {
    match swap {
        Swap::Done(version) => version,
        conflict => panic!("{conflict:?}"),
    }
}

/// A write of what stands there already keeps `updateTime`: such a renewal would be invisible, and whoever wrote it could not
/// tell that another did. Each write of ours differs from the last one.
#[tokio::test]
async fn equal_contents_keep_the_time_and_ours_never_are() {
    let Some((_emulator, by_hand, store)) = opened().await else { return };
    by_hand.put("by/hand", json!({ "a": text("b") })).await;
    let first = by_hand.updated("by/hand").await;
    by_hand.put("by/hand", json!({ "a": text("b") })).await;
    assert_eq!(by_hand.updated("by/hand").await, first);

    let own = granted(&store, &claim("system/ircLeader", 1)).await;
    let mut times = vec![by_hand.updated("system/ircLeader").await];
    for _ in 0..5 {
        assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
        times.push(by_hand.updated("system/ircLeader").await);
    }
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    let records = store.records();
    let first = version(records.write(&write("k", None, Some("same"))).await.unwrap());
    assert_ne!(version(records.write(&write("k", Some(&first), Some("same"))).await.unwrap()), first);
}

/// A stale version is refused with HTTP 400, as a request that is wrong in itself is; only the status tells. Such a write is a
/// conflict, as one that meets a document which should not be there, or is gone.
#[tokio::test]
async fn a_stale_version_is_told_by_its_status() {
    let Some((_emulator, by_hand, store)) = opened().await else { return };
    by_hand.put("by/hand", json!({ "a": text("b") })).await;
    let stale = by_hand.updated("by/hand").await;
    by_hand.put("by/hand", json!({ "a": text("c") })).await;
    let update = json!({ "name": by_hand.name("by/hand"), "fields": {} });
    let asked = json!({ "writes": [{ "update": update, "currentDocument": { "updateTime": stale } }] });
    let (code, answer) = by_hand.post("commit", asked).await;
    assert_eq!((code, &answer["error"]["status"]), (400, &json!("FAILED_PRECONDITION")), "{answer}");
    let (code, answer) = by_hand.post("commit", json!({ "writes": [{ "update": { "name": "odd" } }] })).await;
    assert_eq!((code, &answer["error"]["status"]), (400, &json!("INVALID_ARGUMENT")), "{answer}");

    let records = store.records();
    let first = version(records.write(&write("k", None, Some("1"))).await.unwrap());
    let second = version(records.write(&write("k", Some(&first), Some("2"))).await.unwrap());
    let refused = async |write: Write| matches!(records.write(&write).await.unwrap(), Swap::Conflict(None));
    assert!(refused(write("k", Some(&first), Some("3"))).await, "at another version");
    assert!(refused(write("k", Some(&first), None)).await, "a deletion at another version");
    assert!(refused(write("k", None, Some("3"))).await, "there already");
    version(records.write(&write("k", Some(&second), None)).await.unwrap());
    assert!(refused(write("k", Some(&second), Some("3"))).await, "gone");
    assert!(refused(write("k", Some(&second), None)).await, "a deletion of what is gone");
}

/// Of many writes in one request each is decided by itself.
#[tokio::test]
async fn a_write_that_fails_among_many_fails_alone() {
    let Some((_emulator, _, store)) = opened().await else { return };
    let records = store.records();
    let names: Vec<String> = (0..20).map(|n| format!("many/{n}")).collect();
    let create: Vec<Write> = names.iter().map(|name| write(name, None, Some("1"))).collect();
    let first: Vec<Version> =
        records.write_many(&create).await.into_iter().map(|swap| version(swap.unwrap())).collect();
    let third = version(records.write(&write(&names[3], Some(&first[3]), Some("2"))).await.unwrap());
    // The fourth is stale, the sixth should not be there, the eighth goes.
    let mut again: Vec<Write> = names.iter().zip(&first).map(|(name, at)| write(name, Some(at), Some("3"))).collect();
    again[5].expected = None;
    again[7].to = None;
    let swaps = records.write_many(&again).await;
    for (at, swap) in swaps.iter().enumerate() {
        let conflict = matches!(swap, Ok(Swap::Conflict(None)));
        assert_eq!(conflict, [3, 5].contains(&at), "{at}: {swap:?}");
        assert!(conflict || matches!(swap, Ok(Swap::Done(_))), "{at}: {swap:?}");
    }
    let places: Vec<Place> = again.iter().map(|write| write.place.clone()).collect();
    for (at, (seen, swap)) in records.read_many(&places).await.into_iter().zip(swaps).enumerate() {
        let (seen, expected) = (
            seen.unwrap(),
            match (at, swap.unwrap()) {
                (7, _) => None,
                (3, _) => Some(third.clone()),
                (_, Swap::Done(version)) => Some(version),
                (at, Swap::Conflict(_)) => Some(first[at].clone()),
            },
        );
        assert_eq!(seen.version, expected, "{at}");
    }
}

/// However long their notes are, so many leases are claimed and renewed at a time as one batch takes: what is too much for one
/// request, 10 MiB of Firestore and 4 of an emulator, goes by several.
#[tokio::test]
async fn long_notes_fit_into_a_batch() {
    let Some((emulator, _, _)) = opened().await else { return };
    let front = Front::before(emulator.port());
    front.state().takes_owner = true;
    let url = format!("firestore://{}?timeout=30s&emulator={}", emulator.new_project(), front.host());
    let store = open(&url).await.unwrap();
    let note = Note::new("n".repeat(Note::MAX_BYTES)).unwrap();
    let claims: Vec<Claim> = (0..500)
        .map(|n| Claim { note: note.clone(), ttl: Duration::from_secs(600), ..claim(&format!("many/{n}"), 1) })
        .collect();
    let granted = store.acquire(&claims).await.unwrap();
    assert!(granted.iter().all(|one| matches!(one, Ok(Claimed::Granted { .. }))), "{:?}", granted[0]);
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap().len(), claims.len());
    let largest = front.state().largest;
    assert!(largest < 4 << 20, "{largest} bytes in one request");
}

/// While a transaction of another program has read the document a renewal waits for it, or is refused and made again; it
/// ends in time, and the lease is not lost by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_programs_transaction_is_waited_for() {
    let Some((_emulator, by_hand, store)) = opened().await else { return };
    let mine = tenure_store::Claim { ttl: Duration::from_secs(60), ..claim("system/ircLeader", 1) };
    let own = granted(&store, &mine).await;
    for held in [200, 1_000].map(Duration::from_millis) {
        let transaction = by_hand.done("beginTransaction", json!({})).await["transaction"].clone();
        let documents = [by_hand.name("system/ircLeader")];
        by_hand.done("batchGet", json!({ "documents": documents, "transaction": transaction })).await;
        let ended = async {
            sleep(held).await;
            by_hand.done("rollback", json!({ "transaction": transaction })).await;
        };
        let begun = Instant::now();
        let renewed = async { (renew(&store, &own).await, begun.elapsed()) };
        let ((renewed, took), ()) = tokio::join!(renewed, ended);
        println!("a transaction held for {held:?}: a renewal took {took:?}: {renewed:?}");
        if let Err(error) = renewed {
            assert!(error.is_retryable(), "{error}");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match renew(&store, &own).await {
                Ok(renewed) => break assert_eq!(renewed, Renewed::Extended { resign_requested: false }),
                Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
            }
        }
    }
    assert_eq!(store.last_term(&mine.key).await.unwrap(), Some(own.term));
}
