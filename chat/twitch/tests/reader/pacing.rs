//! Budgets over several connections and readers, counted where the server counts: when JOINs and logins arrive.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tenure_twitch::{ReaderConfig, ReaderEvent};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::server::{Client, Peer, Server};

/// When things arrived, over all connections of a server.
#[derive(Clone, Default)]
struct Arrivals(Arc<Mutex<Vec<Instant>>>);

impl Arrivals {
    /// One more; says how many that makes within the last window.
    fn one_more(&self, window: Duration) -> usize {
        let mut all = self.0.lock().unwrap();
        let now = Instant::now();
        all.push(now);
        all.iter().rev().take_while(|at| now - **at < window).count()
    }

    fn most(&self, window: Duration) -> usize {
        let all = self.0.lock().unwrap();
        let within = |from: &Instant| all.iter().filter(|at| *at >= from && **at - *from < window).count();
        all.iter().map(within).max().unwrap_or(0)
    }
}

fn numbered(channels: usize) -> Vec<String> {
    (0..channels).map(|number| format!("c{number}")).collect()
}

/// A quick configuration for this server, with so many channels to a connection.
fn config(server: &Server, channels: usize, per_connection: usize) -> ReaderConfig {
    let channels = numbered(channels);
    let mut config = server.config(&channels.iter().map(String::as_str).collect::<Vec<_>>());
    config.channels_per_connection = per_connection;
    config
}

async fn until_joined(client: &mut Client, channels: usize) {
    for _ in 0..channels {
        client.until(|event| matches!(event, ReaderEvent::Joined { .. }).then_some(())).await;
    }
}

/// Answers every JOIN of the connection, and takes no line for a while now and then, so that what comes meanwhile arrives
/// together. Ends with the connection, or where a JOIN is one too many.
async fn answer_in_bursts(mut peer: Peer, arrivals: Arrivals, window: Duration, most: usize, pauses: [u64; 5]) {
    peer.log_in().await;
    for turn in 0.. {
        tokio::time::sleep(Duration::from_millis(pauses[turn % pauses.len()])).await;
        let Some(line) = peer.try_line().await else { return };
        let Some(channel) = line.strip_prefix("JOIN ") else { continue };
        if arrivals.one_more(window) > most {
            return;
        }
        peer.send(&format!("@slow=0 :tmi.twitch.tv ROOMSTATE {channel}")).await;
    }
}

/// A network that holds JOINs up and lets them go together does not make more of them arrive than the server takes.
#[tokio::test]
async fn joins_that_bunch_up_keep_to_the_budget() {
    const WINDOW: Duration = Duration::from_millis(500);
    let server = Server::new(None).await;
    let mut config = config(&server, 24, 8);
    config.join_budget = (5, WINDOW);
    let mut client = Client::start(config);
    let arrivals = Arrivals::default();
    for pauses in [[0, 450, 0, 0, 80], [300, 0, 0, 490, 0], [0, 0, 30, 0, 200]] {
        tokio::spawn(answer_in_bursts(server.accept().await, arrivals.clone(), WINDOW, usize::MAX, pauses));
    }
    until_joined(&mut client, 24).await;
    assert!(arrivals.most(WINDOW) <= 5, "{} JOINs arrived within {WINDOW:?}", arrivals.most(WINDOW));
}

/// A server that takes fewer JOINs than was thought, and closes the connection without a word: the reader is slower from
/// then on, until all channels are joined.
#[tokio::test]
async fn a_close_for_the_budget_makes_the_reader_slower() {
    const WINDOW: Duration = Duration::from_millis(300);
    let server = Server::new(None).await;
    let mut config = config(&server, 12, 12);
    config.join_budget = (8, WINDOW);
    let mut client = Client::start(config);
    let arrivals = Arrivals::default();
    let joined = async {
        while client.reader.status().joined_channels().len() < 12 {
            client.event().await;
        }
    };
    let mut connections = 0;
    let serve = async {
        loop {
            answer_in_bursts(server.accept().await, arrivals.clone(), WINDOW, 3, [0; 5]).await;
            connections += 1;
        }
    };
    tokio::select! {
        () = joined => {}
        () = serve => {}
    }
    assert!((1..=4).contains(&connections), "{connections} connections were closed");
    assert_eq!(client.reader.status().overruns, connections);
}

/// Two readers of one account share its budgets, and so does one that begins after another has ended.
#[tokio::test]
async fn readers_of_one_account_share_its_budgets() {
    const WINDOW: Duration = Duration::from_millis(1_000);
    let server = Server::new(None).await;
    let mut config = config(&server, 3, 3);
    config.join_budget = (4, WINDOW);
    config.budgets = Some(config.budgets());
    let arrivals = Arrivals::default();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::start(config.clone());
        tokio::spawn(answer_in_bursts(server.accept().await, arrivals.clone(), WINDOW, usize::MAX, [0; 5]));
        if clients.is_empty() {
            until_joined(&mut client, 3).await;
            client.reader.stop().await;
            clients.push(None);
        } else {
            clients.push(Some(client));
        }
    }
    for client in clients.iter_mut().flatten() {
        until_joined(client, 3).await;
    }
    assert!(arrivals.most(WINDOW) <= 4, "{} JOINs arrived within {WINDOW:?}", arrivals.most(WINDOW));
}

/// Logins are counted when they are sent, not when their connection was begun: handshakes that take long and end together
/// let no more of them through. A connection that never came so far costs nothing.
#[tokio::test]
async fn logins_after_slow_handshakes_keep_to_the_budget() {
    const WINDOW: Duration = Duration::from_millis(500);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channels = numbered(9);
    let config = ReaderConfig {
        url: format!("ws://{}/", listener.local_addr().unwrap()).parse().unwrap(),
        channels,
        channels_per_connection: 1,
        auth_budget: (3, WINDOW),
        backoff_initial: Duration::from_millis(5),
        backoff_max: Duration::from_millis(10),
        ..ReaderConfig::default()
    };
    let mut client = Client::start(config);
    let arrivals = Arrivals::default();
    let open = Instant::now() + Duration::from_millis(1_600);
    let counted = arrivals.clone();
    let server = async move {
        for number in 0.. {
            let (tcp, _) = listener.accept().await.unwrap();
            if number == 1 {
                continue;
            }
            let arrivals = counted.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(open).await;
                let mut messages = accept_async(tcp).await.unwrap();
                while let Some(Ok(message)) = messages.next().await {
                    let line = message.to_text().unwrap().to_owned();
                    let answer = match line.split_once(' ') {
                        Some(("NICK", nick)) => {
                            arrivals.one_more(WINDOW);
                            format!(":t CAP * ACK :twitch.tv/tags twitch.tv/commands\r\n:t 001 {nick} :Welcome\r\n")
                        }
                        Some(("JOIN", channel)) => format!("@slow=0 :t ROOMSTATE {channel}\r\n"),
                        _ => continue,
                    };
                    messages.send(Message::text(answer)).await.unwrap();
                }
            });
        }
    };
    tokio::select! {
        () = until_joined(&mut client, 9) => {}
        () = server => {}
    }
    assert!(arrivals.most(WINDOW) <= 3, "{} logins arrived within {WINDOW:?}", arrivals.most(WINDOW));
}

/// Three connections share one budget of JOINs: nine channels at three per 600 ms take two windows.
#[tokio::test]
async fn joins_of_all_connections_keep_to_one_budget() {
    let server = Server::new(None).await;
    let channels: Vec<String> = (0..9).map(|number| format!("c{number}")).collect();
    let mut config = server.config(&channels.iter().map(String::as_str).collect::<Vec<_>>());
    config.channels_per_connection = 3;
    config.join_budget = (3, Duration::from_millis(600));
    let start = Instant::now();
    let client = Client::start(config);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let mut peer = server.accept().await;
        tasks.spawn(async move {
            peer.log_in().await;
            let mut joins = Vec::new();
            for _ in 0..3 {
                let channel = peer.confirm_join().await;
                joins.push((start.elapsed(), channel));
            }
            (joins, peer)
        });
    }
    let peers = tasks.join_all().await;
    let mut joins: Vec<_> = peers.iter().flat_map(|(joins, _)| joins.clone()).collect();
    joins.sort();
    let mut names: Vec<_> = joins.iter().map(|(_, channel)| channel.trim_start_matches('#').to_owned()).collect();
    names.sort();
    assert_eq!(names, channels);
    // What was sent within a window can arrive later, never sooner, so the n-th JOIN is here not before its window.
    for (at, (arrived, channel)) in joins.iter().enumerate() {
        let window = Duration::from_millis(600) * u32::try_from(at / 3).unwrap();
        assert!(*arrived >= window, "JOIN number {at} ({channel}) came after {arrived:?}");
    }
    assert_eq!(client.reader.status().connections.len(), 3);
}

/// Logins keep to their budget too, however fast the server drops them.
#[tokio::test]
async fn logins_keep_to_their_budget() {
    let server = Server::new(None).await;
    let mut config = server.config(&["room"]);
    config.backoff_initial = Duration::from_millis(1);
    config.backoff_max = Duration::from_millis(2);
    config.auth_budget = (3, Duration::from_millis(600));
    let start = Instant::now();
    let _client = Client::start(config);
    for login in 0..7 {
        drop(server.accept().await);
        let window = Duration::from_millis(600) * (login / 3);
        assert!(start.elapsed() >= window, "login number {login} came after {:?}", start.elapsed());
    }
}
