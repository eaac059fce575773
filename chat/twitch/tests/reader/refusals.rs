//! Channels that cannot be joined: told with the verdict, asked for again, and read once they are back.

use std::time::Duration;

use tenure_twitch::{JoinFailure, ReaderEvent};

use crate::server::{Client, Server};

/// A channel that is refused, and one for which no answer comes, are told each time with their verdicts; the others are read
/// meanwhile. Both are asked for again, and joined as soon as the server lets them.
#[tokio::test]
async fn refused_channels_are_asked_for_until_they_are_back() {
    let server = Server::new(None).await;
    let mut config = server.config(&["gone", "once", "there"]);
    let again = (Duration::from_millis(100), Duration::from_millis(200));
    config.timing.join_within = Duration::from_millis(200);
    (config.timing.rejoin_refused, config.timing.rejoin_silent) = (again, again);
    let mut client = Client::start(config);
    let mut peer = server.accept().await;
    peer.log_in().await;
    let (mut refused, mut silent) = (0, 0);
    while refused < 3 || silent < 3 {
        match peer.line().await.as_str() {
            "JOIN #gone" => {
                refused += 1;
                peer.send("@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #gone :no").await;
            }
            "JOIN #once" => silent += 1,
            "JOIN #there" => peer.send("@slow=0 :tmi.twitch.tv ROOMSTATE #there").await,
            _ => {}
        }
    }
    let mut verdicts = Vec::new();
    let mut joined = false;
    while verdicts.len() < 4 {
        match client.event().await {
            ReaderEvent::JoinFailed { channel, failure, .. } => verdicts.push((channel, failure)),
            ReaderEvent::Joined { channel, .. } => {
                assert_eq!(channel, "there");
                joined = true;
            }
            _ => {}
        }
    }
    assert!(joined);
    for (channel, verdict) in &verdicts {
        let expected = if channel == "gone" { JoinFailure::Suspended } else { JoinFailure::Silent };
        assert_eq!(*verdict, expected, "{channel}");
    }
    assert!(verdicts.iter().filter(|(channel, _)| channel == "gone").count() > 1, "{verdicts:?}");
    // They are back.
    let mut back = Vec::new();
    let answer = async {
        loop {
            if let Some(channel) = peer.line().await.strip_prefix("JOIN ") {
                peer.send(&format!("@slow=0 :tmi.twitch.tv ROOMSTATE {channel}")).await;
            }
        }
    };
    let told = async {
        while back.len() < 2 {
            let joined = |event: &ReaderEvent| match event {
                ReaderEvent::Joined { channel, .. } => Some(channel.clone()),
                _ => None,
            };
            back.push(client.until(joined).await);
        }
    };
    tokio::select! {
        () = answer => {}
        () = told => {}
    }
    back.sort();
    assert_eq!(back, ["gone", "once"]);
    assert_eq!(client.reader.status().joined_channels(), ["gone", "once", "there"]);
}
