//! Servers that refuse, break off in the middle of an answer, are not there, or are something else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/front.rs"]
mod front;
#[path = "support/kit.rs"]
mod kit;

use std::time::Duration;

use front::Front;
use kit::*;
use tenure_store::{Claim, Claimed, KeyPrefix, LeaseStore, Renewed, StoreErrorKind};
use tenure_test_servers::{Cut, Firestore, FirestorePrograms, Proxy, free_port, or_skip};
use tokio::time::Instant;

fn emulator() -> Option<Firestore> {
    or_skip("firestore faults", false, FirestorePrograms::find()).map(|programs| programs.start().unwrap())
}

/// A front that takes the emulator's password.
fn front(emulator: u16) -> Front {
    let front = Front::before(emulator);
    front.state().takes_owner = true;
    front
}

/// What a refusal is told as: its status counts, not its code, and each says what to do.
#[tokio::test]
async fn refusals_are_told_by_their_status() {
    let front = front(1);
    let url = format!("firestore://p?emulator={}", front.host());
    for (code, status, message, kind, remedy) in [
        (
            "404 Not Found",
            "NOT_FOUND",
            "The database d does not exist for project p",
            StoreErrorKind::Invalid,
            "gcloud firestore databases list",
        ),
        (
            "403 Forbidden",
            "PERMISSION_DENIED",
            "Missing or insufficient permissions.",
            StoreErrorKind::Denied,
            "roles/datastore.user",
        ),
        (
            "403 Forbidden",
            "PERMISSION_DENIED",
            "Permission denied on resource project p.",
            StoreErrorKind::Denied,
            "in that project",
        ),
        (
            "400 Bad Request",
            "FAILED_PRECONDITION",
            "The Cloud Firestore API is not available for Datastore Mode",
            StoreErrorKind::Invalid,
            "native mode",
        ),
        ("429 Too Many Requests", "RESOURCE_EXHAUSTED", "Quota exceeded.", StoreErrorKind::Unavailable, "quota"),
        ("503 Service Unavailable", "UNAVAILABLE", "later", StoreErrorKind::Unavailable, ""),
        ("200 OK", "INTERNAL", "in the middle", StoreErrorKind::Unavailable, ""),
    ] {
        front.state().answer = Some((code, format!(r#"[{{"error":{{"message":"{message}","status":"{status}"}}}}]"#)));
        let error = open(&url).await.unwrap_err();
        let said = error.to_string();
        assert!(
            error.kind() == kind
                && said.contains(message)
                && said.contains(remedy)
                && said.contains("projects/p/databases/(default)"),
            "{kind:?}: {said}"
        );
    }
    front.state().answer = Some(("502 Bad Gateway", "<html>".to_owned()));
    let error = open(&url).await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Unavailable && error.to_string().contains("502"), "{error}");
    // Nobody listens there.
    let error = open(&format!("firestore://p?emulator=127.0.0.1:{}", free_port())).await.unwrap_err();
    assert!(error.kind() == StoreErrorKind::Unavailable && error.to_string().contains("127.0.0.1"), "{error}");
}

/// A write whose answer cannot be had is unknown: it may have been done. One whose refusal says that nothing was done is
/// not, and a refusal that names the document is a conflict.
#[tokio::test]
async fn a_write_without_an_answer_is_unknown() {
    let Some(emulator) = emulator() else { return };
    let front = front(emulator.port());
    let store = open(&format!("firestore://{}?emulator={}", emulator.new_project(), front.host())).await.unwrap();
    let mine = claim("k", 1);
    let own = granted(&store, &mine).await;
    let refused = |code: &'static str, status: &str, message: &str| {
        Some((code, format!(r#"{{"error":{{"message":"{message}","status":"{status}"}}}}"#)))
    };
    for (code, status) in [
        ("503 Service Unavailable", "UNAVAILABLE"),
        ("504 Gateway Timeout", "DEADLINE_EXCEEDED"),
        ("500 Internal Server Error", "INTERNAL"),
        ("499 x", "CANCELLED"),
    ] {
        front.state().answer = refused(code, status, "x");
        let error = renew(&store, &own).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{status}: {error:?}");
        // What is known was forgotten: the next renewal reads first.
        front.state().answer = None;
        assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    }
    for (code, status, kind) in [
        ("403 Forbidden", "PERMISSION_DENIED", StoreErrorKind::Denied),
        ("429 Too Many", "RESOURCE_EXHAUSTED", StoreErrorKind::Unavailable),
    ] {
        front.state().answer = refused(code, status, "x");
        assert_eq!(renew(&store, &own).await.unwrap_err().kind(), kind);
        front.state().answer = None;
        assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    }
    // The answer to a write is cut off at every length: done, and not known to be.
    for bytes in [0, 1, 15, 60, 120, 170] {
        front.state().cut_after = Some(bytes);
        let error = renew(&store, &own).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "after {bytes} bytes: {error:?}");
        front.state().cut_after = None;
        assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: false });
    }
    // The answer to a claim is cut off, and the claim is made again: the same tenure.
    let second = claim("l", 1);
    assert!(matches!(acquire(&store, &claim("l", 2)).await.unwrap(), Claimed::Granted { .. }));
    assert!(matches!(acquire(&store, &second).await.unwrap(), Claimed::Held { .. }));
    assert!(store.remove(&second.key).await.unwrap().is_some());
    front.state().cut_after = Some(100);
    assert!(acquire(&store, &second).await.unwrap_err().is_retryable());
    front.state().cut_after = None;
    let granted = granted(&store, &second).await;
    assert_eq!(store.last_term(&second.key).await.unwrap(), Some(granted.term));
}

/// A renewal that an aborted or a failed precondition refuses is decided by what stands there.
#[tokio::test]
async fn a_conflict_leads_to_a_look() {
    let Some(emulator) = emulator() else { return };
    let front = front(emulator.port());
    let project = emulator.new_project();
    let store = open(&format!("firestore://{project}?emulator={}", front.host())).await.unwrap();
    let other = open(&format!("firestore://{project}?emulator={}", emulator.host())).await.unwrap();
    let own = granted(&store, &claim("k", 1)).await;
    assert!(other.request_resign(&own.key).await.unwrap());
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Extended { resign_requested: true });
    assert!(other.remove(&own.key).await.unwrap().is_some());
    assert_eq!(renew(&store, &own).await.unwrap(), Renewed::Lost { to: None });
    assert_eq!(front.calls_of(":batchWrite"), 4, "one for each step, and one that met a conflict");
}

/// A list of many pages takes longer than a call may, each page no longer than that.
#[tokio::test]
async fn a_list_of_many_pages_has_its_time() {
    let Some(emulator) = emulator() else { return };
    let (front, project, call) = (front(emulator.port()), emulator.new_project(), Duration::from_secs(2));
    let quick = open(&format!("firestore://{project}?timeout=30s&emulator={}", emulator.host())).await.unwrap();
    let lasting = |n| Claim { ttl: Duration::from_secs(600), ..claim(&format!("many {n}"), 1) };
    let claims: Vec<Claim> = (0..700).map(lasting).collect();
    assert!(quick.acquire(&claims).await.unwrap().iter().all(Result::is_ok));
    let store = open(&format!("firestore://{project}?timeout=2s&emulator={}", front.host())).await.unwrap();
    front.state().delay = call * 2 / 5;
    let begun = Instant::now();
    assert_eq!(store.list(&KeyPrefix::new("many").unwrap()).await.unwrap().len(), claims.len());
    assert!(begun.elapsed() > call, "{:?}", begun.elapsed());
    front.state().delay = call * 2;
    let begun = Instant::now();
    assert_eq!(store.list(&KeyPrefix::default()).await.unwrap_err().kind(), StoreErrorKind::Unavailable);
    assert!(begun.elapsed() < call * 3, "a page that is not answered is noticed: {:?}", begun.elapsed());
}

/// While packets vanish every call ends in time; a claim that was on its way then is granted to nobody else afterwards.
#[tokio::test]
async fn a_black_hole_ends_in_time() {
    let Some(emulator) = emulator() else { return };
    let proxy = Proxy::to(emulator.port()).unwrap();
    let url = format!("firestore://{}?timeout=500ms&emulator=127.0.0.1:{}", emulator.new_project(), proxy.port());
    // The first call of an emulator takes longer.
    let _ = open(&url.replace("500ms", "20s")).await.unwrap();
    let store = open(&url).await.unwrap();
    let own = granted(&store, &claim("k", 1)).await;
    for how in [Cut::Silent, Cut::Closed] {
        let cut = proxy.cut(how);
        for _ in 0..3 {
            let begun = Instant::now();
            let error = renew(&store, &own).await.unwrap_err();
            assert!(error.is_retryable() && begun.elapsed().as_secs() < 5, "{error} after {:?}", begun.elapsed());
        }
        drop(cut);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match renew(&store, &own).await {
                Ok(renewed) => break assert!(matches!(renewed, Renewed::Extended { .. } | Renewed::Lost { .. })),
                Err(error) => assert!(error.is_retryable() && Instant::now() < deadline, "{error}"),
            }
        }
    }
}
