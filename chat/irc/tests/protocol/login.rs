//! Logging in and being refused.

use tenure_irc::{
    Connection, DisconnectReason, Disposition, Event, Input, Login, LoginFailure, Output, Secret, Settings,
};

use crate::client::{Client, seconds};

/// An account sends CAP, PASS and NICK in this order and at once; the login is done with the welcome.
#[test]
fn an_account_logs_in_with_cap_pass_and_nick() {
    let mut client = Client::account();
    assert!(client.connection.poll_timeout().is_none());
    client.input(Input::Connected);
    let lines = ["CAP REQ :twitch.tv/tags twitch.tv/commands", "PASS oauth:hush", "NICK reader"];
    assert_eq!(client.take_sent(), lines);
    client.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
    assert_eq!(client.take_events(), []);
    client.line(":tmi.twitch.tv 001 reader :Welcome, GLHF!");
    assert_eq!(client.take_events(), [Event::LoggedIn { nick: "reader".into() }]);
    client.line(":tmi.twitch.tv 376 reader :>");
    assert_eq!((client.take_events(), client.disconnected), (vec![], None));
}

/// A server that says that logins come too fast is not one that refuses this login.
#[test]
fn logins_that_come_too_fast_are_told_apart() {
    for line in [":tmi.twitch.tv NOTICE * :Login rate limit exceeded", "@msg-id=msg_ratelimit NOTICE * :no"] {
        let mut client = Client::account();
        client.input(Input::Connected);
        client.line(line);
        assert_eq!(client.take_events(), [Event::LoginFailed(LoginFailure::TooFast)]);
        assert_eq!(client.disconnected, Some(DisconnectReason::LoginFailed(LoginFailure::TooFast)));
    }
}

/// A token that has its `oauth:` already does not get a second one.
#[test]
fn a_token_may_carry_its_prefix() {
    let mut client = Client::new(Login::Account { login: "reader".into(), token: Secret::new("oauth:hush") });
    client.input(Input::Connected);
    assert_eq!(client.take_sent()[1], "PASS oauth:hush");
}

/// Anonymous: no PASS, and a nick of `justinfan` with five digits that only the seed decides.
#[test]
fn anonymous_sends_a_nick_from_the_seed_and_no_pass() {
    let mut nicks = Vec::new();
    for seed in [1, 1, 2, 3] {
        let mut client = Client::new(Login::Anonymous);
        client.connection = Connection::new(Settings::new(Login::Anonymous, seed));
        client.input(Input::Connected);
        let sent = client.take_sent();
        assert_eq!(sent.len(), 2, "{sent:?}");
        let digits = sent[1].strip_prefix("NICK justinfan").unwrap();
        assert!(digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
        nicks.push(digits.to_owned());
    }
    assert_eq!(nicks[0], nicks[1]);
    assert!(nicks[1] != nicks[2] && nicks[2] != nicks[3]);
}

/// Capabilities may be acknowledged one by one; a welcome without both is no login.
#[test]
fn the_login_needs_both_capabilities() {
    let mut client = Client::new(Login::Anonymous);
    client.input(Input::Connected);
    client.line(":tmi.twitch.tv 001 justinfan1 :Welcome, GLHF!");
    client.line(":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
    assert_eq!(client.take_events(), []);
    client.line(":tmi.twitch.tv CAP * ACK :twitch.tv/commands");
    assert_eq!(client.take_events(), [Event::LoggedIn { nick: "justinfan1".into() }]);
}

/// Each refusal is told by its name and ends the connection; a network failure is never told as one.
#[test]
fn refused_logins_are_told_from_network_failures() {
    for (line, failure) in [
        (":tmi.twitch.tv NOTICE * :Login authentication failed", LoginFailure::Rejected),
        (":tmi.twitch.tv NOTICE * :Login unsuccessful", LoginFailure::Rejected),
        (":tmi.twitch.tv NOTICE * :Improperly formatted auth", LoginFailure::Malformed),
        (":tmi.twitch.tv NOTICE * :Invalid NICK", LoginFailure::InvalidNick),
        (":tmi.twitch.tv CAP * NAK :twitch.tv/tags twitch.tv/commands", LoginFailure::CapabilitiesRefused),
    ] {
        let mut client = Client::account();
        client.input(Input::Connected);
        client.line(":tmi.twitch.tv NOTICE * :Have a nice day");
        assert_eq!(client.take_events(), []);
        client.line(line);
        assert_eq!(client.take_events(), [Event::LoginFailed(failure)], "{line}");
        assert_eq!(client.disconnected, Some(DisconnectReason::LoginFailed(failure)));
        assert!(client.connection.poll_timeout().is_none());
    }

    let mut client = Client::account();
    client.input(Input::Connected);
    client.pass(seconds(9));
    assert_eq!(client.disconnected, None);
    client.pass(seconds(1));
    assert_eq!((client.disconnected, client.take_events()), (Some(DisconnectReason::LoginTimeout), vec![]));

    let mut client = Client::account();
    client.input(Input::Connected);
    client.input(Input::Closed);
    client.pass(seconds(60));
    assert_eq!((client.disconnected, client.take_events()), (None, vec![]));
}

/// A chat line that looks like a refusal is chat, once the login is done.
#[test]
fn the_sentence_of_a_refusal_means_nothing_later() {
    let mut client = Client::up(&["room"]);
    client.take_events();
    client.line(":tmi.twitch.tv NOTICE * :Login authentication failed");
    assert_eq!(client.line(":a!a@a PRIVMSG #room :Login authentication failed"), Disposition::Deliver);
    assert_eq!((client.disconnected, client.take_events()), (None, vec![]));
}

/// PING during the login is answered like any other.
#[test]
fn ping_is_answered_while_logging_in() {
    let mut client = Client::account();
    client.input(Input::Connected);
    client.take_sent();
    client.line("PING :now");
    assert_eq!(client.take_sent(), ["PONG now"]);
}

/// A name or token with a line break cannot smuggle in a command: nothing of it is sent.
#[test]
fn a_token_that_holds_a_line_break_is_not_sent() {
    for (login, token) in [("reader", "hush\r\nJOIN #room"), ("rea\nder", "hush")] {
        let mut client = Client::new(Login::Account { login: login.into(), token: Secret::new(token) });
        client.input(Input::Connected);
        assert_eq!(client.take_sent(), Vec::<String>::new());
        assert_eq!(client.disconnected, Some(DisconnectReason::LoginFailed(LoginFailure::Unsendable)));
    }
}

/// No debug output of anything that carries the token shows it.
#[test]
fn the_token_never_shows_in_debug_output() {
    let login = Login::Account { login: "reader".into(), token: Secret::new("hush") };
    let mut connection = Connection::new(Settings::new(login.clone(), 1));
    let mut client = Client::account();
    connection.handle(client.now, Input::Connected);
    let mut shown = format!("{login:?} {connection:?} {:?}", Settings::new(login.clone(), 1));
    let mut passes = 0;
    while let Some(output) = connection.poll(client.now, &mut client.budget) {
        shown += &format!("{output:?}");
        passes += usize::from(matches!(&output, Output::Send(line) if line.as_bytes() == b"PASS oauth:hush\r\n"));
    }
    assert_eq!(passes, 1);
    assert!(!shown.contains("hush"), "{shown}");
}
