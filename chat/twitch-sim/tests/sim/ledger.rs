//! The chat, the ledger and the checker agree with what clients really received.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use tenure_twitch_sim::{Checker, Fault, Origin, Select, Sim, SimConfig, StartRule};
use tokio::time::timeout;

use crate::client::{Client, DEADLINE, chatty, eventually, quiet};

async fn drain(sim: &Sim) {
    sim.chat_over().await;
    assert!(sim.drained(DEADLINE).await);
}

/// Each client got just the lines that the ledger says were written to it, in that order and byte for byte.
#[tokio::test]
async fn the_ledger_agrees_with_the_clients() {
    let config = SimConfig {
        channels: SimConfig::numbered_channels(3),
        rate: 3_000.0,
        limit: Some(2_000),
        start: StartRule::WhenClients(1),
        ..quiet()
    };
    let sim = Sim::start(config).await.unwrap();
    let mut partly = Client::reader(&sim, 1, &["sim_channel_002"]).await;
    let mut whole = Client::reader(&sim, 2, &["sim_channel_001", "sim_channel_002", "sim_channel_003"]).await;
    drain(&sim).await;
    let ledger = sim.shutdown().await;
    assert_eq!(ledger.counts().lines, 2_000);
    assert_eq!(ledger.counts().unread, 0);
    for (at, client) in [&mut partly, &mut whole].into_iter().enumerate() {
        let received = client.rest().await.0;
        let connection = &ledger.connections()[at];
        assert_eq!(connection.flushed, connection.written.len());
        let written: Vec<_> =
            connection.written.iter().map(|line| ledger.lines()[*line as usize].raw.to_vec()).collect();
        assert!(written.len() > 200);
        assert_eq!(received.len(), written.len());
        assert!(received == written, "the bytes differ");
        assert_eq!(connection.close_reason.as_deref(), Some("shutdown"));
    }
    let of_second = ledger.connections()[0].written.iter().copied().collect::<HashSet<_>>();
    for line in ledger.lines() {
        let second = &*line.channel == "sim_channel_002";
        assert_eq!(ledger.delivered_to(line.index).len(), if second { 2 } else { 1 });
        assert_eq!(of_second.contains(&line.index), second);
    }
}

/// The same seed gives two simulators the same chat: ids, texts and rooms, whatever the listeners do.
#[tokio::test]
async fn a_seed_gives_the_same_chat() {
    let mut runs = Vec::new();
    for readers in 0..2 {
        let config = SimConfig {
            channels: SimConfig::numbered_channels(5),
            rate: 5_000.0,
            seed: 99,
            limit: Some(1_000),
            start: StartRule::WhenClients(readers),
            ..quiet()
        };
        let sim = Sim::start(config).await.unwrap();
        let rooms = SimConfig::numbered_channels(5);
        let rooms: Vec<_> = rooms.iter().map(String::as_str).collect();
        let _reader = if readers > 0 { Some(Client::reader(&sim, 1, &rooms).await) } else { None };
        sim.chat_over().await;
        let ledger = sim.shutdown().await;
        let lines = ledger.lines().iter().map(|line| {
            let raw = String::from_utf8(line.raw.to_vec()).unwrap();
            let at = raw.find("tmi-sent-ts=").unwrap_or(raw.len());
            let end = raw[at..].find([';', ' ']).map_or(raw.len(), |end| at + end);
            (line.channel.to_string(), format!("{}{}", &raw[..at], &raw[end..]))
        });
        runs.push(lines.collect::<Vec<_>>());
    }
    assert_eq!(runs[0].len(), 1_000);
    assert!(runs[0] == runs[1]);
}

/// Chat begins when every room has its readers, not before.
#[tokio::test]
async fn chat_waits_for_its_readers() {
    let channels = vec!["one".into(), "two".into()];
    let config = SimConfig { channels, start: StartRule::WhenClients(2), limit: Some(10), ..chatty(1_000.0) };
    let sim = Sim::start(config).await.unwrap();
    let mut first = Client::reader(&sim, 1, &["one", "two"]).await;
    let _second = Client::reader(&sim, 2, &["one"]).await;
    assert!(first.silent_for(Duration::from_millis(100)).await);
    assert!(sim.ledger().lines().is_empty());
    // Two connections may share the rooms of one reader between them.
    let _third = Client::reader(&sim, 3, &["two"]).await;
    timeout(DEADLINE, drain(&sim)).await.unwrap();
    assert!(sim.ledger().lines().iter().all(|line| sim.ledger().delivered_to(line.index).len() == 2));
}

/// Replayed lines arrive once, in order and byte for byte, in the rooms that the file names.
#[tokio::test]
async fn a_file_is_replayed_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines.txt");
    let lines: [&[u8]; 4] = [
        b"@id=1;b=2;a=1 :u!u@u PRIVMSG #one :trailing space ",
        b"@id=2 :u!u@u PRIVMSG #one bare",
        b"@id=3 :u!u@u PRIVMSG #one :\xff\xfe",
        b"@tmi-sent-ts=1 :tmi.twitch.tv CLEARCHAT #One u",
    ];
    let mut file = lines.join(&b"\r\n"[..]);
    file.extend_from_slice(b"\nPING :no room\n");
    std::fs::write(&path, file).unwrap();
    let start = StartRule::WhenClients(1);
    let config = SimConfig { channels: vec![], replay: Some(path), start, ..chatty(500.0) };
    let sim = Sim::start(config).await.unwrap();
    let mut reader = Client::reader(&sim, 1, &["one"]).await;
    for line in lines {
        assert_eq!(reader.next().await.unwrap(), line);
    }
    drain(&sim).await;
    assert_eq!(sim.stats().chat.replay_skipped, 1);
    assert!(sim.ledger().lines().iter().all(|line| line.origin == Origin::Replayed));
}

/// Captured chat of a busy room goes through unharmed.
#[tokio::test]
async fn captured_chat_is_replayed() {
    let corpora = std::env::var_os("TENURE_CORPORA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora"), PathBuf::from);
    let path = corpora.join("chatterino2/recentmessages-nymn.lines.txt");
    if !path.exists() {
        println!("SKIPPED: captured_chat_is_replayed: no captured lines; set TENURE_CORPORA to the folder of corpora");
        return;
    }
    let content = std::fs::read(&path).unwrap();
    let expected: Vec<_> = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let start = StartRule::WhenClients(1);
    let config = SimConfig { channels: vec![], replay: Some(path), start, ..chatty(20_000.0) };
    let sim = Sim::start(config).await.unwrap();
    let mut reader = Client::reader(&sim, 1, &["nymn"]).await;
    for line in &expected {
        assert_eq!(&reader.next().await.unwrap(), line);
    }
    drain(&sim).await;
    let ledger = sim.shutdown().await;
    let mut checker = Checker::new(&ledger);
    expected.iter().for_each(|line| checker.raw_line(line));
    let verdict = checker.verdict();
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(verdict.published, 800);
}

/// Two readers that miss different lines: the union of what they read is clean, one alone is short of just its own.
#[tokio::test]
async fn the_checker_finds_what_one_reader_missed() {
    let config = SimConfig { start: StartRule::WhenClients(2), limit: Some(1_000), ..chatty(5_000.0) };
    let sim = Sim::start(config).await.unwrap();
    sim.fault(Fault::Drop { select: Select::All, every: 7, offset: None, for_ms: None }).unwrap();
    let mut first = Client::reader(&sim, 1, &["room"]).await;
    let mut second = Client::reader(&sim, 2, &["room"]).await;
    drain(&sim).await;
    let ledger = sim.shutdown().await;
    let (first, second) = (first.rest().await.0, second.rest().await.0);
    let judge = |lines: &[Vec<u8>]| {
        let mut checker = Checker::new(&ledger);
        lines.iter().for_each(|line| checker.raw_line(line));
        checker.verdict()
    };
    let alone = judge(&first);
    let missed = ledger.lines().iter().filter(|line| line.index % 7 == 1).filter(|line| {
        let raw = String::from_utf8_lossy(&line.raw);
        !raw.contains(" ROOMSTATE ")
    });
    assert_eq!(alone.lost.count as usize, missed.count());
    assert!(alone.lost.first.iter().all(|line| line % 7 == 1));
    let missing: Vec<_> = second.iter().filter(|line| !first.contains(line)).cloned().collect();
    let union = judge(&[first.clone(), missing].concat());
    assert!(union.is_clean(), "{union:?}");
    assert_eq!(union.sent, union.published);
    let both = judge(&[first, second].concat());
    assert!(both.doubled.count > 500 && both.lost.count == 0);
}

/// A reader that does not read fills its queue and is closed; the ledger shows what its socket took.
#[tokio::test]
async fn a_slow_reader_is_closed() {
    let config = SimConfig { queue_bytes: 2_000_000, start: StartRule::WhenClients(2), ..chatty(10_000.0) };
    let sim = Sim::start(config).await.unwrap();
    let _slow = Client::reader(&sim, 1, &["room"]).await;
    let mut healthy = Client::reader(&sim, 2, &["room"]).await;
    let reading = tokio::spawn(async move { while healthy.next().await.is_ok() {} });
    let reason = || sim.stats().connections[0].close_reason.clone();
    eventually("the slow reader is closed", || reason().as_deref() == Some("slow_reader")).await;
    assert!(sim.stats().connections[1].close_reason.is_none());
    assert!(sim.stats().connections[0].outbox.queued_bytes == 0);
    sim.stop_chat().await;
    let ledger = sim.shutdown().await;
    assert!(ledger.connections()[0].written.len() < ledger.counts().lines);
    timeout(DEADLINE, reading).await.unwrap().unwrap();
}

/// A full ledger ends the chat and says so, rather than forgetting or growing.
#[tokio::test]
async fn a_full_ledger_ends_the_chat() {
    let sim = Sim::start(SimConfig { ledger_bytes: 100_000, ..chatty(10_000.0) }).await.unwrap();
    timeout(DEADLINE, sim.chat_over()).await.unwrap();
    let stats = sim.stats();
    assert!(stats.chat.ledger_full && stats.chat.ledger_bytes <= 100_000, "{:?}", stats.chat);
    assert!(sim.ledger().counts().lines > 50);
}
