//! Captured and made-up chat through three instances, with the host of the leader lost in the middle.

use std::path::PathBuf;
use std::time::Duration;

use tenure_twitch_sim::{Fault, OddLine, Select, SimConfig, Split, StartRule, TimedFault};

use crate::fleet::{Fleet, quick, until};
use crate::servers::Servers;

/// Loses the leader's host in the middle; everything sent is on the bus once, unaltered, and valid by the schema.
async fn survives_the_loss_of_the_leaders_host(sim: SimConfig, websocket: bool, servers: Option<&Servers>) {
    let mut fleet = Fleet::new(SimConfig { start: StartRule::WhenClients(3), ..sim }, "2s").await;
    if let Some(servers) = servers {
        fleet.store = Some(servers.redis.url());
        fleet.nats = Some(servers.nats.url());
    }
    if websocket {
        fleet.irc = fleet.sim.addresses().ws.map(|address| format!("ws://{address}"));
    }
    let transport = if websocket { "ws" } else { "irc" };
    let mut instances = ["a", "b", "c"].map(|name| fleet.instance(name));
    for instance in &instances {
        instance.ready().await;
    }
    until("a third of the chat", async || fleet.bodies().len() > 250).await;
    let leader = fleet.leader().await;
    let index = ["a", "b", "c"].iter().position(|name| *name == leader.holder.as_str()).unwrap();
    instances[index].lose_host().await;
    fleet.sim.chat_over().await;
    until("another leader", async || fleet.lease().await.is_some_and(|record| record.term > leader.term)).await;
    let verdict = fleet.settled().await;
    println!("sent {} published {} gaps {}", verdict.sent, verdict.published, verdict.gaps);
    assert!(verdict.is_clean() && verdict.sent > 0, "{verdict:?}");
    assert!(fleet.sim.stats().connections.iter().all(|connection| connection.transport == transport));
    let schema =
        std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../chat/envelope/schema/envelope.v1.json"));
    let schema = serde_json::from_slice(&schema.unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for body in fleet.bodies() {
        let envelope = serde_json::from_slice(&body).unwrap();
        if let Err(error) = validator.validate(&envelope) {
            panic!("not valid: {error}\n{envelope}");
        }
    }
}

/// Made-up chat on several channels.
#[tokio::test(flavor = "multi_thread")]
async fn made_up_chat_survives_the_loss_of_the_leaders_host() {
    let sim = SimConfig { limit: Some(2_000), ..quick(5, 400.0) };
    survives_the_loss_of_the_leaders_host(sim, false, None).await;
}

/// The same over WebSocket, with every line in fragments, odd lines among them, and all asked to reconnect.
#[tokio::test(flavor = "multi_thread")]
async fn chat_over_websocket_survives_the_loss_of_the_leaders_host() {
    let now = |fault| TimedFault { after: None, fault };
    let at = |ms, fault| TimedFault { after: Some(Duration::from_millis(ms)), fault };
    let odd = |line| Fault::Odd { channel: "sim_channel_001".into(), line };
    let faults = vec![
        now(Fault::Split { select: Select::All, how: Split::Walking, pause_ms: 0, for_ms: None }),
        at(500, odd(OddLine::InvalidUtf8)),
        at(800, odd(OddLine::Nul)),
        at(2_500, Fault::Reconnect { select: Select::All, grace_ms: 3_000 }),
    ];
    let sim = SimConfig { limit: Some(2_000), faults, ..quick(5, 400.0) };
    survives_the_loss_of_the_leaders_host(sim, true, None).await;
}

/// The captured lines of a busy channel, byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn captured_chat_survives_the_loss_of_the_leaders_host() {
    captured_chat(false, None).await;
}

/// The same over WebSocket.
#[tokio::test(flavor = "multi_thread")]
async fn captured_chat_over_websocket_survives_the_loss_of_the_leaders_host() {
    captured_chat(true, None).await;
}

/// The same over Redis and the NATS server of Debian.
#[tokio::test(flavor = "multi_thread")]
async fn captured_chat_over_redis_and_nats_2_9_survives_the_loss_of_the_leaders_host() {
    let Some(servers) = Servers::start("e2e captured chat, NATS 2.9", "2.9", true) else { return };
    captured_chat(false, Some(&servers)).await;
}

/// The same over Redis and a newer NATS server.
#[tokio::test(flavor = "multi_thread")]
async fn captured_chat_over_redis_and_nats_2_15_survives_the_loss_of_the_leaders_host() {
    let Some(servers) = Servers::start("e2e captured chat, NATS 2.15", "2.15", false) else { return };
    captured_chat(false, Some(&servers)).await;
}

async fn captured_chat(websocket: bool, servers: Option<&Servers>) {
    let corpora = std::env::var_os("TENURE_CORPORA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"), PathBuf::from);
    let file = corpora.join("chatterino2/recentmessages-nymn.lines.txt");
    if !file.exists() {
        println!("SKIPPED: e2e captured chat: {} is absent; name its folder in TENURE_CORPORA", file.display());
        return;
    }
    let sim = SimConfig { replay: Some(file), channels: vec!["nymn".into()], ..quick(0, 200.0) };
    tokio::time::timeout(Duration::from_secs(120), survives_the_loss_of_the_leaders_host(sim, websocket, servers))
        .await
        .unwrap();
}
