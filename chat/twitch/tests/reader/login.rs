//! Refused logins.

use std::time::Duration;

use tenure_twitch::{Credentials, LoginFailure, LostReason, ReaderEvent, Secret};
use tokio::time::Instant;

use crate::server::{Client, Server};

/// A refused login is said to be one, is not tried again at once, and shows the token nowhere; a later one succeeds.
#[tokio::test]
async fn a_refused_login_is_said_and_retried_slowly() {
    let server = Server::new(None).await;
    let mut config = server.config(&["room"]);
    config.credentials = Credentials::Account { login: "reader".into(), token: Secret::new("hush") };
    config.backoff_max = Duration::from_millis(1_000);
    let mut client = Client::start(config);
    let mut peer = server.accept().await;
    for line in ["CAP REQ :twitch.tv/tags twitch.tv/commands", "PASS oauth:hush", "NICK reader"] {
        assert_eq!(peer.line().await, line);
    }
    let refused = Instant::now();
    peer.send(":tmi.twitch.tv NOTICE * :Login authentication failed").await;
    let refusal = ReaderEvent::Protocol { connection: 1, lines: 1 };
    assert_eq!(client.event().await, refusal);
    let event = client.event().await;
    let reason = LostReason::LoginFailed(LoginFailure::Rejected);
    assert_eq!(event, ReaderEvent::Disconnected { connection: 1, reason, last_alive_unix_ms: None });
    let status = client.reader.status();
    assert_eq!(status.last_error.as_ref().unwrap().code, "login_failed");
    assert!(!format!("{event:?} {status:?} {:?}", client.reader).contains("hush"));

    let mut peer = server.accept().await;
    assert!(refused.elapsed() >= Duration::from_millis(500), "retried after {:?}", refused.elapsed());
    peer.log_in().await;
    assert!(matches!(client.event().await, ReaderEvent::Connected { connection: 2, .. }));
    assert_eq!(client.reader.status().reconnects, 1);
}

/// A server that closes during the login is a network failure, and retried as one.
#[tokio::test]
async fn a_closed_login_is_a_network_failure() {
    let server = Server::new(None).await;
    let mut client = Client::start(server.config(&["room"]));
    drop(server.accept().await);
    let reason = client.until(|event| match event {
        ReaderEvent::Disconnected { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    let reason = reason.await;
    assert!(matches!(reason, LostReason::ServerClosed | LostReason::Network(_)), "{reason:?}");
    server.welcome(&["room"]).await;
}
