//! Budgets over several connections.

use std::time::Duration;

use tokio::time::Instant;

use crate::server::{Client, Server};

/// Three connections share one budget of JOINs: nine channels at three per 600 ms take two windows.
#[tokio::test]
async fn joins_of_all_connections_keep_to_one_budget() {
    let server = Server::new(None).await;
    let channels: Vec<String> = (0..9).map(|number| format!("c{number}")).collect();
    let mut config = server.config(&channels.iter().map(String::as_str).collect::<Vec<_>>());
    config.channels_per_connection = 3;
    config.join_budget = (3, Duration::from_millis(600));
    let start = Instant::now();
    let client = Client::start(config);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut peer = server.accept().await;
        tasks.spawn(async move {
            peer.log_in().await;
            let mut joins = Vec::new();
            for _ in 0..3 {
                let channel = peer.confirm_join().await;
                joins.push((start.elapsed(), channel));
            }
            (joins, peer)
        });
    }
    let peers = tasks.join_all().await;
    let mut joins: Vec<_> = peers.iter().flat_map(|(joins, _)| joins.clone()).collect();
    joins.sort();
    let mut names: Vec<_> = joins.iter().map(|(_, channel)| channel.trim_start_matches('#').to_owned()).collect();
    names.sort();
    assert_eq!(names, channels);
    // What was sent within a window can arrive later, never sooner, so the n-th JOIN is here not before its window.
    for (at, (arrived, channel)) in joins.iter().enumerate() {
        let window = Duration::from_millis(600) * u32::try_from(at / 3).unwrap();
        assert!(*arrived >= window, "JOIN number {at} ({channel}) came after {arrived:?}");
    }
    assert_eq!(client.reader.status().connections.len(), 3);
}

/// Logins keep to their budget too, however fast the server drops them.
#[tokio::test]
async fn logins_keep_to_their_budget() {
    let server = Server::new(None).await;
    let mut config = server.config(&["room"]);
    config.backoff_initial = Duration::from_millis(1);
    config.backoff_max = Duration::from_millis(2);
    config.auth_budget = (3, Duration::from_millis(600));
    let start = Instant::now();
    let _client = Client::start(config);
    for login in 0..7 {
        drop(server.accept().await);
        let window = Duration::from_millis(600) * (login / 3);
        assert!(start.elapsed() >= window, "login number {login} came after {:?}", start.elapsed());
    }
}
