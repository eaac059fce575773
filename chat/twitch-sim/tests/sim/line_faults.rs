//! Faults of lines: split, odd, doubled, out of order, missing.

use std::collections::{HashMap, HashSet};

use tenure_twitch_sim::{Fault, OddLine, Select, Sim, SimConfig, Split, StartRule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, DEADLINE, chatty, quiet};

fn started(rate: f64, limit: u64, readers: usize) -> SimConfig {
    SimConfig { limit: Some(limit), start: StartRule::WhenClients(readers), ..chatty(rate) }
}

/// What a connection's ledger says was written to it.
async fn written(sim: Sim, connection: usize) -> Vec<u32> {
    sim.chat_over().await;
    assert!(sim.drained(DEADLINE).await);
    sim.shutdown().await.connections()[connection].written.clone()
}

/// Split writes reach the client in pieces, the cut at ever other offsets, and put together they are whole.
#[tokio::test]
async fn lines_arrive_in_pieces() {
    for how in [Split::Walking, Split::Pieces(37)] {
        let sim = Sim::start(started(200.0, 30, 1)).await.unwrap();
        let mut stream = TcpStream::connect(sim.addresses().irc).await.unwrap();
        let hello = b"CAP REQ :twitch.tv/tags twitch.tv/commands\r\nNICK justinfan1\r\nJOIN #room\r\n";
        sim.fault(Fault::Split { select: Select::All, how, pause_ms: 2, for_ms: None }).unwrap();
        stream.write_all(hello).await.unwrap();
        let end = tokio::spawn(async move {
            sim.chat_over().await;
            assert!(sim.drained(DEADLINE).await);
            sim.shutdown().await
        });
        let (mut all, mut ends) = (Vec::new(), HashSet::new());
        let mut pieces_within_lines = 0;
        loop {
            let mut buffer = [0; 4096];
            let read = timeout(DEADLINE, stream.read(&mut buffer)).await.unwrap().unwrap();
            if read == 0 {
                break;
            }
            all.extend_from_slice(&buffer[..read]);
            if !all.ends_with(b"\r\n") {
                pieces_within_lines += 1;
                let start = all.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                ends.insert(all.len() - start);
            }
        }
        drop(stream);
        let ledger = end.await.unwrap();
        for line in ledger.lines() {
            assert!(all.windows(line.raw.len()).any(|window| window == &line.raw[..]), "{how:?}: {line:?}");
        }
        assert!(pieces_within_lines >= 20, "{how:?}: {pieces_within_lines}");
        assert!(ends.len() >= 15, "{how:?}: {ends:?}");
    }
}

/// Odd lines arrive as odd as they were asked for, are in the ledger, and the next line is whole again.
#[tokio::test]
async fn odd_lines_arrive() {
    let sim = Sim::start(quiet()).await.unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    let odds = [
        OddLine::InvalidUtf8,
        OddLine::OverLong(20_000),
        OddLine::Nul,
        OddLine::UnknownCommand,
        OddLine::UnknownTag,
        OddLine::NoHash,
        OddLine::NoCommand,
    ];
    for line in odds {
        assert_eq!(sim.fault(Fault::Odd { channel: "room".into(), line }).unwrap().matched, 1);
        let received = client.next().await.unwrap();
        let text = String::from_utf8_lossy(&received);
        match line {
            OddLine::InvalidUtf8 => assert!(std::str::from_utf8(&received).is_err()),
            OddLine::OverLong(bytes) => assert_eq!(received.len(), bytes),
            OddLine::Nul => assert!(received.contains(&0)),
            OddLine::UnknownCommand => assert!(text.contains(" SIMTHING #room ")),
            OddLine::UnknownTag => assert!(text.starts_with("@+sim/odd=")),
            OddLine::NoHash => assert!(text.contains(" CLEARCHAT room ")),
            OddLine::NoCommand => assert!(text.starts_with('@') && !text.contains(' ')),
            other => panic!("{other:?} was not asked for"),
        }
        assert_eq!(sim.ledger().lines().last().unwrap().raw, received);
        assert!(client.sync().await.is_empty());
    }
    assert!(sim.fault(Fault::Odd { channel: "nowhere".into(), line: OddLine::Nul }).is_err());
    assert!(sim.fault(Fault::Odd { channel: "room".into(), line: OddLine::OverLong(usize::MAX) }).is_err());
}

/// Every fifth line twice, and in the ledger twice.
#[tokio::test]
async fn lines_are_doubled() {
    let sim = Sim::start(started(2_000.0, 100, 1)).await.unwrap();
    sim.fault(Fault::Duplicate { select: Select::All, every: 5, for_ms: None }).unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    let written = written(sim, 0).await;
    let mut times: HashMap<u32, u32> = HashMap::new();
    written.iter().for_each(|line| *times.entry(*line).or_default() += 1);
    assert!((0..100).all(|line| times[&line] == if line % 5 == 0 { 2 } else { 1 }));
    assert_eq!(client.rest().await.0.len(), 120);
}

/// Every fourth line after its successor, none missing; the last one comes although nothing follows it.
#[tokio::test]
async fn lines_change_places() {
    let sim = Sim::start(started(2_000.0, 100, 1)).await.unwrap();
    sim.fault(Fault::Reorder { select: Select::All, every: 4, for_ms: None }).unwrap();
    let mut client = Client::reader(&sim, 1, &["room"]).await;
    let written = written(sim, 0).await;
    assert_eq!(written.len(), 100);
    assert_eq!(written.iter().collect::<HashSet<_>>().len(), 100);
    assert_eq!(client.rest().await.0.len(), 100);
    let inverted = written.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(inverted >= 20, "{inverted}");
}

/// Each connection misses its own lines and no others; a connection that comes later misses some too.
#[tokio::test]
async fn lines_are_missing_for_some() {
    let sim = Sim::start(started(2_000.0, 100, 2)).await.unwrap();
    sim.fault(Fault::Drop { select: Select::All, every: 10, offset: None, for_ms: None }).unwrap();
    let mut first = Client::reader(&sim, 1, &["room"]).await;
    let mut second = Client::reader(&sim, 2, &["room"]).await;
    sim.chat_over().await;
    assert!(sim.drained(DEADLINE).await);
    let ledger = sim.shutdown().await;
    for (at, client) in [&mut first, &mut second].into_iter().enumerate() {
        let missed = at as u32 + 1;
        let expected: Vec<_> = (0..100).filter(|line| line % 10 != missed).collect();
        assert_eq!(ledger.connections()[at].written, expected);
        assert_eq!(client.rest().await.0.len(), expected.len());
    }
}
