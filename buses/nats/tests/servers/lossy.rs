//! A server that loses what a cluster can lose, a message on its way to the follower, a question while there is no leader,
//! its peers: played by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tenure_bus::{Bus, FollowFrom};
use tenure_bus_nats::NatsBus;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::{SUBJECT, config, message};

/// The last message is delivered and does not arrive, nothing follows it: the heartbeat says that there was one more, and
/// the follower asks for it again.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_message_is_asked_for_again_when_it_was_lost() {
    let (url, server) = start(0).await;
    let bus = NatsBus::open_existing(config(&url)).await.unwrap();
    let mut stream = bus.follow(SUBJECT, FollowFrom::Start).await.unwrap();
    for pos in [1, 2] {
        let seen = timeout(Duration::from_secs(15), stream.next()).await.expect("a lost message comes again");
        assert_eq!(seen.unwrap().unwrap().pos, pos);
    }
    server.abort();
}

/// A cluster without a leader hears no question; it is asked again until there is one.
#[tokio::test(flavor = "multi_thread")]
async fn questions_are_asked_again_until_they_are_heard() {
    let (url, server) = start(2).await;
    NatsBus::open_existing(config(&url)).await.expect("the third question is heard");
    server.abort();
}

/// A server that is cut off from its peers has nothing new, and says so for ever; that it knows of no leader of the stream
/// any more, or says nothing of it, is found out, and another server is followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_server_is_not_followed_for_ever() {
    let (url, server) = start_cut_off(3).await;
    let bus = NatsBus::open_existing(config(&url)).await.unwrap();
    let mut stream = bus.follow(SUBJECT, FollowFrom::Start).await.unwrap();
    let seen = timeout(Duration::from_secs(30), stream.next()).await.expect("another server has something new");
    assert_eq!(seen.unwrap().unwrap().pos, 1);
    server.abort();
}

/// Starts a server that hears none of so many questions, however often it is connected to.
async fn start(deaf: usize) -> (String, JoinHandle<()>) {
    play(deaf, 0).await
}

/// Starts a server that is cut off from its peers in its first so many connections, once it is followed.
async fn start_cut_off(connections: usize) -> (String, JoinHandle<()>) {
    play(0, connections).await
}

async fn play(deaf: usize, cut_off: usize) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let deaf = Arc::new(AtomicUsize::new(deaf));
    let server = tokio::spawn(async move {
        for number in 0.. {
            let (socket, _) = listener.accept().await.unwrap();
            let cut_off =
                (number < cut_off).then_some(if number % 2 == 0 { CutOff::Leaderless } else { CutOff::Silent });
            tokio::spawn(serve(socket, Arc::clone(&deaf), cut_off));
        }
    });
    (url, server)
}

/// What a server that is cut off says of the stream, once it is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CutOff {
    Silent,
    Leaderless,
}

/// Speaks what the bus needs, until the other side has gone.
async fn serve(socket: TcpStream, deaf: Arc<AtomicUsize>, cut_off: Option<CutOff>) -> Option<()> {
    let (reading, mut writing) = socket.into_split();
    let mut reading = BufReader::new(reading);
    writing.write_all(b"INFO {\"version\":\"2.9.10\",\"headers\":true,\"max_payload\":1048576}\r\n").await.ok()?;
    let (mut line, mut start, mut followed) = (String::new(), 0, false);
    loop {
        line.clear();
        if reading.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING"] => writing.write_all(b"PONG\r\n").await.ok()?,
            ["PUB", subject, reply, length] => {
                let mut body = vec![0; length.parse::<usize>().ok()? + 2];
                reading.read_exact(&mut body).await.ok()?;
                if deaf.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok() {
                    continue;
                }
                if cut_off.is_some() && subject.contains(".CONSUMER.MSG.NEXT.") {
                    followed = true;
                    sleep(Duration::from_millis(100)).await;
                    let news = "NATS/1.0 408 Request Timeout\r\n\r\n";
                    let text = format!("HMSG {reply} 1 {length} {length}\r\n{news}\r\n", length = news.len());
                    writing.write_all(text.as_bytes()).await.ok()?;
                    continue;
                }
                if followed && cut_off == Some(CutOff::Silent) {
                    continue;
                }
                let asked: Value = serde_json::from_slice(&body[..body.len() - 2]).ok()?;
                let answer = match *subject {
                    subject if subject.contains(".STREAM.NAMES") => json!({ "streams": ["T"] }),
                    subject if subject.contains(".STREAM.INFO.") => json!({
                        "config": { "name": "T", "retention": "limits", "duplicate_window": 2_400_000_000_000_u64 },
                        "state": { "last_seq": 2 },
                        "cluster": if followed { json!({ "name": "c" }) } else { json!({ "name": "c", "leader": "n" }) },
                    }),
                    subject if subject.contains(".CONSUMER.CREATE.") => {
                        start = asked["config"]["opt_start_seq"].as_u64()?;
                        json!({})
                    }
                    _ => {
                        deliver(&mut writing, reply, start).await?;
                        continue;
                    }
                };
                let answer = answer.to_string();
                let text = format!("MSG {reply} 1 {}\r\n{answer}\r\n", answer.len());
                writing.write_all(text.as_bytes()).await.ok()?;
            }
            _ => {}
        }
    }
}

/// Delivers the message at `start`, and of a second one only the news.
async fn deliver(writing: &mut (impl AsyncWriteExt + Unpin), reply: &str, start: u64) -> Option<()> {
    let body = json!({ "id": message(start, 0).id.to_string() }).to_string();
    let text = format!("MSG {SUBJECT} 1 $JS.ACK.T.c.1.{start}.1.0.0 {}\r\n{body}\r\n", body.len());
    writing.write_all(text.as_bytes()).await.ok()?;
    let delivered = 3 - start;
    loop {
        let news =
            format!("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: {delivered}\r\nNats-Last-Stream: 2\r\n\r\n");
        let text = format!("HMSG {reply} 1 {length} {length}\r\n{news}\r\n", length = news.len());
        writing.write_all(text.as_bytes()).await.ok()?;
        sleep(Duration::from_millis(500)).await;
    }
}
