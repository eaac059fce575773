//! The reader's budgets against those of the simulated Twitch, which closes a connection that overruns them.

use std::time::Duration;

use tenure_twitch::{Reader, ReaderConfig, ReaderEvent};
use tenure_twitch_sim::{Budget, Sim, SimConfig};
use tokio::task::JoinSet;

use crate::fleet::{Fleet, quick, until};

/// 60 rooms on three connections, at Twitch's own 20 JOINs in 10 s over all of them, twenty times at once so that none of
/// them has the machine for itself: not one connection is closed, and every room is joined in little more time than the
/// budget asks for.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_rooms_are_joined_within_the_budget() {
    let mut runs = JoinSet::new();
    for seed in 0..20 {
        runs.spawn(async move {
            let channels = SimConfig::numbered_channels(60);
            // The simulator counts by connection where nobody has an account: all three log in under one.
            let auth_budget = Some(Budget { attempts: 20, period_ms: 10_000 });
            let sim = SimConfig { channels: channels.clone(), auth_budget, ..SimConfig::default() };
            let sim = Sim::start(sim).await.unwrap();
            let config = ReaderConfig {
                url: format!("irc://{}", sim.addresses().irc).parse().unwrap(),
                channels,
                credentials: tenure_twitch::Credentials::Account {
                    login: "reader".to_owned(),
                    token: tenure_twitch::Secret::new("token"),
                },
                channels_per_connection: 20,
                seed,
                ..ReaderConfig::default()
            };
            let (reader, mut events) = Reader::start(config).unwrap();
            let mut joined = 0;
            while joined < 60 {
                match events.recv().await.unwrap() {
                    ReaderEvent::Joined { .. } => joined += 1,
                    ReaderEvent::Disconnected { reason, .. } => panic!("a connection was lost: {reason}"),
                    ReaderEvent::JoinFailed { channel, failure, .. } => panic!("{channel}: {failure}"),
                    _ => {}
                }
            }
            assert_eq!(reader.status().overruns, 0);
            let closed: Vec<_> = sim.stats().connections.iter().filter_map(|c| c.close_reason.clone()).collect();
            assert_eq!(closed, [""; 0]);
        });
    }
    tokio::time::timeout(Duration::from_secs(120), runs.join_all()).await.unwrap();
}

/// A channel that waits for the budget of JOINs is told of with that reason, and the one that was asked for is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_waits_for_the_budget_is_told_of() {
    let mut fleet = Fleet::new(quick(2, 100.0), "2s").await;
    fleet.join_budget = "1/60s";
    let a = fleet.instance("a");
    until("one channel that waits", async || {
        let Some((503, ready)) = a.get("/readyz").await else { return false };
        // Before anything is started there are none.
        let channels = ready["channels"].as_array().cloned().unwrap_or_default();
        matches!(&channels[..], [channel] if channel["reason"] == "join_budget")
    })
    .await;
}
