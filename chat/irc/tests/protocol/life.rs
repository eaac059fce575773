//! PING both ways, death, RECONNECT, and what goes up.

use tenure_core::Time;
use tenure_irc::{DisconnectReason, Disposition, Event, Input};

use crate::client::{Client, seconds};

/// The server's PING is answered with its own text, with or without a colon, and with none where there is none.
#[test]
fn the_servers_ping_is_answered_with_its_text() {
    let mut client = Client::up(&[]);
    client.take_sent();
    for (ping, pong) in [
        ("PING :tmi.twitch.tv", "PONG tmi.twitch.tv"),
        ("PING :a b", "PONG :a b"),
        ("PING x", "PONG x"),
        ("PING", "PONG"),
    ] {
        assert_eq!(client.line(ping), Disposition::Consumed);
        assert_eq!(client.take_sent(), [pong]);
    }
}

/// After 5 s of silence PING is sent, and after 5 s more the connection is dead.
#[test]
fn silence_is_asked_and_then_is_death() {
    let mut client = Client::up(&[]);
    client.take_sent();
    let start = client.now;
    client.pass(seconds(60));
    assert_eq!(client.sent, [(start + seconds(5), "PING tenure".to_owned())]);
    assert_eq!(client.disconnected, Some(DisconnectReason::Unresponsive));
    assert!(client.connection.poll_timeout().is_none());
}

/// Any traffic is life: a PONG, a chat line, or mere bytes, as late as just before the end.
#[test]
fn any_traffic_counts_as_life() {
    let mut client = Client::up(&[]);
    for turn in 0..30 {
        client.pass(seconds(10) - std::time::Duration::from_nanos(1));
        match turn % 3 {
            0 => drop(client.line(":tmi.twitch.tv PONG tmi.twitch.tv :tenure")),
            1 => drop(client.line(":a!a@a PRIVMSG #room :hi")),
            _ => client.input(Input::Heard),
        }
        assert_eq!(client.disconnected, None);
    }
    let pings = client.sent.iter().filter(|(_, line)| line == "PING tenure").count();
    assert_eq!(pings, 30);
}

/// While lines keep coming no PING is sent at all.
#[test]
fn a_busy_connection_is_not_asked() {
    let mut client = Client::up(&[]);
    client.take_sent();
    for _ in 0..100 {
        client.pass(seconds(4));
        client.line(":a!a@a PRIVMSG #room :hi");
    }
    assert_eq!((client.take_sent(), client.disconnected), (vec![], None));
}

/// RECONNECT is told and ends nothing: lines still come until the server closes.
#[test]
fn reconnect_is_told_and_lines_still_come() {
    let mut client = Client::up(&["room"]);
    client.take_events();
    assert_eq!(client.line(":tmi.twitch.tv RECONNECT"), Disposition::Consumed);
    assert_eq!(client.take_events(), [Event::ReconnectRequested]);
    assert_eq!(client.line(":a!a@a PRIVMSG #room :still here"), Disposition::Deliver);
    assert_eq!(client.disconnected, None);
}

/// Chat goes up, the protocol's own lines do not, and before the login nothing does.
#[test]
fn chat_goes_up_and_the_rest_stays() {
    let mut client = Client::account();
    client.input(Input::Connected);
    assert_eq!(client.line(":a!a@a PRIVMSG #room :early"), Disposition::Consumed);
    client.welcome("reader");
    for (line, disposition) in [
        (":a!a@a PRIVMSG #room :hi", Disposition::Deliver),
        ("@msg-id=sub :tmi.twitch.tv USERNOTICE #room", Disposition::Deliver),
        (":tmi.twitch.tv CLEARCHAT #room :ann", Disposition::Deliver),
        (":tmi.twitch.tv CLEARMSG #room :bad", Disposition::Deliver),
        ("@slow=10 :tmi.twitch.tv ROOMSTATE #room", Disposition::Deliver),
        ("@msg-id=slow_on :tmi.twitch.tv NOTICE #room :slow", Disposition::Deliver),
        (":tmi.twitch.tv NOTICE * :to you", Disposition::Consumed),
        (":tmi.twitch.tv PONG tmi.twitch.tv :x", Disposition::Consumed),
        (":b!b@b JOIN #room", Disposition::Consumed),
        (":b!b@b PART #room", Disposition::Consumed),
        (":tmi.twitch.tv 353 reader = #room :reader", Disposition::Consumed),
        (":tmi.twitch.tv USERSTATE #room", Disposition::Consumed),
        (":tmi.twitch.tv GLOBALUSERSTATE", Disposition::Consumed),
        ("SOMETHING new", Disposition::Consumed),
    ] {
        assert_eq!(client.line(line), disposition, "{line}");
    }
    client.input(Input::Closed);
    assert_eq!(client.line(":a!a@a PRIVMSG #room :late"), Disposition::Consumed);
}

/// Timers that are called early or late, and inputs in any order, do no harm.
#[test]
fn odd_orders_do_no_harm() {
    let mut client = Client::account();
    client.input(Input::Timeout);
    client.input(Input::Heard);
    client.input(Input::Part("room"));
    client.input(Input::Connected);
    client.input(Input::Connected);
    assert_eq!(client.sent.len(), 3);
    client.now = Time::MAX;
    client.input(Input::Timeout);
    assert_eq!(client.disconnected, Some(DisconnectReason::LoginTimeout));
    client.input(Input::Connected);
    client.input(Input::Join("room"));
    client.input(Input::Timeout);
    assert_eq!(client.sent.len(), 3);
}
