//! What an operator is told of clusters that weaken the guarantee.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use tenure_etcd::EtcdConfig;
use tenure_store::{Diagnosis, LeaseStore};
use tenure_test_servers::{Etcd, EtcdOptions, EtcdPrograms, or_skip};
use tokio::time::Instant;

fn start(nodes: usize, arguments: &[&str]) -> Option<Etcd> {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let programs = or_skip("etcd diagnosis", true, EtcdPrograms::find())?;
    Some(programs.start(nodes, &EtcdOptions { arguments, ..EtcdOptions::default() }).unwrap())
}

async fn diagnosed(url: &str) -> Diagnosis {
    tenure_etcd::open(url.parse::<EtcdConfig>().unwrap()).await.unwrap().diagnose().await.unwrap()
}

/// How what is told with these words is mended; empty where it is as it should be.
fn mend(found: &Diagnosis, words: &str) -> String {
    let remark = found.remarks.iter().find(|remark| remark.text.contains(words));
    remark.unwrap_or_else(|| panic!("nothing says {words:?}: {found:#?}")).mend.clone().unwrap_or_default()
}

/// One member is told, and so is an alarm, with its mend; the version is told.
#[tokio::test]
async fn one_member_and_its_alarms_are_told() {
    let Some(mut etcd) = start(1, &["--quota-backend-bytes", "100000"]) else { return };
    let found = diagnosed(&etcd.url()).await;
    assert!(found.version.as_ref().unwrap().starts_with("etcd 3."), "{found:?}");
    assert!(mend(&found, "one member").contains("three members or five"));
    let large = "x".repeat(60_000);
    for at in 0..10 {
        // The last of them is refused: that is what raises the alarm.
        etcd.nodes()[0].ctl(["put", &format!("large/{at}"), &large]);
    }
    assert!(mend(&diagnosed(&etcd.url()).await, "NOSPACE").contains("etcdctl alarm disarm"));
}

/// A whole cluster is found well. A member that the URL does not name, one that is away, and one of another cluster are told.
#[tokio::test]
async fn members_that_are_missing_or_strange_are_told() {
    let Some(mut etcd) = start(3, &[]) else { return };
    let found = diagnosed(&etcd.url()).await;
    assert!(found.remarks.iter().all(|remark| remark.mend.is_none()), "{found:#?}");
    let first = etcd.ports()[0];
    assert!(
        mend(&diagnosed(&format!("etcd://127.0.0.1:{first}")).await, "names 1 of 3 members").contains("every member")
    );
    let Some(other) = start(1, &[]) else { return };
    let two = format!("{},127.0.0.1:{}", etcd.url(), other.ports()[0]);
    assert!(mend(&diagnosed(&two).await, "members of 2 clusters").contains("one cluster alone"));
    // While a leader is elected nobody answers whoever opens: this store was opened before.
    let store = tenure_etcd::open(etcd.url().parse::<EtcdConfig>().unwrap()).await.unwrap();
    etcd.nodes()[2].server().kill();
    let gone = etcd.ports()[2].to_string();
    assert!(mend(&store.diagnose().await.unwrap(), &gone).contains("see that this member runs"));
    // Without a majority nothing is answered but what a member knows of itself.
    etcd.nodes()[1].server().kill();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found = store.diagnose().await;
        let leaderless = |found: &Diagnosis| found.remarks.iter().any(|remark| remark.text.contains("has no leader"));
        if found.as_ref().is_ok_and(leaderless) {
            break;
        }
        assert!(Instant::now() < until, "{found:#?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
