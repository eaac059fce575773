//! Accounts that send: who gets it, what is answered, what is dropped without a word.

use tenure_twitch_sim::{Origin, Sim, SimConfig};

use crate::client::{Client, eventually, quiet};

/// The others in the room get the message; its author gets a USERSTATE with the same id and no echo.
#[tokio::test]
async fn a_message_reaches_the_others() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut author = Client::account(&sim, "someone").await;
    author.join(&["room"]).await;
    let mut reader = Client::reader(&sim, 1, &["room"]).await;
    author.send("@client-nonce=abc;reply-parent-msg-id=parent PRIVMSG #room :hello there").await;
    let state = author.line().await;
    let id = state.split("id=").nth(1).unwrap().split(';').next().unwrap();
    assert!(state.contains("client-nonce=abc") && state.contains(" USERSTATE #room"), "{state}");
    let message = reader.line().await;
    assert!(message.contains(&format!(";id={id};reply-parent-msg-id=parent;")), "{message}");
    assert!(message.ends_with(" :someone!someone@someone.tmi.twitch.tv PRIVMSG #room :hello there"), "{message}");
    assert!(author.sync().await.is_empty());
    // The ledger learns of the write right after the socket took it.
    eventually("in the ledger", || sim.ledger().delivered_to(0) == [2]).await;
    let ledger = sim.ledger();
    assert_eq!((ledger.lines()[0].origin, ledger.lines()[0].id()), (Origin::Client, Some(id.as_bytes())));
}

/// `/me` becomes an ACTION; any other slash command is refused.
#[tokio::test]
async fn only_one_slash_command_is_left() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut author = Client::account(&sim, "room").await;
    let mut reader = Client::reader(&sim, 1, &["room"]).await;
    author.send("PRIVMSG #room :/me waves").await;
    assert!(reader.line().await.ends_with("PRIVMSG #room :\u{1}ACTION waves\u{1}"));
    author.send("PRIVMSG #room :/ban someone").await;
    author.until("@msg-id=unrecognized_cmd :tmi.twitch.tv NOTICE #room").await;
    assert!(reader.sync().await.is_empty());
}

/// Without an account nothing is sent, and nothing is said about it.
#[tokio::test]
async fn anonymous_clients_cannot_send() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut author = Client::reader(&sim, 1, &["room"]).await;
    let mut reader = Client::reader(&sim, 2, &["room"]).await;
    author.send("PRIVMSG #room :hello").await;
    assert!(author.sync().await.is_empty());
    assert!(reader.sync().await.is_empty());
}

/// The same text again is refused aloud; a second text within a second vanishes; moderators may do both.
#[tokio::test]
async fn send_limits_hold() {
    let sim = Sim::start(SimConfig { moderators: vec!["janitor".into()], ..quiet() }).await.unwrap();
    let mut author = Client::account(&sim, "someone").await;
    let mut janitor = Client::account(&sim, "janitor").await;
    let mut reader = Client::reader(&sim, 1, &["room"]).await;
    author.send("PRIVMSG #room :hello").await;
    author.until("USERSTATE").await;
    author.send("PRIVMSG #room :hello").await;
    author.until("@msg-id=msg_duplicate :tmi.twitch.tv NOTICE #room").await;
    author.send("PRIVMSG #room :something else").await;
    assert!(author.sync().await.is_empty());
    assert_eq!(reader.sync().await.len(), 1);
    for _ in 0..3 {
        janitor.send("PRIVMSG #room :order").await;
        janitor.until("USERSTATE").await;
    }
    assert_eq!(reader.sync().await.len(), 3);
}
