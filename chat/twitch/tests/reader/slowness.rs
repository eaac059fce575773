//! A receiver that does not take its events.

use std::time::Duration;

use tenure_twitch::ReaderEvent;
use tokio::time::timeout;

use crate::server::{Client, Server, say};

/// While nobody takes events the socket is not read, so the server's writes stall; when they are taken again every line
/// is there, in order, on the same connection, however long that was.
#[tokio::test]
async fn a_full_channel_stalls_the_server_and_loses_nothing() {
    let server = Server::new(None).await;
    let mut config = server.config(&["room"]);
    config.queue = 4;
    config.timing.ping_after = Duration::from_millis(300);
    config.timing.pong_within = Duration::from_millis(300);
    let mut client = Client::start(config);
    let mut peer = server.welcome(&["room"]).await;
    let text = "x".repeat(4_000);
    let mut sent = 0;
    // No system buffers this much for a socket that is not read.
    while sent < 100_000 {
        let line = say("room", &format!("{sent}-{text}"));
        let written = timeout(Duration::from_millis(1_000), peer.send(&line)).await;
        if written.is_err() {
            break;
        }
        sent += 1;
    }
    assert!(sent > 4 && sent < 100_000, "the server wrote {sent} lines without a stall");
    assert!(client.reader.status().stalls > 0);
    assert_eq!(client.reader.status().connections.len(), 1);

    let mut next = 0;
    while next < sent {
        match client.event().await {
            ReaderEvent::Line { connection: 1, line, .. } if line.starts_with(b"@id") => {
                assert_eq!(line, say("room", &format!("{next}-{text}")));
                next += 1;
            }
            ReaderEvent::ChannelLost { .. } | ReaderEvent::Disconnected { .. } => panic!("lost after {next} lines"),
            _ => {}
        }
    }
}

/// A process that was stopped past every timer reads what has come before it judges the silence: the connection lives.
#[tokio::test]
async fn a_stopped_process_finds_the_answers_first() {
    let server = Server::new(None).await;
    let mut config = server.config(&["room"]);
    config.timing.ping_after = Duration::from_millis(200);
    config.timing.pong_within = Duration::from_millis(200);
    let mut client = Client::start(config);
    let mut peer = server.welcome(&["room"]).await;
    for turn in 0..3 {
        assert_eq!(peer.line().await, "PING tenure");
        peer.send(":tmi.twitch.tv PONG tmi.twitch.tv :tenure").await;
        // The test's runtime has this one thread: nothing of the reader runs while it sleeps.
        std::thread::sleep(Duration::from_millis(600));
        peer.send(&say("room", &turn.to_string())).await;
        assert_eq!(client.chat().await, (1, say("room", &turn.to_string()).into_bytes()));
    }
    assert_eq!(client.reader.status().reconnects, 0);
}
