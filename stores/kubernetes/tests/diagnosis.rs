//! What an operator is told of an API server, and of rights that are missing there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use kit::*;
use tenure_store::{LeaseStore, StoreErrorKind};

/// Version and clock are told. Whoever may not list is told so, with the role that is missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_verbs_are_told_with_the_role() {
    let Some(kube) = start("kubernetes diagnosis") else { return };
    let found = open(kube.admin()).await.unwrap().diagnose().await.unwrap();
    assert!(found.version.as_ref().unwrap().starts_with("Kubernetes v"), "{found:?}");
    let clock = found.clock.unwrap();
    assert!(clock.ahead_at_least <= 0 && clock.ahead_at_most >= 0, "the same machine: {clock:?}");
    assert!(found.remarks.iter().all(|remark| remark.mend.is_none()), "{found:#?}");
    for (verbs, told) in [("get, create, update", "may not list"), ("get, list, create, update", "may not watch")] {
        kube.allow(verbs).unwrap();
        let until = tokio::time::Instant::now() + PATIENCE;
        let found = loop {
            // The authorizer learns of roles by a watch of its own.
            match open(kube.limited(true).unwrap()).await {
                Ok(store) => {
                    let found = store.diagnose().await.unwrap();
                    if found.remarks.iter().any(|remark| remark.text.contains(told)) {
                        break found;
                    }
                    assert!(tokio::time::Instant::now() < until, "{found:#?}");
                }
                Err(error) => assert_eq!(error.kind(), StoreErrorKind::Denied, "{error}"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        };
        let remark = found.remarks.iter().find(|remark| remark.text.contains(told)).unwrap();
        let mend = remark.mend.as_ref().unwrap();
        assert!(mend.contains("kubectl") && mend.contains("--verb=get,list,watch,create,update"), "{mend}");
    }
}
