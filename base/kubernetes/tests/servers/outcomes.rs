//! What is known of a call that failed: nothing was done, or nobody knows.

use std::time::Duration;

use tenure_base_kubernetes::{Changed, Client, KubernetesErrorKind, leases};
use tenure_test_servers::Cut;
use tokio::time::Instant;

use crate::{LABEL, cluster, created, done, object, start};

/// A write whose answer does not come is of unknown outcome, a read unavailable, both in time: behind a cut that swallows, and
/// where the server's own etcd is silent. Where there is no connection nothing was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_say_what_became_of_a_call() {
    let Some(kube) = start() else { return };
    let way = kube.way().unwrap();
    let mut cluster = cluster(way.config().to_owned());
    cluster.timeout = Duration::from_secs(1);
    let client = Client::connect(&cluster, leases(), LABEL).await.unwrap();
    let first = created(&client, "k").await;
    let kinds = async |case: &str| {
        let begun = Instant::now();
        let (write, read) = (client.replace(&first).await.unwrap_err(), client.get("k").await.unwrap_err());
        assert!(begun.elapsed() < Duration::from_secs(8), "{case}: {:?}", begun.elapsed());
        (write.kind(), read.kind())
    };
    let cut = way.cut(Cut::Silent);
    assert_eq!(kinds("cut").await, (KubernetesErrorKind::Unknown, KubernetesErrorKind::Unavailable));
    drop(cut);
    kube.etcd().stop();
    assert_eq!(kinds("no etcd").await, (KubernetesErrorKind::Unknown, KubernetesErrorKind::Unavailable));
    kube.etcd().resume();

    // What was held back may have been done by now; nothing has been done twice, and nothing is lost.
    let deadline = Instant::now() + crate::PATIENCE;
    let now = loop {
        match client.get("k").await {
            Ok(found) => break found.object.unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!(now.metadata.uid, first.metadata.uid);
    done(client.replace(&now).await.unwrap());
    assert_eq!(client.create(&object("k")).await.unwrap(), Changed::Conflict);

    drop(way);
    let error = client.replace(&now).await.unwrap_err();
    assert!(matches!(error.kind(), KubernetesErrorKind::Unavailable | KubernetesErrorKind::Unknown), "{error}");
    let error = client.replace(&now).await.unwrap_err();
    assert!(error.kind() == KubernetesErrorKind::Unavailable && error.to_string().contains("no connection"), "{error}");
}
