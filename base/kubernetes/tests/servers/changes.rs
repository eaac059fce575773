//! Changes on the condition that the object is as it was seen, lists, and watches.

use futures_util::StreamExt;
use tenure_base_kubernetes::{Change, Changed, Client, Object, Verb};

use crate::{LABEL, PATIENCE, connect, created, done, object, start};

/// One of two creations is done, and one of two changes of the same version; what is stale, and what is gone, is a conflict, and
/// comes to life by nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_done_once() {
    let Some(kube) = start() else { return };
    let client = connect(kube.admin()).await.unwrap();
    assert_eq!(client.get("k").await.unwrap().object, None);
    let first = created(&client, "k").await;
    assert_eq!(client.create(&object("k")).await.unwrap(), Changed::Conflict);
    let mut next = first.clone();
    next.data["spec"]["holderIdentity"] = "y".into();
    let second = done(client.replace(&next).await.unwrap());
    assert_ne!(first.metadata.resource_version, second.metadata.resource_version);
    assert_eq!(client.replace(&next).await.unwrap(), Changed::Conflict, "a stale version");
    let found = client.get("k").await.unwrap();
    assert_eq!((found.object.as_ref(), found.server_micros.is_some()), (Some(&second), true));

    assert_eq!(client.delete(&first).await.unwrap(), Changed::Conflict, "a stale version");
    done(client.delete(&second).await.unwrap());
    assert_eq!(client.replace(&second).await.unwrap(), Changed::Conflict, "a PUT must not make it anew");
    assert_eq!(client.delete(&second).await.unwrap(), Changed::Conflict);
    assert_eq!(client.get("k").await.unwrap().object, None);
    // Another one of the same name is another one.
    let anew = created(&client, "k").await;
    let late = Object { metadata: second.metadata.clone(), ..anew.clone() };
    assert_eq!(client.replace(&late).await.unwrap(), Changed::Conflict);
    assert_eq!(client.get("k").await.unwrap().object, Some(anew));
}

async fn names(client: &Client) -> Vec<String> {
    client.list(LABEL, |object| object.metadata.name).await.unwrap()
}

/// A list has more objects than a page, and none without the label; those of a list can be replaced as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_complete() {
    let Some(kube) = start() else { return };
    let client = connect(kube.admin()).await.unwrap();
    assert_eq!(client.missing(), None);
    let count = 520;
    let wanted: Vec<String> = (0..count).map(|n| format!("k-{n:04}")).collect();
    for name in &wanted {
        created(&client, name).await;
    }
    let mut other = object("other");
    other.metadata.labels = None;
    done(client.create(&other).await.unwrap());
    let mut listed = names(&client).await;
    listed.sort();
    assert_eq!(listed, wanted);
    let of_list = client.list(LABEL, Some).await.unwrap().remove(7);
    done(client.replace(&of_list).await.unwrap());
}

/// A watch tells what is made, changed and deleted after it began, of objects with the label alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_of_changes() {
    let Some(kube) = start() else { return };
    let client = connect(kube.admin()).await.unwrap();
    created(&client, "before").await;
    let mut changes = client.watch(LABEL).await.unwrap();
    let mut other = object("other");
    other.metadata.labels = None;
    done(client.create(&other).await.unwrap());
    let made = created(&client, "k").await;
    let mut next = made.clone();
    next.data["spec"]["holderIdentity"] = "y".into();
    let changed = done(client.replace(&next).await.unwrap());
    done(client.delete(&changed).await.unwrap());
    for (name, holder, deleted) in [("k", "x", false), ("k", "y", false), ("k", "y", true)] {
        let told = tokio::time::timeout(PATIENCE, changes.next()).await.expect("a change in time");
        let Some(Change { object, deleted: gone }) = told else { panic!("the watch has ended") };
        let holds = object.data["spec"]["holderIdentity"].as_str();
        assert_eq!((object.metadata.name.as_deref(), holds, gone), (Some(name), Some(holder), deleted));
    }
}

/// Without the right to get, nothing begins; without those to list and to watch, the client says which is missing, and asks the
/// server no more for what it would refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_rights_are_told() {
    let Some(kube) = start() else { return };
    let error = connect(kube.limited(false).unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("may not get leases") && error.contains("coordination.k8s.io"), "{error}");
    for (verbs, missing) in [("get", Verb::List), ("get, list", Verb::Watch)] {
        kube.allow(verbs).unwrap();
        let deadline = tokio::time::Instant::now() + PATIENCE;
        // The authorizer learns of the binding by a watch of its own.
        let client = loop {
            match connect(kube.limited(true).unwrap()).await {
                Ok(client) if client.missing() == Some(missing) => break client,
                other => assert!(tokio::time::Instant::now() < deadline, "{other:?}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        assert!(client.watch(LABEL).await.is_err());
        assert_eq!(client.list(LABEL, Some).await.is_ok(), missing == Verb::Watch);
        assert!(client.create(&object("k")).await.unwrap_err().to_string().contains("may not create leases"));
    }
}
