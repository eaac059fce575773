//! The side door.

use std::net::SocketAddr;

use tenure_twitch_sim::{Ledger, Sim, SimConfig, StartRule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, DEADLINE, End, chatty};

async fn request(addr: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let length = body.len();
    // HTTP/1.0: the answer comes whole and ends with the connection.
    let head = format!("{method} {path} HTTP/1.0\r\nhost: sim\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let status = std::str::from_utf8(&answer[9..12]).unwrap().parse().unwrap();
    (status, answer[head_end + 4..].to_vec())
}

/// Stats say what each client was sent, the ledger reads back as it is, and faults come in by POST.
#[tokio::test]
async fn the_side_door_works() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let start = StartRule::WhenClients(1);
    let config = SimConfig { http_listen: Some(any), limit: Some(300), start, ..chatty(3_000.0) };
    let sim = Sim::start(config).await.unwrap();
    let http = sim.addresses().http.unwrap();
    assert_eq!(request(http, "GET", "/healthz", "").await, (200, b"ok\n".to_vec()));
    let mut client = Client::reader(&sim, 5, &["room"]).await;
    sim.chat_over().await;
    assert!(sim.drained(DEADLINE).await);
    client.sync().await;

    let (status, stats) = request(http, "GET", "/stats", "").await;
    let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
    assert_eq!(status, 200);
    assert_eq!(stats["chat"]["state"], "finished");
    assert_eq!(stats["connections"][0]["nick"], "justinfan5");
    assert_eq!(stats["connections"][0]["lines_written"], 300);
    assert_eq!(stats["connections"][0]["channels"][0], "room");

    let (status, rows) = request(http, "GET", "/ledger", "").await;
    assert_eq!(status, 200);
    let ledger = Ledger::read_jsonl(&rows[..]).unwrap();
    assert_eq!(ledger.lines(), sim.ledger().lines());
    assert_eq!(ledger.counts(), sim.ledger().counts());
    assert_eq!(ledger.delivered_to(299), [1]);

    let (status, problem) = request(http, "POST", "/fault", r#"{"fault":"explode"}"#).await;
    assert_eq!(status, 400);
    assert!(String::from_utf8_lossy(&problem).contains("explode"));
    let cut = r#"{"fault":"cut","select":{"nick":"justinfan5"},"how":"fin"}"#;
    assert_eq!(request(http, "POST", "/fault", cut).await, (200, br#"{"matched":1}"#.to_vec()));
    assert_eq!(client.next().await, Err(End::Fin));
    assert_eq!(request(http, "GET", "/ca.pem", "").await.0, 404);
    let (status, chat) = request(http, "POST", "/stop", "").await;
    assert_eq!(
        (status, serde_json::from_slice::<serde_json::Value>(&chat).unwrap()["lines"].as_u64()),
        (200, Some(300))
    );
}
