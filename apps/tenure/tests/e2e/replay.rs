//! Captured and made-up chat through three instances, with the host of the leader lost in the middle.

use std::path::PathBuf;
use std::time::Duration;

use tenure_twitch_sim::{SimConfig, StartRule};

use crate::fleet::{Fleet, quick, until};

/// Loses the leader's host in the middle; everything sent is on the bus once, unaltered, and valid by the schema.
async fn survives_the_loss_of_the_leaders_host(sim: SimConfig) {
    let fleet = Fleet::new(SimConfig { start: StartRule::WhenClients(3), ..sim }, "2s").await;
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
    survives_the_loss_of_the_leaders_host(sim).await;
}

/// The captured lines of a busy channel, byte for byte.
#[tokio::test(flavor = "multi_thread")]
async fn captured_chat_survives_the_loss_of_the_leaders_host() {
    let corpora = std::env::var_os("TENURE_CORPORA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"), PathBuf::from);
    let file = corpora.join("chatterino2/recentmessages-nymn.lines.txt");
    if !file.exists() {
        println!("SKIPPED: e2e captured chat: {} is absent; name its folder in TENURE_CORPORA", file.display());
        return;
    }
    let sim = SimConfig { replay: Some(file), channels: vec!["nymn".into()], ..quick(0, 200.0) };
    tokio::time::timeout(Duration::from_secs(120), survives_the_loss_of_the_leaders_host(sim)).await.unwrap();
}
