//! What an operator is told of hosts that weaken the guarantee.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/kit.rs"]
mod kit;

use kit::*;
use tenure_store::{Diagnosis, LeaseStore};
use tenure_test_servers::{Postgres, PostgresOptions};

fn server(settings: &[&str]) -> Option<Postgres> {
    let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    Some(programs()?.start(PostgresOptions { settings, ..PostgresOptions::default() }).unwrap())
}

async fn diagnosed(url: &str) -> Diagnosis {
    open(url).await.diagnose().await.unwrap()
}

/// How what is told with these words is mended; empty where it is as it should be.
fn mend(found: &Diagnosis, words: &str) -> String {
    let remark = found.remarks.iter().find(|remark| remark.text.contains(words));
    remark.unwrap_or_else(|| panic!("nothing says {words:?}: {found:#?}")).mend.clone().unwrap_or_default()
}

/// Settings that lose what was acknowledged are told, each with the statement that mends it; version and clock are told.
#[tokio::test]
async fn settings_that_weaken_are_told_with_their_mend() {
    let Some(server) = server(&["fsync=off", "synchronous_commit=off", "full_page_writes=off"]) else { return };
    let found = diagnosed(&server.url()).await;
    assert!(found.version.as_ref().unwrap().starts_with("PostgreSQL "), "{found:?}");
    let clock = found.clock.unwrap();
    assert!(clock.ahead_at_least <= 0 && clock.ahead_at_most >= 0, "the same machine: {clock:?}");
    assert!(mend(&found, "fsync is off").contains("ALTER SYSTEM SET fsync = on"));
    assert!(mend(&found, "full_page_writes is off").contains("full_page_writes = on"));
    let statement = mend(&found, "synchronous_commit is off");
    server.psql(&statement);
    let mended = diagnosed(&server.url()).await;
    assert!(!mended.remarks.iter().any(|remark| remark.text.contains("synchronous_commit is off")), "{mended:#?}");
}

/// A host that takes no writes is told and does no harm; a second one that takes writes does.
#[tokio::test]
async fn hosts_that_differ_are_told() {
    let Some(first) = server(&["full_page_writes=on"]) else { return };
    let Some(reads) = server(&["default_transaction_read_only=on"]) else { return };
    let beside = |other: &Postgres| {
        let (url, port) = (first.url(), format!("127.0.0.1:{}", first.port()));
        url.replacen(&port, &format!("{port},127.0.0.1:{}", other.port()), 1)
    };
    let found = diagnosed(&beside(&reads)).await;
    assert_eq!(mend(&found, "takes no writes, and is passed over"), "");
    assert!(found.remarks.iter().all(|remark| remark.mend.is_none()), "{found:#?}");
    let alone = refused(&reads.url()).await;
    assert!(alone.contains("name every host"), "{alone}");
    let Some(second) = server(&["full_page_writes=on"]) else { return };
    assert!(mend(&diagnosed(&beside(&second)).await, "2 hosts of the URL take writes").contains("one is the primary"));
}
