//! Subscriptions and consumers: what is published arrives in order, in bounded numbers, and what was lost is noticed.

use std::time::Duration;

use serde_json::json;
use tenure_base_nats::{Connection, JetStream, PullConsumer, Pulled};
use tenure_test_servers::NatsOptions;
use tokio::time::timeout;

use crate::{connect, server, soon};

/// Makes a stream over `things.>` and a consumer of all of it.
async fn consumer(connection: &mut Connection) -> PullConsumer {
    let mut js = JetStream { connection, domain: None, deadline: soon() };
    let stream = json!({ "name": "THINGS", "subjects": ["things.>"], "num_replicas": 1 });
    js.create_stream("THINGS", &stream).await.unwrap().unwrap();
    let config = json!({ "name": "c", "deliver_policy": "all", "ack_policy": "none", "filter_subject": "things.>" });
    js.create_consumer("THINGS", "c", "things.>", &config).await.unwrap().unwrap();
    PullConsumer::new(js.api_subject("CONSUMER.MSG.NEXT.THINGS.c"))
}

/// More messages than are asked for at once come whole and in order, and then heartbeats say that nothing is new.
#[tokio::test]
async fn a_consumer_delivers_in_order_and_then_its_heartbeats() {
    const COUNT: u64 = 1500;
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let (mut writer, mut reader) = (connect(&server.url()).await, connect(&server.url()).await);
        let mut consumer = consumer(&mut reader).await;
        for number in 1..=COUNT {
            writer.publish("things.x", None, None, number.to_string().as_bytes());
        }
        writer.request("things.last", None, b"", soon()).await.unwrap();
        for expected in 1..=COUNT {
            match consumer.pull(&mut reader).await.unwrap() {
                Pulled::Message { sequence, message } => {
                    assert_eq!((sequence, &message.payload[..]), (expected, expected.to_string().as_bytes()));
                }
                other => panic!("{version}: {other:?} in place of message {expected}"),
            }
        }
        assert!(matches!(consumer.pull(&mut reader).await.unwrap(), Pulled::Message { .. }));
        let next = timeout(Duration::from_secs(10), consumer.pull(&mut reader)).await.unwrap().unwrap();
        assert!(matches!(next, Pulled::Heartbeat), "{version}: {next:?}");
    }
}

/// A consumer that the server no longer has ends with an error in its time, and not never.
#[tokio::test]
async fn a_consumer_that_is_gone_is_noticed() {
    let Some(mut server) = server("2.9", &NatsOptions::default()) else { return };
    let mut connection = connect(&server.url()).await;
    let mut consumer = consumer(&mut connection).await;
    server.server().stop();
    let error = timeout(Duration::from_secs(20), consumer.pull(&mut connection)).await.unwrap().unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("nothing has come"), "{error}");
    server.server().resume();
}

/// A slow reader of a subscription fills no memory: what it has not taken stays with the system and the server, and comes in
/// order once it is taken.
#[tokio::test]
async fn a_slow_subscriber_keeps_little() {
    const COUNT: usize = 2000;
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let (mut writer, mut reader) = (connect(&server.url()).await, connect(&server.url()).await);
    reader.subscribe("plain.*");
    // An answer to a request behind it says that the server has read the subscription.
    let _ = reader.request("nobody.listens", None, b"", soon()).await.unwrap_err();
    let body = vec![b'x'; 1000];
    for _ in 0..COUNT {
        writer.publish("plain.a", None, None, &body);
    }
    let _ = writer.request("nobody.listens", None, b"", soon()).await.unwrap_err();
    for _ in 0..COUNT {
        let message = timeout(Duration::from_secs(10), reader.message()).await.unwrap().unwrap();
        assert_eq!((&message.subject[..], message.payload.len()), (&b"plain.a"[..], 1000));
    }
}
