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
    until("another worker", async || instance.get("/debug/vars").await.is_some_and(|(_, vars)| vars["pid"] != first))
        .await;
    instance.ready().await;
    let leader = fleet.leader().await;
    assert_eq!(leader.holder.as_str(), "a");
}

/// A worker that crashes is followed by the next leader long before the ttl.
#[tokio::test(flavor = "multi_thread")]
async fn a_crashing_worker_is_a_release() {
    let fleet = Fleet::new(quick(2, 200.0), "60s").await;
    let instances = ["a", "b"].map(|name| fleet.instance(name));
    // Not SIGSEGV: Rust's own handler lets the first one that comes from outside pass.
    for crash in [Signal::ABORT, Signal::ILL] {
        for instance in &instances {
            instance.ready().await;
        }
        let leader = fleet.leader().await;
        let worker = instances[usize::from(leader.holder.as_str() == "b")].worker().await;
        crate::fleet::send(worker, crash);
        until("another leader", async || fleet.lease().await.is_some_and(|record| record.term > leader.term)).await;
    }
    fleet.sim.stop_chat().await;
    let verdict = fleet.settled().await;
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// So is one that runs out of memory: here because the bus is locked, its ring grows, and its limit is low.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_out_of_memory_is_a_release() {
    let fleet = Fleet::new(quick(4, 3_000.0), "60s").await;
    let instances = ["a", "b"].map(|name| fleet.instance(name));
    for instance in &instances {
        instance.ready().await;
    }
    let leader = fleet.leader().await;
    let worker = instances[usize::from(leader.holder.as_str() == "b")].worker().await;
    let statm = std::fs::read_to_string(format!("/proc/{worker}/statm")).unwrap();
    // What it writes to, not what it has reserved: an allocator reserves far more than it uses.
    let pages: u64 = statm.split_whitespace().nth(5).unwrap().parse().unwrap();
    let limit = Some(pages * 4096 + (4 << 20));
    let limit = rustix::process::Rlimit { current: limit, maximum: limit };
    let pid = rustix::process::Pid::from_raw(worker);
    let file = fleet.bus_file();
    let (unlock, locked) = std::sync::mpsc::channel::<()>();
    let lock = tokio::task::spawn_blocking(move || {
        let connection = rusqlite::Connection::open(file).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let _ = locked.recv_timeout(crate::fleet::DEADLINE);
        connection.execute_batch("ROLLBACK").unwrap();
    });
    rustix::process::prlimit(pid, rustix::process::Resource::Data, limit).unwrap();
    until("another leader", async || fleet.lease().await.is_some_and(|record| record.term > leader.term)).await;
    fleet.sim.stop_chat().await;
    unlock.send(()).unwrap();
    lock.await.unwrap();
    let verdict = fleet.settled().await;
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// A lock on the bus of a fleet, held until it is dropped.
struct Lock {
    connection: rusqlite::Connection,
}

impl Lock {
    fn take(fleet: &Fleet) -> Lock {
        let connection = rusqlite::Connection::open(fleet.bus_file()).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Lock { connection }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.connection.execute_batch("ROLLBACK");
    }
}

/// A second signal ends an instance that cannot drain, at once, and its lease is released all the same. Two in quick
/// succession are one: a terminal and `timeout` signal a process twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_without_draining() {
    let mut fleet = Fleet::new(quick(1, 200.0), "60s").await;
    fleet.extra = ["--drain-timeout", "10m"].map(str::to_owned).to_vec();
    let mut instance = fleet.instance("a");
    instance.ready().await;
    until("some chat", async || fleet.bodies().len() > 20).await;
    let worker = instance.worker().await;
    let lock = Lock::take(&fleet);
    until("something to drain", async || {
        instance.get("/debug/vars").await.is_some_and(|(_, vars)| vars["ingest"]["ringEntries"].as_u64() > Some(20))
    })
    .await;
    instance.signal(Signal::INT);
    instance.signal(Signal::TERM);
    until("draining", async || instance.log().contains("draining")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(alive(instance.pid()) && alive(worker), "one signal ended it without draining\n{}", instance.log());
    instance.signal(Signal::TERM);
    let status = instance.end().await;
    assert_eq!(status.code(), Some(137), "{}", instance.log());
    assert!(!alive(worker));
    drop(lock);
    assert!(fleet.lease().await.is_none(), "the lease was not released");
}

/// The end of the terminal drains as SIGTERM does, also where it reaches the worker first.
#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_drains_too() {
    let fleet = Fleet::new(quick(1, 100.0), "60s").await;
    let mut instance = fleet.instance("a");
    instance.ready().await;
    fleet.leader().await;
    let worker = instance.worker().await;
    crate::fleet::send(worker, Signal::HUP);
    instance.signal(Signal::HUP);
    let status = instance.end().await;
    assert!(status.success(), "{status}\n{}", instance.log());
    assert!(fleet.lease().await.is_none(), "the lease was not released");
}

/// A worker that ends well without being asked through its supervisor is replaced: a standby stays up.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ends_unasked_is_replaced() {
    let fleet = Fleet::new(quick(1, 50.0), "15s").await;
    let instance = fleet.instance("a");
    instance.ready().await;
    let first = instance.worker().await;
    crate::fleet::send(first, Signal::TERM);
    until("another worker", async || instance.get("/debug/vars").await.is_some_and(|(_, vars)| vars["pid"] != first))
        .await;
    instance.ready().await;
}

/// SIGTERM at any moment of the start ends it well.
#[tokio::test(flavor = "multi_thread")]
async fn sigterm_during_the_start_is_a_success() {
    let fleet = Fleet::new(quick(1, 50.0), "15s").await;
    for ms in [0, 1, 2, 4, 8, 16, 32] {
        let mut instance = fleet.instance(&format!("a{ms}"));
        until("the worker's start", async || instance.log().contains("worker started")).await;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        instance.signal(Signal::TERM);
        let status = instance.end().await;
        assert!(status.success(), "{ms} ms: {status}\n{}", instance.log());
    }
}
