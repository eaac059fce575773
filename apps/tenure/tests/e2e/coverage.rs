//! Coverage, sentence by sentence, with real processes: what any instance read is on the bus once, the rest is a gap.

use std::time::Duration;

use tenure_twitch_sim::{Fault, Select};

use crate::fleet::{Fleet, quick, until};

const GAP: &str = "external.chat.gap.v1";

/// Two readers that each miss different lines give their union on the bus.
#[tokio::test(flavor = "multi_thread")]
async fn two_readers_give_their_union() {
    let mut fleet = Fleet::new(quick(2, 300.0), "5s").await;
    fleet.extra = ["--repair-after", "1s"].map(str::to_owned).to_vec();
    let instances = ["a", "b"].map(|name| fleet.instance(name));
    for instance in &instances {
        instance.ready().await;
    }
    fleet.sim.fault(Fault::Drop { select: Select::All, every: 7, offset: None, for_ms: None }).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    fleet.sim.stop_chat().await;
    let verdict = fleet.settled().await;
    let ledger = fleet.sim.ledger();
    let lines = 0..u32::try_from(ledger.lines().len()).unwrap();
    let by_one = lines.filter(|line| ledger.delivered_to(*line).len() == 1).count();
    assert!(by_one > 50, "only {by_one} lines were read by one reader alone");
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(verdict.gaps, 0);
}

/// A leader whose socket is half-open costs `repair_after`, not messages: the standby publishes what it alone reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_leader_costs_time_not_messages() {
    let mut fleet = Fleet::new(quick(2, 200.0), "5s").await;
    fleet.extra = ["--repair-after", "1s"].map(str::to_owned).to_vec();
    let a = fleet.instance("a");
    a.ready().await;
    fleet.leader().await;
    let b = fleet.instance("b");
    b.ready().await;
    let (_, twitch) = a.get("/_debug/twitch").await.unwrap();
    let peer = twitch["connections"][0]["localAddress"].as_str().unwrap().parse().unwrap();
    fleet.sim.fault(Fault::HalfOpen { select: Select::Peer(peer), for_ms: None }).unwrap();
    until("repairs by the standby", async || {
        b.get("/debug/vars").await.is_some_and(|(_, vars)| vars["ingest"]["repaired"].as_u64() > Some(100))
    })
    .await;
    fleet.sim.stop_chat().await;
    let verdict = fleet.settled().await;
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// What nobody read becomes one gap per channel by the next leader, from what the last one had covered.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_read_is_a_gap_per_channel() {
    let mut fleet = Fleet::new(quick(2, 100.0), "2s").await;
    fleet.extra = ["--repair-after", "1s"].map(str::to_owned).to_vec();
    let mut first = fleet.instance("a");
    first.ready().await;
    until("some chat", async || fleet.bodies().len() > 100).await;
    first.lose_host().await;
    let away_from = unix_ms();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let away_until = unix_ms();
    let second = fleet.instance("b");
    second.ready().await;
    until("both gaps", async || fleet.envelopes(GAP).len() == 2).await;
    for gap in fleet.envelopes(GAP) {
        let at =
            |name: &str| gap["payload"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
        assert!(at("from") <= away_from && at("until") >= away_until, "{gap}");
        assert!(away_from - at("from") < 5_000, "the gap begins long before the loss: {gap}");
        assert_eq!(gap["payload"]["reason"], "not_covered");
    }
    let channels: Vec<_> = fleet.envelopes(GAP).iter().map(|gap| gap["source"]["channel"].clone()).collect();
    assert!(channels.contains(&"sim_channel_001".into()) && channels.contains(&"sim_channel_002".into()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(fleet.envelopes(GAP).len(), 2, "a gap was reported twice");
}

/// A lone leader that loses its connection for a moment reports what it did not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_readers_interruption_is_a_gap() {
    let mut fleet = Fleet::new(quick(1, 100.0), "2s").await;
    fleet.extra = ["--repair-after", "2s"].map(str::to_owned).to_vec();
    let a = fleet.instance("a");
    a.ready().await;
    fleet.leader().await;
    fleet.sim.fault(Fault::Refuse { for_ms: 500 }).unwrap();
    fleet.sim.fault(Fault::Cut { select: Select::All, how: Default::default() }).unwrap();
    until("the gap", async || fleet.envelopes(GAP).len() == 1).await;
}

/// With a cold standby only the leader is connected; after its loss the other connects, and reports the gap.
#[tokio::test(flavor = "multi_thread")]
async fn a_cold_standby_connects_only_when_it_leads() {
    let mut fleet = Fleet::new(quick(1, 100.0), "2s").await;
    fleet.extra = ["--standby", "cold", "--repair-after", "1s"].map(str::to_owned).to_vec();
    let mut a = fleet.instance("a");
    a.ready().await;
    fleet.leader().await;
    let noted = async || fleet.lease().await.is_some_and(|record| record.note.as_str().contains("covered_until"));
    until("the leader's note", noted).await;
    let b = fleet.instance("b");
    b.ready().await;
    assert_eq!(fleet.sim.stats().connections.len(), 1, "a cold standby has connected");
    let (_, twitch) = b.get("/_debug/twitch").await.unwrap();
    assert_eq!(twitch["state"], "DISCONNECTED");
    a.lose_host().await;
    until("the other's connection", async || b.get("/leader").await.is_some_and(|(code, _)| code == 200)).await;
    until("the gap", async || fleet.envelopes(GAP).len() == 1).await;
    let before = fleet.bodies().len();
    until("chat again", async || fleet.bodies().len() > before + 50).await;
}

/// While the bus cannot be reached, nothing counts as failed: the ring holds, the bound makes gaps, and all the rest
/// arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_ring_that_overflows_reports_a_gap() {
    let mut fleet = Fleet::new(quick(1, 400.0), "5s").await;
    fleet.extra = ["--ring-bytes", "300000"].map(str::to_owned).to_vec();
    let a = fleet.instance("a");
    a.ready().await;
    until("some chat", async || fleet.bodies().len() > 20).await;
    let file = fleet.bus_file();
    let lock = tokio::task::spawn_blocking(move || {
        let connection = rusqlite::Connection::open(file).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        std::thread::sleep(Duration::from_secs(4));
        connection.execute_batch("ROLLBACK").unwrap();
    });
    lock.await.unwrap();
    until("the gap", async || fleet.envelopes(GAP).iter().any(|gap| gap["payload"]["reason"] == "ring_overflow")).await;
    let (_, vars) = a.get("/debug/vars").await.unwrap();
    assert_eq!(vars["ingest"]["failed"], 0);
    assert!(vars["ingest"]["forcedOut"].as_u64() > Some(0));
    let verdict = fleet.verdict();
    assert_eq!((verdict.doubled.count, verdict.altered.count), (0, 0));
}

fn unix_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
