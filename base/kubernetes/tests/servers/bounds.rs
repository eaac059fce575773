//! What is read of a server that says something without an end, played by a fake: no more than the client bears.

use futures_util::StreamExt;
use tenure_base_kubernetes::{Client, KubernetesErrorKind, leases};

use crate::fake::{FakeApi, Reply};
use crate::{LABEL, PATIENCE, cluster, connect};

/// What a client may read of one answer, with what lies in the buffers of both ends: an object has 16 MiB at most.
const BEARABLE: usize = 64 << 20;

const NOTHING_THERE: &str = r#"{"kind": "Status", "details": {"kind": "leases", "name": "tenure"}}"#;
const EMPTY: &str = r#"{"metadata": {"resourceVersion": "7"}, "items": []}"#;

fn is(status: u16, body: &str) -> Reply {
    Reply { status, body: body.to_owned(), goes_on: false }
}

fn goes_on(status: u16, body: &str) -> Reply {
    Reply { status, body: body.to_owned(), goes_on: true }
}

/// A server that has nothing, and answers what `odd` says otherwise.
async fn client(odd: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> (FakeApi, Client) {
    let fake = FakeApi::start(move |asked| {
        let usual = || match asked {
            _ if asked.contains("timeoutSeconds=") => is(200, ""),
            _ if asked.contains("/leases/") => is(404, NOTHING_THERE),
            _ => is(200, EMPTY),
        };
        odd(asked).unwrap_or_else(usual)
    });
    let client = connect(fake.kubeconfig()).await.unwrap();
    (fake, client)
}

/// A line of a watch that does not end is given up, with what came before it told; nothing of it is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_without_an_end_ends_the_watch() {
    let first = r#"{"type": "ADDED", "object": {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "k", "resourceVersion": "8"}}}"#;
    let first = first.replace('\n', "") + "\n{\"type\": \"";
    let watched = move |asked: &str| asked.contains("allowWatchBookmarks").then(|| goes_on(200, &first));
    let (fake, client) = client(watched).await;
    let mut changes = client.watch(LABEL).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap();
    assert_eq!(told.object.metadata.name.as_deref(), Some("k"));
    let end = tokio::time::timeout(PATIENCE, changes.next()).await.unwrap();
    assert_eq!(end, None);
    drop(changes);
    let said = fake.said();
    assert!(said < BEARABLE, "{said} bytes were read");
}

/// An answer that does not end is an error that says so. What was refused stays refused, however long the reason is: of a write
/// below 500 nothing was done, and above that nobody knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_an_end_say_what_became_of_a_call() {
    let statuses = |asked: &str| {
        let (_, name) = asked.split_once("/leases/s-")?;
        Some(goes_on(name.get(..3)?.parse().unwrap(), "{\"message\": \""))
    };
    let (fake, client) = client(statuses).await;
    for (status, read, write, told) in [
        (200, KubernetesErrorKind::Unavailable, KubernetesErrorKind::Unknown, "16777216 bytes"),
        (403, KubernetesErrorKind::Forbidden, KubernetesErrorKind::Forbidden, "1048576 bytes"),
        (422, KubernetesErrorKind::Invalid, KubernetesErrorKind::Invalid, "1048576 bytes"),
        (500, KubernetesErrorKind::Unavailable, KubernetesErrorKind::Unknown, "1048576 bytes"),
    ] {
        let mut object = crate::object(&format!("s-{status}"));
        (object.metadata.uid, object.metadata.resource_version) = (Some("u".to_owned()), Some("7".to_owned()));
        let name = object.metadata.name.clone().unwrap();
        let (got, put) = (client.get(&name).await.unwrap_err(), client.replace(&object).await.unwrap_err());
        assert_eq!((got.kind(), put.kind()), (read, write), "{status}");
        for error in [got, put] {
            assert!(error.to_string().contains(told), "{error}");
        }
        let said = fake.said();
        assert!(said < 2 * BEARABLE, "{said} bytes were read");
    }
}

/// A watch that is refused at length is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_refused_at_length_is_refused() {
    let refuses = |asked: &str| asked.contains("watch=1").then(|| goes_on(500, "<html>"));
    let fake = FakeApi::start(move |asked| match asked {
        _ if asked.contains("/leases/") => is(404, NOTHING_THERE),
        _ => refuses(asked).unwrap_or_else(|| is(200, EMPTY)),
    });
    let error = Client::connect(&cluster(fake.kubeconfig()), leases(), LABEL).await.unwrap_err();
    assert!(error.kind() == KubernetesErrorKind::Unavailable && error.to_string().contains("1048576 bytes"), "{error}");
    assert!(fake.said() < BEARABLE);
}
