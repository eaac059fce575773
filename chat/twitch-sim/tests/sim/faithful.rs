//! Login, rooms, budgets, keep-alive: as Twitch does it.

use std::time::Duration;

use tenure_twitch_sim::{Budget, Sim, SimConfig, StartRule};

use crate::client::{Client, End, eventually, quiet};

/// The welcome has all its numerics in order and arrives in one piece, and GLOBALUSERSTATE belongs to accounts alone.
#[tokio::test]
async fn the_welcome_is_complete() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::connect(sim.addresses().irc).await;
    client.send("CAP REQ :twitch.tv/tags twitch.tv/commands").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * ACK :twitch.tv/tags twitch.tv/commands");
    client.send("PASS oauth:anything").await;
    client.send("NICK Some_Body").await;
    for numeric in ["001", "002", "003", "004", "375", "372", "376"] {
        let line = client.line().await;
        assert!(line.starts_with(&format!(":tmi.twitch.tv {numeric} some_body :")), "{line}");
    }
    let state = client.line().await;
    assert!(state.starts_with('@') && state.ends_with(" :tmi.twitch.tv GLOBALUSERSTATE"), "{state}");
    assert!(state.contains("user-id="), "{state}");

    let mut anonymous = Client::anonymous(&sim, 7).await;
    assert!(anonymous.sync().await.is_empty());
}

/// PASS, NICK and USER come in any order; without an account PASS may be missing or odd.
#[tokio::test]
async fn login_lines_come_in_any_order() {
    let sim = Sim::start(quiet()).await.unwrap();
    let orders: [&[&str]; 6] = [
        &["PASS oauth:t", "NICK someone", "USER someone 8 * :someone"],
        &["USER someone 8 * :someone", "NICK someone", "PASS oauth:t"],
        &["NICK someone", "PASS oauth:t"],
        &["PASS SCHMOOPIIE", "NICK justinfan123"],
        &["NICK justinfan123"],
        &["CAP LS 302", "CAP REQ :twitch.tv/tags", "CAP END", "NICK justinfan1", "USER justinfan1 8 * :justinfan1"],
    ];
    for order in orders {
        let mut client = Client::connect(sim.addresses().irc).await;
        for line in order {
            client.send(line).await;
        }
        client.until(" 376 ").await;
    }
}

/// Capabilities are listed, acknowledged, and refused as a whole where one is unknown.
#[tokio::test]
async fn capabilities_are_negotiated() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::connect(sim.addresses().irc).await;
    client.send("CAP LS 302").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * LS :twitch.tv/commands twitch.tv/membership twitch.tv/tags");
    client.send("CAP REQ :twitch.tv/tags twitch.tv/nonsense").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * NAK :twitch.tv/tags twitch.tv/nonsense");
    client.send("CAP LIST").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * LIST :");
    client.send("CAP REQ twitch.tv/tags").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv CAP * ACK :twitch.tv/tags");
    client.send("CAP END").await;
    assert!(client.sync().await.is_empty());
}

/// A bad token and a malformed one get their NOTICE, then the connection ends.
#[tokio::test]
async fn failed_logins_are_told_and_closed() {
    let config = SimConfig { bad_tokens: vec!["stale".into()], ..quiet() };
    let sim = Sim::start(config).await.unwrap();
    for (pass, notice) in [
        ("oauth:stale", ":tmi.twitch.tv NOTICE * :Login authentication failed"),
        ("oauth:", ":tmi.twitch.tv NOTICE * :Login authentication failed"),
        ("stale", ":tmi.twitch.tv NOTICE * :Improperly formatted auth"),
    ] {
        let mut client = Client::connect(sim.addresses().irc).await;
        client.send(&format!("PASS {pass}")).await;
        client.send("NICK someone").await;
        assert_eq!(client.line().await, notice);
        assert_eq!(client.next().await, Err(End::Fin), "{pass}");
    }
    let sim = Sim::start(SimConfig { strict_login_order: true, ..quiet() }).await.unwrap();
    let mut client = Client::connect(sim.addresses().irc).await;
    client.send("NICK someone").await;
    assert_eq!(client.line().await, ":tmi.twitch.tv NOTICE * :Improperly formatted auth");
    assert_eq!(client.next().await, Err(End::Fin));
}

/// Who never logs in is closed.
#[tokio::test]
async fn a_connection_without_login_is_closed() {
    let sim = Sim::start(SimConfig { login_timeout: Duration::from_millis(100), ..quiet() }).await.unwrap();
    let mut silent = Client::connect(sim.addresses().irc).await;
    assert_eq!(silent.next().await, Err(End::Fin));
    assert_eq!(sim.stats().connections[0].close_reason.as_deref(), Some("login_timeout"));
}

/// A JOIN of several rooms is answered for each, in order; an account also learns its state in the room.
#[tokio::test]
async fn joins_are_answered_in_full() {
    let config = SimConfig { channels: vec!["one".into(), "two".into()], ..quiet() };
    let sim = Sim::start(config).await.unwrap();
    let mut client = Client::account(&sim, "someone").await;
    client.send("JOIN #one,#TWO").await;
    for room in ["one", "two"] {
        assert_eq!(client.line().await, format!(":someone!someone@someone.tmi.twitch.tv JOIN #{room}"));
        assert_eq!(client.line().await, format!(":someone.tmi.twitch.tv 353 someone = #{room} :someone"));
        assert_eq!(client.line().await, format!(":someone.tmi.twitch.tv 366 someone #{room} :End of /NAMES list"));
        assert!(client.line().await.ends_with(&format!(" :tmi.twitch.tv USERSTATE #{room}")));
        let state = client.line().await;
        assert!(state.ends_with(&format!(" :tmi.twitch.tv ROOMSTATE #{room}")), "{state}");
        for tag in ["slow=0", "subs-only=0", "emote-only=0", "followers-only=-1", "r9k=0", "room-id="] {
            assert!(state.contains(tag), "{tag} in {state}");
        }
    }
    client.send("PART #one").await;
    assert_eq!(client.line().await, ":someone!someone@someone.tmi.twitch.tv PART #one");
    assert_eq!(sim.stats().connections[0].channels, ["two"]);
}

/// Without the capabilities there are neither tags nor ROOMSTATE.
#[tokio::test]
async fn nothing_comes_that_was_not_asked_for() {
    let sim = Sim::start(SimConfig { rate: 5_000.0, limit: Some(2_000), start: StartRule::WhenClients(1), ..quiet() })
        .await
        .unwrap();
    let mut client = Client::connect(sim.addresses().irc).await;
    client.send("NICK justinfan1").await;
    client.send("JOIN #room").await;
    let lines = client.until(" 366 ").await;
    assert!(lines.iter().all(|line| line.starts_with(':')), "{lines:?}");
    sim.chat_over().await;
    let chat = client.sync().await;
    assert!(chat.len() > 500, "{}", chat.len());
    assert!(chat.iter().all(|line| line.starts_with(':') && line.contains(" PRIVMSG #room :")));
}

/// A room that does not exist, or was renamed, is ignored; a suspended one and one that bans get their NOTICE.
#[tokio::test]
async fn rooms_that_cannot_be_joined() {
    let names = |name: &str| vec![name.to_owned()];
    let config = SimConfig { suspended: names("gone"), renamed: names("once"), banned: names("closed"), ..quiet() };
    let sim = Sim::start(config).await.unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    for nobody in ["never_was", "once"] {
        client.send(&format!("JOIN #{nobody}")).await;
        assert!(client.sync().await.is_empty());
    }
    for (name, id) in [("gone", "msg_channel_suspended"), ("closed", "msg_banned")] {
        client.send(&format!("JOIN #{name}")).await;
        let notice = client.line().await;
        assert!(notice.starts_with(&format!("@msg-id={id} :tmi.twitch.tv NOTICE #{name} :")), "{notice}");
    }
}

/// PING is answered with its text; the server pings too, and leaves who does not answer.
#[tokio::test]
async fn keep_alive_goes_both_ways() {
    let config = SimConfig {
        ping_interval: Duration::from_millis(50),
        pong_timeout: Duration::from_millis(300),
        login_timeout: Duration::from_secs(60),
        ..quiet()
    };
    let sim = Sim::start(config).await.unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    client.send("PING :some text").await;
    assert!(client.until("PONG").await.contains(&":tmi.twitch.tv PONG tmi.twitch.tv :some text".to_owned()));
    client.send("PING").await;
    assert_eq!(client.until("PONG").await.last().unwrap(), "PONG");
    for _ in 0..3 {
        client.until("PING :tmi.twitch.tv").await;
        client.send("PONG :tmi.twitch.tv").await;
    }
    assert_eq!(client.rest().await.1, End::Fin);
    eventually("closed", || sim.stats().connections[0].close_reason.as_deref() == Some("ping_timeout")).await;
}

/// The twenty-first JOIN in ten seconds ends the connection; so does the login beyond its budget.
#[tokio::test]
async fn budgets_end_the_connection() {
    let channels: Vec<_> = (0..30).map(|n| format!("room{n}")).collect();
    let sim = Sim::start(SimConfig { channels: channels.clone(), ..quiet() }).await.unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    let names =
        |from: usize, to: usize| channels[from..to].iter().map(|c| format!("#{c}")).collect::<Vec<_>>().join(",");
    client.send(&format!("JOIN {}", names(0, 20))).await;
    client.until("ROOMSTATE #room19").await;
    assert!(client.sync().await.is_empty());
    client.send("JOIN #room20").await;
    assert_eq!(client.next().await, Err(End::Fin));
    assert_eq!(sim.stats().connections[0].close_reason.as_deref(), Some("join_budget"));

    let auth_budget = Some(Budget { attempts: 2, period_ms: 60_000 });
    let sim = Sim::start(SimConfig { auth_budget, ..quiet() }).await.unwrap();
    for _ in 0..2 {
        Client::account(&sim, "someone").await;
    }
    let mut third = Client::connect(sim.addresses().irc).await;
    third.send("PASS oauth:t").await;
    third.send("NICK someone").await;
    assert_eq!(third.next().await, Err(End::Fin));
    Client::account(&sim, "another").await;
}

/// Beyond the cap rooms are refused by a NOTICE, over all connections of an account; its own room does not count, and
/// nothing counts for who has no account.
#[tokio::test]
async fn an_account_is_in_so_many_rooms() {
    let channels = ["a1", "a2", "a3", "someone"].map(str::to_owned).to_vec();
    let sim = Sim::start(SimConfig { channels, room_cap: Some(2), ..quiet() }).await.unwrap();
    let mut first = Client::account(&sim, "someone").await;
    let mut second = Client::account(&sim, "someone").await;
    first.join(&["a1"]).await;
    second.join(&["a2"]).await;
    second.send("JOIN #a3").await;
    second.until("msg-id=msg_concurrent_channel_limit_reached :tmi.twitch.tv NOTICE #a3 :").await;
    assert!(second.sync().await.is_empty());
    Client::anonymous(&sim, 1).await.join(&["a1", "a2", "a3", "someone"]).await;
    second.join(&["someone", "a1"]).await;
    first.send("PART #a1").await;
    first.until("PART").await;
    second.send("PART #a1").await;
    second.until("PART").await;
    second.join(&["a3"]).await;
}

/// Who comes and goes is told in batches to those who asked, and not at all in crowded rooms.
#[tokio::test]
async fn membership_is_told_in_batches() {
    for (room_crowd, told) in [(10, true), (1_001, false)] {
        let config = SimConfig { room_crowd, membership_interval: Duration::from_millis(20), ..quiet() };
        let sim = Sim::start(config).await.unwrap();
        let mut watcher = Client::connect(sim.addresses().irc).await;
        watcher.send("CAP REQ :twitch.tv/membership").await;
        watcher.send("NICK justinfan1").await;
        watcher.send("JOIN #room").await;
        let names = watcher.until(" 366 ").await.iter().filter(|line| line.contains(" 353 ")).count();
        assert_eq!(names, if told { 2 } else { 1 });
        let mut other = Client::anonymous(&sim, 2).await;
        other.join(&["room"]).await;
        if told {
            watcher.until(":justinfan2!justinfan2@justinfan2.tmi.twitch.tv JOIN #room").await;
            drop(other);
            watcher.until(":justinfan2!justinfan2@justinfan2.tmi.twitch.tv PART #room").await;
        } else {
            assert!(watcher.silent_for(Duration::from_millis(100)).await);
        }
    }
}

/// Junk from a client is answered or ignored; only a line without end ends the connection.
#[tokio::test]
async fn junk_from_clients_is_survived() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    for junk in ["", "@", ":", "JOIN", "JOIN ,,#,x", "PART", "PART #room", "PRIVMSG", "NICK other", "\u{0}\u{1}", "CAP"]
    {
        client.send(junk).await;
    }
    client.send("WHATEVER").await;
    client.until(":tmi.twitch.tv 421 justinfan1 WHATEVER :Unknown command").await;
    assert!(client.sync().await.is_empty());
    client.send(&"x".repeat(40_000)).await;
    assert_eq!(client.rest().await.1, End::Fin);
}
