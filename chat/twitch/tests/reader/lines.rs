//! Lines on their way from the socket to the receiver.

use std::time::Duration;

use tenure_twitch::{ConnectionState, Reader, ReaderConfig, ReaderError, ReaderEvent};
use tokio::time::timeout;

use crate::server::{Client, Server, say};

/// Login, JOIN, lines byte for byte and in order, the server's PING answered, and a status that says all of it.
#[tokio::test]
async fn lines_come_up_as_they_were_sent() {
    let server = Server::new(None).await;
    let mut client = Client::start(server.config(&["room", "room"]));
    let mut peer = server.accept().await;
    let login = peer.log_in().await;
    assert_eq!(login[0], "CAP REQ :twitch.tv/tags twitch.tv/commands");
    assert!(login.len() == 2 && login[1].starts_with("NICK justinfan"), "{login:?}");
    assert_eq!(peer.confirm_join().await, "#room");
    peer.send("PING :are you there").await;
    assert_eq!(peer.line().await, "PONG :are you there");
    peer.send(&say("room", "one")).await;
    peer.send_bytes(b"@id=2 :b!b@b PRIVMSG #room :\xff\x00\r\n@id=3 USERNOTICE #room\n:x PONG x\r\n").await;

    assert!(matches!(client.event().await, ReaderEvent::Connected { connection: 1, .. }));
    let mut lines = Vec::new();
    let mut protocol = 0;
    let mut joined_first = false;
    while lines.len() < 4 {
        match client.event().await {
            ReaderEvent::Line { connection: 1, line, received_at_unix_ms } if received_at_unix_ms > 0 => {
                assert!(joined_first, "a channel is joined before its first line");
                lines.push(line.to_vec());
            }
            ReaderEvent::Joined { connection: 1, channel, .. } => joined_first = channel == "room",
            ReaderEvent::Alive { connection: 1, .. } => {}
            ReaderEvent::Protocol { connection: 1, lines } => protocol += lines,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!((2..=4).contains(&protocol), "CAP, the welcome and PING, perhaps the PONG that comes with the last line");
    let expected = [
        b"@slow=0 :tmi.twitch.tv ROOMSTATE #room".to_vec(),
        say("room", "one").into_bytes(),
        b"@id=2 :b!b@b PRIVMSG #room :\xff\x00".to_vec(),
        b"@id=3 USERNOTICE #room".to_vec(),
    ];
    assert_eq!(lines, expected);

    let status = client.reader.status();
    assert_eq!((status.lines, status.reconnects, status.joined_channels()), (4, 0, vec!["room".to_owned()]));
    let connection = &status.connections[0];
    assert_eq!((connection.state, connection.nick.as_deref()), (ConnectionState::Up, login[1].strip_prefix("NICK ")));
    assert!(connection.local_addr.is_some() && status.last_line_at_unix_ms.is_some() && status.last_error.is_none());
}

/// Lines that come byte by byte are whole, one that is too long is skipped and counted, and what is no message is too.
#[tokio::test]
async fn odd_lines_hurt_only_themselves() {
    let server = Server::new(None).await;
    let mut client = Client::start(server.config(&["room"]));
    let mut peer = server.welcome(&["room"]).await;
    for byte in format!("{}\r\n", say("room", "slowly")).bytes() {
        peer.send_bytes(&[byte]).await;
    }
    assert_eq!(client.chat().await.1, say("room", "slowly").as_bytes());
    peer.send(&say("room", &"x".repeat(20_000))).await;
    peer.send("@only=tags").await;
    peer.send(" leading space").await;
    peer.send(&say("room", "after")).await;
    assert_eq!(client.chat().await.1, say("room", "after").as_bytes());
    peer.send("PING :counted").await;
    peer.line().await;
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(match client.odd.remove(0) {
            ReaderEvent::TooLong { beginning, .. } => {
                assert!(beginning.len() == 16 * 1024 && beginning.starts_with(b"@id=xxx"));
                "too long".to_owned()
            }
            ReaderEvent::NoMessage { error, .. } => error.to_string(),
            other => panic!("unexpected {other:?}"),
        });
    }
    let words = ["too long", "no command follows the tags (byte 10)", "the line starts with a space (byte 0)"];
    assert_eq!(told, words);
    let status = client.reader.status();
    assert_eq!((status.skipped_lines, status.refused_lines), (1, 2));
}

/// A connection that is alive says so: after traffic at once, and on a silent one with the answer to PING.
#[tokio::test]
async fn a_live_connection_says_so() {
    let server = Server::new(None).await;
    let mut config = server.config(&["room"]);
    config.timing.ping_after = Duration::from_millis(300);
    let mut client = Client::start(config);
    let mut peer = server.welcome(&["room"]).await;
    let alive = |event: &ReaderEvent| match event {
        ReaderEvent::Alive { connection: 1, at_unix_ms } => Some(*at_unix_ms),
        _ => None,
    };
    let first = client.until(alive).await;
    let pongs = async {
        while let Some(line) = peer.try_line().await {
            assert_eq!(line, "PING tenure");
            peer.send(":tmi.twitch.tv PONG tmi.twitch.tv :tenure").await;
        }
    };
    tokio::select! {
        second = client.until(alive) => assert!(second >= first + 1_000, "{first} and {second}"),
        () = pongs => panic!("the client closed"),
    }
}

/// A stop closes every socket and ends the events.
#[tokio::test]
async fn a_stop_closes_everything() {
    let server = Server::new(None).await;
    let mut config = server.config(&["ann", "bob"]);
    config.channels_per_connection = 1;
    let mut client = Client::start(config);
    let mut peers = [server.accept().await, server.accept().await];
    for peer in &mut peers {
        peer.log_in().await;
        peer.confirm_join().await;
    }
    client.reader.stop().await;
    for peer in &mut peers {
        assert_eq!(peer.try_line().await, None);
    }
    while timeout(Duration::from_secs(10), client.events.recv()).await.expect("the events end").is_some() {}
}

/// A configuration that cannot work is refused before anything is opened, with what to do about it.
#[tokio::test]
async fn wrong_configurations_are_refused() {
    let channel = ReaderConfig { channels: vec!["#Room".into()], ..ReaderConfig::default() };
    let error = Reader::start(channel).unwrap_err();
    assert!(matches!(&error, ReaderError::Channel { channel } if channel == "#Room"), "{error}");
    for (login, token) in [("reader", "hush\r\nJOIN #x"), ("reader", ""), ("Reader Two", "hush")] {
        let credentials =
            tenure_twitch::Credentials::Account { login: login.into(), token: tenure_twitch::Secret::new(token) };
        let config = ReaderConfig { credentials, ..ReaderConfig::default() };
        assert!(!format!("{config:?}").contains("hush"));
        let error = Reader::start(config).unwrap_err();
        assert!(matches!(error, ReaderError::Credentials { .. }) && !error.to_string().contains("hush"), "{error}");
    }
}
