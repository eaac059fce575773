//! Silence, loss, replacement.

use std::time::Duration;

use tenure_twitch::{LostReason, ReaderEvent};
use tokio::net::TcpListener;

use crate::server::{Client, Server, say};

/// Silence, PING, and silence again is death: the channels are lost as of the last sign of life, and a new connection
/// joins them.
#[tokio::test]
async fn a_half_open_socket_is_found_and_replaced() {
    let server = Server::new(None).await;
    let mut config = server.config(&["ann", "bob"]);
    config.timing.ping_after = Duration::from_millis(200);
    config.timing.pong_within = Duration::from_millis(300);
    let mut client = Client::start(config);
    let mut peer = server.welcome(&["ann", "bob"]).await;
    peer.send(&say("ann", "last")).await;
    let last = client
        .until(|event| match event {
            ReaderEvent::Line { line, received_at_unix_ms, .. } if line.ends_with(b"last") => {
                Some(*received_at_unix_ms)
            }
            _ => None,
        })
        .await;
    assert_eq!(peer.line().await, "PING tenure");

    let mut lost = Vec::new();
    loop {
        match client.event().await {
            ReaderEvent::ChannelLost { connection: 1, channel, since_unix_ms, reason } => {
                assert_eq!((since_unix_ms, reason), (last, LostReason::Unresponsive));
                lost.push(channel);
            }
            ReaderEvent::Disconnected { connection: 1, reason, last_alive_unix_ms } => {
                assert_eq!((reason, last_alive_unix_ms), (LostReason::Unresponsive, Some(last)));
                break;
            }
            ReaderEvent::Alive { .. } | ReaderEvent::Protocol { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(lost, ["ann", "bob"]);
    assert_eq!(peer.try_line().await, None);

    let mut peer = server.welcome(&["ann", "bob"]).await;
    peer.send(&say("ann", "again")).await;
    assert_eq!(client.chat().await, (2, say("ann", "again").into_bytes()));
    let status = client.reader.status();
    assert_eq!((status.reconnects, status.last_error.unwrap().code), (1, "unresponsive"));
}

/// What a server has begun and not ended when its connection ends is no line: it may be half of one. It is not given up,
/// and the connection counts as alive only until the last whole line before it, so that a gap names it.
#[tokio::test]
async fn a_line_that_the_end_cuts_is_lost_with_its_connection() {
    let server = Server::new(None).await;
    let mut client = Client::start(server.config(&["ann"]));
    let mut peer = server.welcome(&["ann"]).await;
    peer.send(&say("ann", "whole")).await;
    let at = client
        .until(|event| match event {
            ReaderEvent::Line { line, received_at_unix_ms, .. } if line.ends_with(b"whole") => {
                Some(*received_at_unix_ms)
            }
            _ => None,
        })
        .await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    peer.send_bytes(say("ann", "half").as_bytes()).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(peer);
    let since = client.until(|event| match event {
        ReaderEvent::Line { line, .. } => panic!("half a line was given: {line:?}"),
        ReaderEvent::ChannelLost { since_unix_ms, .. } => Some(*since_unix_ms),
        _ => None,
    });
    assert_eq!(since.await, at);
}

/// After RECONNECT a second connection joins before the first is left; in between both give their lines, and what was on
/// its way to the first is not lost.
#[tokio::test]
async fn reconnect_overlaps() {
    let server = Server::new(None).await;
    let mut client = Client::start(server.config(&["ann", "bob"]));
    let mut first = server.welcome(&["ann", "bob"]).await;
    first.send(":tmi.twitch.tv RECONNECT").await;
    let mut second = server.accept().await;
    second.log_in().await;
    first.send(&say("ann", "meanwhile")).await;
    assert_eq!(client.chat().await, (1, say("ann", "meanwhile").into_bytes()));
    second.confirm_join().await;
    second.confirm_join().await;
    first.send(&say("ann", "both")).await;
    second.send(&say("ann", "both")).await;
    let mut both = [client.chat().await, client.chat().await];
    both.sort();
    assert_eq!(both, [(1, say("ann", "both").into_bytes()), (2, say("ann", "both").into_bytes())]);

    let mut lost = 0;
    loop {
        match client.event().await {
            ReaderEvent::ChannelLost { connection: 1, reason: LostReason::Replaced, .. } => lost += 1,
            ReaderEvent::Disconnected { connection: 1, reason: LostReason::Replaced, .. } => break,
            ReaderEvent::Alive { .. } | ReaderEvent::Protocol { .. } => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(lost, 2);
    assert_eq!(first.try_line().await, None);
    second.send(&say("bob", "on")).await;
    assert_eq!(client.chat().await, (2, say("bob", "on").into_bytes()));
    let status = client.reader.status();
    assert_eq!((status.connections.len(), status.joined_channels().len(), status.last_error), (1, 2, None));
}

/// A replacement that fails is tried again while the first connection goes on reading.
#[tokio::test]
async fn a_failed_replacement_is_tried_again() {
    let server = Server::new(None).await;
    let mut client = Client::start(server.config(&["ann"]));
    let mut first = server.welcome(&["ann"]).await;
    first.send(":tmi.twitch.tv RECONNECT").await;
    drop(server.accept().await);
    drop(server.accept().await);
    first.send(&say("ann", "still")).await;
    assert_eq!(client.chat().await, (1, say("ann", "still").into_bytes()));
    let mut third = server.welcome(&["ann"]).await;
    third.send(&say("ann", "on")).await;
    assert_eq!(client.chat().await, (4, say("ann", "on").into_bytes()));
}

/// A server that is not there is tried until it is.
#[tokio::test]
async fn an_absent_server_is_tried_until_it_is_there() {
    let server = Server::new(None).await;
    let mut config = server.config(&["room"]);
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    config.url = format!("irc://{free}").parse().unwrap();
    let mut client = Client::start(config);
    for connection in 1..=3 {
        match client.event().await {
            ReaderEvent::Disconnected { connection: id, reason: LostReason::Network(words), .. }
                if id == connection =>
            {
                assert!(words.contains(&free.to_string()), "{words}");
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    let listener = TcpListener::bind(free).await.unwrap();
    let (_socket, _) = tokio::time::timeout(Duration::from_secs(10), listener.accept()).await.unwrap().unwrap();
}
