//! Channels: asked for within the budget, confirmed, refused, met with silence, lost.

use tenure_core::Time;
use tenure_irc::{Budget, Event, Input, JoinFailure, is_channel_name};

use crate::client::{Client, seconds};

fn joined(channel: &str) -> Event {
    Event::Joined { channel: channel.into() }
}

fn failed(channel: &str, failure: JoinFailure) -> Event {
    Event::JoinFailed { channel: channel.into(), failure }
}

/// Channels are asked for only after the welcome, each confirmed by our own JOIN, the end of names or the room's state,
/// and told once.
#[test]
fn each_confirmation_counts_and_is_told_once() {
    let mut client = Client::account();
    client.input(Input::Join("ann"));
    client.input(Input::Connected);
    client.input(Input::Join("bob"));
    client.input(Input::Join("cyd"));
    assert!(!client.sent.iter().any(|(_, line)| line.starts_with("JOIN")));
    client.welcome("reader");
    assert_eq!(client.take_sent()[3..], ["JOIN #ann", "JOIN #bob", "JOIN #cyd"]);
    client.take_events();
    assert!(!client.connection.is_settled());
    client.line(":somebody!s@s JOIN #ann");
    assert_eq!(client.take_events(), []);
    client.line(":reader!reader@reader.tmi.twitch.tv JOIN #ann");
    client.line(":reader.tmi.twitch.tv 366 reader #bob :End of /NAMES list");
    client.line("@slow=0 :tmi.twitch.tv ROOMSTATE #cyd");
    assert_eq!(client.take_events(), [joined("ann"), joined("bob"), joined("cyd")]);
    client.line(":reader.tmi.twitch.tv 366 reader #ann :End of /NAMES list");
    client.line("@slow=5 :tmi.twitch.tv ROOMSTATE #ann");
    assert_eq!(client.take_events(), []);
    assert_eq!(client.connection.joined().collect::<Vec<_>>(), ["ann", "bob", "cyd"]);
    assert!(client.connection.is_settled());
    client.pass(seconds(4));
    assert_eq!(client.take_sent(), Vec::<String>::new());
}

/// Our own JOIN is known by the nick that the server gave, whatever we asked for.
#[test]
fn the_welcome_decides_who_we_are() {
    let mut client = Client::up(&["ann"]);
    client.line(":justinfan1!justinfan1@x JOIN #ann");
    assert!(client.take_events().contains(&joined("ann")));
}

/// 60 channels at 20 per 10 s take a little more than 20 s, and no window of 10 s sees more than 20 JOINs.
#[test]
fn joins_keep_to_the_budget() {
    let channels: Vec<String> = (0..60).map(|number| format!("c{number:02}")).collect();
    let mut client = Client::up(&channels.iter().map(String::as_str).collect::<Vec<_>>());
    let start = client.now;
    let mut joins: Vec<Time> = Vec::new();
    for _ in 0..60 {
        for (at, line) in std::mem::take(&mut client.sent) {
            if let Some(channel) = line.strip_prefix("JOIN ") {
                joins.push(at);
                client.line(&format!(":justinfan1!a@a JOIN {channel}"));
            }
        }
        client.pass(seconds(1));
        client.line("PING :x");
    }
    assert_eq!(client.connection.joined().count(), 60);
    assert_eq!(joins.len(), 60);
    assert_eq!(joins[59].since(start), seconds(22));
    for many in joins.windows(21) {
        assert!(many[20].since(many[0]) >= seconds(10));
    }
}

/// Two connections of one account share one budget: together they keep to it.
#[test]
fn connections_share_a_budget() {
    let mut one = Client::up(&["a1", "a2", "a3"]);
    let mut two = Client::up(&[]);
    one.take_sent();
    two.take_sent();
    let mut budget = Budget::new(4, seconds(10));
    for _ in 0..3 {
        budget.take(one.now).unwrap();
    }
    two.budget = budget;
    for channel in ["b1", "b2"] {
        two.input(Input::Join(channel));
    }
    assert_eq!(two.take_sent(), ["JOIN #b1"]);
    two.pass(seconds(4));
    assert_eq!(two.take_sent(), Vec::<String>::new());
    two.line("PING :x");
    two.take_sent();
    for _ in 0..3 {
        two.pass(seconds(4));
        two.line("PING :x");
        assert!(!two.take_sent().contains(&"JOIN #b2".to_owned()));
    }
    two.pass(seconds(4));
    assert!(two.take_sent().contains(&"JOIN #b2".to_owned()), "what was never answered may be late by a window");
}

/// Every NOTICE that refuses gives its verdict, for the channel that was asked for and no other; it is tried again, not
/// sooner than after half a minute or so.
#[test]
fn refusals_give_their_verdict() {
    for (id, failure) in [
        ("msg_channel_suspended", JoinFailure::Suspended),
        ("tos_ban", JoinFailure::Suspended),
        ("msg_banned", JoinFailure::Banned),
        ("msg_channel_blocked", JoinFailure::Blocked),
        ("msg_room_not_found", JoinFailure::NotFound),
    ] {
        let mut client = Client::up(&["ann"]);
        client.take_events();
        client.line(&format!("@msg-id={id} :tmi.twitch.tv NOTICE #bob :no"));
        client.line("@msg-id=slow_on :tmi.twitch.tv NOTICE #ann :slow");
        assert_eq!(client.take_events(), []);
        client.line(&format!("@msg-id={id} :tmi.twitch.tv NOTICE #ann :no"));
        assert_eq!(client.take_events(), [failed("ann", failure)]);
        assert!(client.connection.is_settled());
        client.line(&format!("@msg-id={id} :tmi.twitch.tv NOTICE #ann :no"));
        assert_eq!(client.take_events(), []);
        client.take_sent();
        let asked = client.now;
        while !client.sent.iter().any(|(_, line)| line == "JOIN #ann") {
            client.pass(seconds(1));
            client.line("PING :x");
        }
        let waited = client.now.since(asked);
        assert!(waited >= seconds(60) && waited <= seconds(122), "{waited:?}");
    }
}

/// An account that is in as many channels as it may be is told so, channel by channel, and asks again no sooner than
/// after ten minutes: not a refusal of the channel, and no reason to go.
#[test]
fn the_limit_of_channels_has_a_verdict_of_its_own() {
    let mut client = Client::up(&["ann"]);
    client.take_events();
    client.take_sent();
    let id = "msg_concurrent_channel_limit_reached";
    client.line(&format!("@msg-id={id} :tmi.twitch.tv NOTICE #ann :You are connected to too many chat channels."));
    assert_eq!(client.take_events(), [failed("ann", JoinFailure::RoomLimit)]);
    assert_eq!(client.disconnected, None);
    let asked = client.now;
    while !client.sent.iter().any(|(_, line)| line == "JOIN #ann") {
        client.pass(seconds(4));
        client.line("PING :x");
    }
    let waited = client.now.since(asked);
    assert!(waited >= seconds(600) && waited <= seconds(1_204), "{waited:?}");
}

/// A server that says that it is asked too often is told on while a JOIN awaits its answer, and not otherwise.
#[test]
fn a_server_that_is_asked_too_often_says_so() {
    let mut client = Client::up(&["ann"]);
    client.take_events();
    client.line("@msg-id=msg_ratelimit :tmi.twitch.tv NOTICE #bob :slower");
    assert_eq!(client.take_events(), []);
    client.line(":tmi.twitch.tv NOTICE * :JOIN rate limit exceeded");
    client.line("@msg-id=join_ratelimit :tmi.twitch.tv NOTICE #ann :slower");
    assert_eq!(client.take_events(), [Event::TooFast, Event::TooFast]);
    client.line(":justinfan1!a@a JOIN #ann");
    client.take_events();
    client.line(":tmi.twitch.tv NOTICE * :JOIN rate limit exceeded");
    assert_eq!(client.take_events(), []);
}

/// A banned account in a channel that it is in is that channel's matter: no verdict.
#[test]
fn a_refusal_of_a_joined_channel_is_chat() {
    let mut client = Client::up(&["ann"]);
    client.line(":justinfan1!a@a JOIN #ann");
    client.take_events();
    client.line("@msg-id=msg_banned :tmi.twitch.tv NOTICE #ann :You are banned");
    assert_eq!(client.take_events(), []);
}

/// Silence for 10 s is a verdict; the channel is tried again with growing waits, and a late answer still counts.
#[test]
fn silence_is_a_verdict_and_is_tried_again() {
    let mut client = Client::up(&["nobody"]);
    client.take_sent();
    client.take_events();
    let start = client.now;
    client.pass(seconds(9));
    client.line("PING :x");
    assert_eq!(client.take_events(), []);
    let mut verdicts = Vec::new();
    while verdicts.len() < 8 {
        client.pass(seconds(1));
        client.line("PING :x");
        for event in client.take_events() {
            assert_eq!(event, failed("nobody", JoinFailure::Silent));
            verdicts.push(client.now);
        }
    }
    assert_eq!(verdicts[0].since(start), seconds(10));
    let waits: Vec<u64> = verdicts.windows(2).map(|two| two[1].since(two[0]).as_secs()).collect();
    assert!(waits[0] <= 21 && waits[6] >= 150 && waits.iter().all(|wait| *wait <= 311), "{waits:?}");
    assert!(client.connection.is_settled());
    client.line(":justinfan1!a@a JOIN #nobody");
    assert_eq!(client.take_events(), [joined("nobody")]);
}

/// Being put out of a channel is told, and the channel tried again soon: the answer tells why.
#[test]
fn being_put_out_is_told_and_tried_again() {
    let mut client = Client::up(&["ann"]);
    client.line(":justinfan1!a@a JOIN #ann");
    client.take_events();
    client.line(":other!a@a PART #ann");
    assert_eq!(client.take_events(), []);
    client.line(":justinfan1!a@a PART #ann");
    assert_eq!(client.take_events(), [Event::PutOut { channel: "ann".into() }]);
    assert_eq!(client.connection.joined().count(), 0);
    client.take_sent();
    for _ in 0..11 {
        client.pass(seconds(1));
        client.line("PING :x");
    }
    assert!(client.take_sent().contains(&"JOIN #ann".to_owned()));
    client.line("@msg-id=msg_channel_suspended :tmi.twitch.tv NOTICE #ann :no");
    assert_eq!(client.take_events(), [failed("ann", JoinFailure::Suspended)]);
}

/// A channel that is wanted no longer is parted from and not tried again.
#[test]
fn an_unwanted_channel_is_parted_from() {
    let mut client = Client::up(&["ann", "bob"]);
    client.line(":justinfan1!a@a JOIN #ann");
    client.take_sent();
    client.input(Input::Part("ann"));
    client.input(Input::Part("bob"));
    client.input(Input::Part("cyd"));
    assert_eq!(client.take_sent(), ["PART #ann", "PART #bob"]);
    client.take_events();
    client.line(":justinfan1!a@a PART #ann");
    assert_eq!((client.take_events(), client.connection.wanted()), (vec![], 0));
}

/// A connection takes 90 channels; the 91st and a name that is none are refused at once and for good.
#[test]
fn a_connection_takes_ninety_channels() {
    let mut client = Client::up(&[]);
    client.take_events();
    for number in 0..91 {
        client.input(Input::Join(&format!("c{number}")));
    }
    client.input(Input::Join("c0"));
    assert_eq!(client.take_events(), [failed("c90", JoinFailure::Full)]);
    assert_eq!(client.connection.wanted(), 90);
    for name in ["", "#ann", "Ann", "ann,bob", "ann bob", "ann\r\nQUIT", "\u{e4}", &"a".repeat(65)] {
        assert!(!is_channel_name(name));
        client.input(Input::Join(name));
        assert_eq!(client.take_events(), [failed(name, JoinFailure::BadName)]);
    }
}
