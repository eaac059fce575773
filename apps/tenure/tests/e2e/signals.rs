//! Signals and deaths: SIGTERM drains, a dead supervisor ends its worker, a crash is a release.

use std::time::Duration;

use rustix::process::Signal;

use crate::fleet::{Fleet, alive, quick, until};

/// SIGTERM publishes everything that was read, releases, and exits 0.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_and_releases() {
    let fleet = Fleet::new(quick(3, 500.0), "15s").await;
    let mut instance = fleet.instance("a");
    instance.ready().await;
    until("some chat", async || fleet.bodies().len() > 200).await;
    let worker = instance.worker().await;
    fleet.sim.stop_chat().await;
    fleet.sim.drained(Duration::from_secs(10)).await;
    instance.signal(Signal::TERM);
    let status = instance.end().await;
    assert!(status.success(), "{status}\n{}", instance.log());
    assert!(!alive(worker));
    assert!(fleet.lease().await.is_none(), "the lease was not released");
    let log = instance.log();
    for line in [
        "LeaderElection: Starting leader election loop",
        "LeaderElection: Acquired leadership",
        "LeaderElection: Lost leadership",
        "Starting IRC subsystem (leader acquired)",
        "Stopping IRC subsystem",
    ] {
        assert!(log.contains(line), "no {line:?} in\n{log}");
    }
    let verdict = fleet.verdict();
    assert!(verdict.doubled.count == 0 && verdict.altered.count == 0, "{verdict:?}");
    assert_eq!(verdict.lost.count, 0, "{verdict:?}");
}

/// A worker whose supervisor is killed stops, releases and exits; another instance follows long before the ttl.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_supervisor_releases_and_exits() {
    let fleet = Fleet::new(quick(2, 100.0), "60s").await;
    let a = fleet.instance("a");
    a.ready().await;
    let leader = fleet.leader().await;
    let b = fleet.instance("b");
    b.ready().await;
    let worker = a.worker().await;
    a.signal(Signal::KILL);
    until("the worker's end", async || !alive(worker)).await;
    until("the other leads", async || fleet.lease().await.is_some_and(|record| record.term > leader.term)).await;
    fleet.sim.stop_chat().await;
    let verdict = fleet.settled().await;
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// A worker that is killed is replaced under the same supervisor and name.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_is_replaced() {
    let fleet = Fleet::new(quick(1, 50.0), "15s").await;
    let instance = fleet.instance("a");
    instance.ready().await;
    let first = instance.worker().await;
    crate::fleet::send(first, Signal::KILL);
    until("another worker", async || instance.get("/debug/vars").await.is_some_and(|(_, vars)| vars["pid"] != first)).await;
    instance.ready().await;
    let leader = fleet.leader().await;
    assert_eq!(leader.holder.as_str(), "a");
}
