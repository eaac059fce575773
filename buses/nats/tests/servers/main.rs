//! What the NATS bus does with real servers: streams, faults, and a publisher that is stopped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod faults;
mod headers;
mod lossy;
mod partitions;
mod paused;
mod remade;
mod streams;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use tenure_bus::{Batch, Bus, BusError, Message, Published, Refusal};
use tenure_bus_nats::{NatsBus, NatsBusConfig};
use tenure_envelope::EnvelopeId;
use tenure_test_servers::{Nats, NatsOptions, nats_program, or_skip};
use tokio::time::{Instant, sleep};

const SUBJECT: &str = "test.internal.ingress.v1";
const FINALIZE: &str = "test.internal.finalize.v1";

/// The server's program, or a line that says why this test is skipped.
fn program(version: &str) -> Option<PathBuf> {
    or_skip(&format!("bus-nats servers {version}"), true, nats_program(version))
}

fn server(version: &str, options: &NatsOptions) -> Option<Nats> {
    program(version).map(|program| Nats::start(&program, options).unwrap())
}

fn config(url: &str) -> NatsBusConfig {
    let mut config = NatsBusConfig::parse(url).unwrap();
    config.subjects = vec![SUBJECT.to_owned(), FINALIZE.to_owned()];
    config
}

async fn open(url: &str) -> NatsBus {
    NatsBus::open(config(url)).await.unwrap()
}

fn message(number: u64, bytes: usize) -> Message {
    let mut id = [0x5a; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let body = Bytes::from(format!("{{\"number\":{number},\"fill\":\"{}\"}}", "x".repeat(bytes)));
    Message { id: EnvelopeId(id), kind: "external.chat.message.v1", channel: "room".into(), body }
}

fn messages(numbers: std::ops::Range<u64>) -> Vec<Message> {
    numbers.map(|number| message(number, 500)).collect()
}

async fn publish(bus: &NatsBus, messages: &[Message]) -> Result<Vec<Result<Published, Refusal>>, BusError> {
    bus.publish(&Batch { subject: SUBJECT, fence: None, valid_until: None, messages }).await
}

/// Publishes the batch again until the bus has taken it, as the pipeline does.
async fn publish_until_taken(bus: &NatsBus, messages: &[Message]) -> Vec<Result<Published, Refusal>> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match publish(bus, messages).await {
            Ok(answers) => return answers,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// The servers of a URL, as the independent client takes them.
fn addresses(url: &str) -> Vec<async_nats::ServerAddr> {
    url.trim_start_matches("nats://").split(',').map(|host| host.parse().unwrap()).collect()
}

/// What an independent client sees.
async fn jetstream(url: &str) -> async_nats::jetstream::Context {
    async_nats::jetstream::new(
        async_nats::ConnectOptions::new().retry_on_initial_connect().connect(addresses(url)).await.unwrap(),
    )
}

/// The numbers on the stream, in its order.
async fn numbers_on(url: &str, stream: &str) -> Vec<u64> {
    let mut stream = jetstream(url).await.get_stream(stream).await.unwrap();
    let state = stream.info().await.unwrap().state.clone();
    let mut numbers = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        numbers.push(body["number"].as_u64().unwrap());
    }
    numbers
}

async fn wait_until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}: has not come within 60 s");
        sleep(Duration::from_millis(5)).await;
    }
}
