//! Faults of connections.

use std::time::Duration;

use tenure_twitch_sim::{Closed, Cut, Fault, Select, Sim, SimConfig, SimError, StartRule, TimedFault};

use crate::client::{Client, End, chatty, eventually, quiet};

fn port(client: &Client) -> Select {
    Select::Port(client.port)
}

/// A connection is cut with RST or FIN, and only the one that is meant.
#[tokio::test]
async fn connections_are_cut() {
    let sim = Sim::start(quiet()).await.unwrap();
    let (mut reset, mut ended) = (Client::anonymous(&sim, 1).await, Client::anonymous(&sim, 2).await);
    let mut spared = Client::anonymous(&sim, 3).await;
    let cut = |select, how| sim.fault(Fault::Cut { select, how }).unwrap().matched;
    assert_eq!(cut(port(&reset), Cut::Rst), 1);
    assert_eq!(cut(Select::Nick("justinfan2".into()), Cut::Fin), 1);
    assert_eq!(cut(Select::Id(99), Cut::Rst), 0);
    assert_eq!(reset.next().await, Err(End::Reset));
    assert_eq!(ended.next().await, Err(End::Fin));
    assert!(spared.sync().await.is_empty());
    let reasons: Vec<_> = sim.stats().connections.into_iter().map(|connection| connection.close_reason).collect();
    assert_eq!(reasons, [Some("cut_rst".into()), Some("cut_fin".into()), None]);
}

/// Half-open: no answer, no chat, no end, until the time is over; then RST. The ledger has nothing from that time.
#[tokio::test]
async fn a_half_open_connection_says_nothing() {
    let sim = Sim::start(SimConfig { start: StartRule::WhenClients(2), ..chatty(500.0) }).await.unwrap();
    let mut victim = Client::reader(&sim, 1, &["room"]).await;
    let mut other = Client::reader(&sim, 2, &["room"]).await;
    victim.until("PRIVMSG").await;
    sim.fault(Fault::HalfOpen { select: port(&victim), for_ms: Some(400) }).unwrap();
    let mut written = usize::MAX;
    eventually("writing has stopped", || {
        let before = std::mem::replace(&mut written, sim.stats().connections[0].lines_written);
        other_lines(&sim) > 0 && before == written
    })
    .await;
    victim.send("PING :anyone").await;
    let (rest, end) = victim.rest().await;
    assert_eq!(end, End::Reset);
    assert!(!rest.iter().any(|line| String::from_utf8_lossy(line).contains("PONG")));
    assert!(!other.sync().await.is_empty());
    let stats = &sim.stats().connections[0];
    assert_eq!(stats.close_reason.as_deref(), Some("half_open_over"));
    assert_eq!(stats.lines_written, written);
}

fn other_lines(sim: &Sim) -> usize {
    sim.stats().connections[1].lines_written
}

/// A half-open connection without an end stays open, and still can be cut.
#[tokio::test]
async fn a_half_open_connection_can_be_cut() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    sim.fault(Fault::HalfOpen { select: Select::All, for_ms: None }).unwrap();
    client.send("PING :x").await;
    assert!(client.silent_for(Duration::from_millis(150)).await);
    sim.fault(Fault::Cut { select: Select::All, how: Cut::Rst }).unwrap();
    assert_eq!(client.next().await, Err(End::Reset));
}

/// Stalled: no chat, but PONGs; healed, chat again.
#[tokio::test]
async fn a_stall_keeps_pongs_flowing() {
    let sim = Sim::start(chatty(500.0)).await.unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    client.until("PRIVMSG").await;
    sim.fault(Fault::Stall { select: port(&client), for_ms: None }).unwrap();
    client.sync().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(client.sync().await.is_empty());
    }
    assert!(sim.stats().connections[0].outbox.dropped > 0);
    sim.fault(Fault::Heal { select: port(&client) }).unwrap();
    client.until("PRIVMSG").await;
}

/// The reverse: chat, but no PONGs; after the time, both.
#[tokio::test]
async fn pongs_stall_while_chat_flows() {
    let sim = Sim::start(chatty(500.0)).await.unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    sim.fault(Fault::MutePongs { select: Select::All, for_ms: None }).unwrap();
    client.send("PING :muted").await;
    for _ in 0..100 {
        assert!(!client.line().await.contains("PONG"));
    }
    sim.fault(Fault::Heal { select: Select::All }).unwrap();
    client.sync().await;
}

/// RECONNECT comes first, the end after the grace; meanwhile the connection works.
#[tokio::test]
async fn reconnect_leaves_time_to_move() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    sim.fault(Fault::Reconnect { select: Select::All, grace_ms: 200 }).unwrap();
    assert_eq!(client.line().await, ":tmi.twitch.tv RECONNECT");
    assert!(client.sync().await.is_empty());
    let mut replacement = Client::anonymous(&sim, 2).await;
    assert_eq!(client.next().await, Err(End::Fin));
    assert!(replacement.sync().await.is_empty());
    assert_eq!(sim.stats().connections[0].close_reason.as_deref(), Some("reconnect"));
}

/// New connections are reset for a while, then welcome again; open ones are not touched.
#[tokio::test]
async fn connections_are_refused_for_a_while() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut open = Client::anonymous(&sim, 1).await;
    sim.fault(Fault::Refuse { for_ms: 60_000 }).unwrap();
    let mut refused = Client::connect(sim.addresses().irc).await;
    assert_eq!(refused.next().await, Err(End::Reset));
    assert!(open.sync().await.is_empty());
    sim.fault(Fault::Heal { select: Select::All }).unwrap();
    Client::anonymous(&sim, 2).await;
    assert_eq!(sim.stats().refused, 1);
    sim.fault(Fault::Refuse { for_ms: 50 }).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    Client::anonymous(&sim, 3).await;
}

/// Of several rooms only some are joined, and nothing is said about the rest.
#[tokio::test]
async fn joins_succeed_in_part() {
    let channels = (1..=6).map(|n| format!("room{n}")).collect();
    let sim = Sim::start(SimConfig { channels, ..quiet() }).await.unwrap();
    sim.fault(Fault::PartialJoin { select: Select::All, every: 3, for_ms: None }).unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    client.send("JOIN #room1,#room2,#room3,#room4,#room5,#room6").await;
    client.sync().await;
    assert_eq!(sim.stats().connections[0].channels, ["room1", "room2", "room4", "room5"]);
    sim.fault(Fault::Heal { select: Select::All }).unwrap();
    client.join(&["room3", "room6"]).await;
}

/// A login that expired shows only when the client connects again.
#[tokio::test]
async fn an_expired_login_shows_at_the_next_connect() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::account(&sim, "someone").await;
    sim.fault(Fault::ExpireLogin { nick: "someone".into() }).unwrap();
    assert!(client.sync().await.is_empty());
    let mut again = Client::connect(sim.addresses().irc).await;
    again.send("PASS oauth:token").await;
    again.send("NICK someone").await;
    assert_eq!(again.line().await, ":tmi.twitch.tv NOTICE * :Login authentication failed");
    assert_eq!(again.next().await, Err(End::Fin));
    Client::account(&sim, "another").await;
}

/// A ban parts the client from the room; its chat ends there.
#[tokio::test]
async fn a_ban_parts() {
    let sim = Sim::start(chatty(500.0)).await.unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    client.until("PRIVMSG").await;
    assert_eq!(sim.fault(Fault::Part { select: Select::All, channel: "room".into() }).unwrap().matched, 1);
    client.until(":justinfan1!justinfan1@justinfan1.tmi.twitch.tv PART #room").await;
    assert!(client.sync().await.is_empty());
    assert!(matches!(
        sim.fault(Fault::Part { select: Select::All, channel: "other".into() }),
        Err(SimError::Config(problem)) if problem.contains("other")
    ));
}

/// A room can be closed while somebody is in it, in each of Twitch's ways, and is open again when that is over.
#[tokio::test]
async fn a_room_is_closed_for_a_while() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    let channel = || "room".to_owned();
    for (how, answer) in [
        (Closed::Suspended, Some("msg_channel_suspended")),
        (Closed::Banned, Some("msg_banned")),
        (Closed::Renamed, None),
    ] {
        assert_eq!(sim.fault(Fault::CloseRoom { channel: channel(), how, for_ms: None }).unwrap().matched, 1);
        client.until(" PART #room").await;
        client.send("JOIN #room").await;
        let said = client.sync().await;
        assert_eq!(said.len(), usize::from(answer.is_some()), "{said:?}");
        assert!(answer.is_none_or(|id| said[0].contains(id)), "{said:?}");
        sim.fault(Fault::OpenRoom { channel: channel() }).unwrap();
        client.join(&["room"]).await;
    }
    // The end of one closure does not end the next one.
    sim.fault(Fault::CloseRoom { channel: channel(), how: Closed::Renamed, for_ms: Some(50) }).unwrap();
    sim.fault(Fault::CloseRoom { channel: channel(), how: Closed::Banned, for_ms: None }).unwrap();
    client.sync().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.send("JOIN #room").await;
    assert!(client.sync().await[0].contains("msg_banned"));
    sim.fault(Fault::Heal { select: Select::All }).unwrap();
    client.join(&["room"]).await;
    assert!(sim.fault(Fault::OpenRoom { channel: "other".into() }).is_err());
}

/// The clock of the simulated Twitch can be wrong.
#[tokio::test]
async fn the_clock_is_skewed() {
    let sim = Sim::start(chatty(500.0)).await.unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    sim.fault(Fault::ClockSkew { ms: -3_600_000 }).unwrap();
    client.sync().await;
    let line = client.until("PRIVMSG").await.pop().unwrap();
    let sent: i64 = line.split("tmi-sent-ts=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((3_590_000..=3_660_000).contains(&(now - sent)), "{}", now - sent);
    let sent_at = sim.ledger().lines().last().unwrap().sent_at_ms;
    assert!((now - sent_at).abs() < 60_000, "the ledger keeps the true time");
}

/// Planned faults: those without a time hold for the first connection, the others come after the chat began.
#[tokio::test]
async fn planned_faults_happen() {
    let now =
        TimedFault { after: None, fault: Fault::MutePongs { select: Select::Nick("justinfan1".into()), for_ms: None } };
    let later = TimedFault {
        after: Some(Duration::from_millis(100)),
        fault: Fault::Cut { select: Select::All, how: Cut::Fin },
    };
    let faults = vec![now, later];
    let sim = Sim::start(SimConfig { faults, start: StartRule::WhenClients(1), ..chatty(100.0) }).await.unwrap();
    let mut client = Client::anonymous(&sim, 1).await;
    client.send("PING :muted").await;
    client.join(&["room"]).await;
    let (lines, end) = client.rest().await;
    assert!(!lines.is_empty() && !lines.iter().any(|line| String::from_utf8_lossy(line).contains("PONG")));
    assert_eq!(end, End::Fin);
    assert_eq!(sim.stats().faults.len(), 2);
    let bad =
        TimedFault { after: None, fault: Fault::Drop { select: Select::All, every: 0, offset: None, for_ms: None } };
    assert!(Sim::start(SimConfig { faults: vec![bad], ..quiet() }).await.is_err());
}
