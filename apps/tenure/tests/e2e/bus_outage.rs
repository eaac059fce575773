//! A bus that is away is told once, however often it is tried, and told when it is back.

use std::time::Duration;

use serde_json::Value;

use crate::fleet::{Fleet, Instance, quick, until};

/// The log lines that tell of the bus.
fn told(instance: &Instance) -> Vec<Value> {
    let log = instance.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("the bus "))).collect()
}

/// Dozens of tries fail while the bus is locked: one line says so, one says when it is back and after how long, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_bus_is_told_once() {
    let mut fleet = Fleet::new(quick(1, 200.0), "10s").await;
    let file = fleet.bus_file();
    fleet.bus_options = "?busy_timeout=20ms";
    let instance = fleet.instance("a");
    instance.ready().await;
    until("chat", async || fleet.bodies().len() > 20).await;
    assert!(told(&instance).is_empty(), "{:?}", told(&instance));

    let lock = rusqlite::Connection::open(&file).unwrap();
    lock.busy_timeout(Duration::from_secs(30)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    until("many tries", async || {
        let Some((_, twitch)) = instance.get("/_debug/twitch").await else { return false };
        twitch["pipeline"]["busFailures"].as_u64() >= Some(10)
    })
    .await;
    let away = told(&instance);
    assert_eq!(away.len(), 1, "{away:?}");
    assert_eq!((&away[0]["errorCode"], &away[0]["severity"]), (&"bus_unavailable".into(), &"WARNING".into()));
    assert!(away[0]["error"].as_str().is_some_and(|error| !error.is_empty()), "{away:?}");

    lock.execute_batch("COMMIT").unwrap();
    until("the bus's return", async || told(&instance).len() > 1).await;
    let all = told(&instance);
    let back = all[1]["message"].as_str().unwrap();
    assert!(all.len() == 2 && back.starts_with("the bus is back, after ") && back.ends_with('s'), "{all:?}");
    fleet.sim.stop_chat().await;
    let verdict = fleet.settled().await;
    assert_eq!((verdict.lost.count, verdict.doubled.count), (0, 0));
}
