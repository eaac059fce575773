//! Takeovers: a killed worker costs milliseconds, whatever the ttl.

use std::time::Duration;

use futures_util::StreamExt;
use rustix::process::Signal;
use tenure_core::{KeyPrefix, LeaseRecord, Time};
use tenure_ingest::{CoverageNote, NOT_COVERED};

use crate::fleet::{Fleet, quick, record, send, until};

/// With a ttl of 15 s, kill -9 of the leader's worker is followed by the next leader long before the ttl: its
/// supervisor reaps it and releases. Prints the median and the worst of the rounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_costs_milliseconds() {
    let rounds: usize = std::env::var("TENURE_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let fleet = Fleet::new(quick(2, 50.0), "15s").await;
    let instances = ["a", "b"].map(|name| fleet.instance(name));
    let store = tenure_open::open(&fleet.store_url()).await.unwrap();
    let mut wakes = store.watch(&KeyPrefix::new("system/ircLeader").unwrap()).await.unwrap();
    let mut took: Vec<Duration> = Vec::new();
    let mut last_term = None;
    for round in 0..rounds {
        for instance in &instances {
            instance.ready().await;
        }
        // A successor can only vouch for what its own reading and the leader's last note cover together.
        let both_read = unix_ms();
        let noted = async || fleet.lease().await.is_some_and(|record| covered_until(&record) > both_read);
        until("a note that is newer than both readers", noted).await;
        let leader = fleet.leader().await;
        assert!(leader.term > last_term, "terms must grow");
        last_term = leader.term;
        let index = usize::from(leader.holder.as_str() == "b");
        let worker = instances[index].worker().await;
        let at: Time = tenure::now();
        send(worker, Signal::KILL);
        // The store's own hints tell when the record changed; the record tells whose it is.
        let next = async {
            loop {
                if record(&*store).await.is_some_and(|record| record.term > leader.term) {
                    return tenure::now();
                }
                let _ = tokio::time::timeout(Duration::from_millis(5), wakes.next()).await;
            }
        };
        let led = tokio::time::timeout(Duration::from_secs(10), next).await;
        let led = led.unwrap_or_else(|_| panic!("round {round}: no takeover within 10 s at a ttl of 15 s"));
        took.push(led.since(at));
    }
    took.sort();
    println!(
        "takeover after kill -9 of the worker, ttl 15 s, {rounds} rounds: median {:?}, worst {:?}",
        took[rounds / 2],
        took[rounds - 1]
    );
    fleet.sim.stop_chat().await;
    let verdict = fleet.settled().await;
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(verdict.gaps, 0, "a warm standby leaves no {NOT_COVERED} gap");
}

/// A leader that is stopped past its lease loses it, and what it does when continued harms nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_stopped_past_its_lease_harms_nothing() {
    let fleet = Fleet::new(quick(3, 300.0), "2s").await;
    let instances = ["a", "b"].map(|name| fleet.instance(name));
    for instance in &instances {
        instance.ready().await;
    }
    let leader = fleet.leader().await;
    let paused = &instances[usize::from(leader.holder.as_str() == "b")];
    let worker = paused.worker().await;
    paused.signal(Signal::STOP);
    send(worker, Signal::STOP);
    until("the other leads", async || fleet.lease().await.is_some_and(|record| record.term > leader.term)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    paused.signal(Signal::CONT);
    send(worker, Signal::CONT);
    paused.ready().await;
    fleet.sim.stop_chat().await;
    let verdict = fleet.settled().await;
    assert!(verdict.is_clean(), "{verdict:?}");
}

fn unix_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap()
}

fn covered_until(record: &LeaseRecord) -> u64 {
    CoverageNote::parse(record.note.as_str()).and_then(|note| note.all.until).unwrap_or(0)
}
