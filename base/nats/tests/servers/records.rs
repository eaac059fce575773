//! What a store of records needs: compare and swap on the last message of a subject, and reads that see it.

use serde_json::{Value, json};
use tenure_base_nats::{
    Acknowledgement, Acknowledger, Connection, EXPECTED_LAST_SUBJECT_SEQUENCE, Headers, JetStream, error_code,
};
use tenure_test_servers::NatsOptions;

use crate::{connect, server, soon};

const STREAM: &str = "RECORDS";

async fn make_stream(connection: &mut Connection) {
    let config = json!({
        "name": STREAM, "subjects": ["records.>"], "storage": "file", "retention": "limits", "num_replicas": 1,
        "max_msgs_per_subject": 1, "allow_direct": true, "deny_delete": false
    });
    let mut js = JetStream { connection, domain: None, deadline: soon() };
    js.create_stream(STREAM, &config).await.unwrap().unwrap();
}

/// Writes where the last message of the subject has this stream sequence.
async fn write(connection: &mut Connection, subject: &str, expected: u64, body: &str) -> Acknowledgement {
    let mut headers = Headers::new();
    headers.push(EXPECTED_LAST_SUBJECT_SEQUENCE, &[&expected.to_string()]);
    let answer = connection.request(subject, Some(&headers), body.as_bytes(), soon()).await.unwrap();
    Acknowledgement::read(&answer, Acknowledger { stream: Some(STREAM), domain: None })
}

/// Reads the last message of the subject from the stream's leader: its stream sequence.
async fn read(connection: &mut Connection, subject: &str) -> Option<u64> {
    let mut js = JetStream { connection, domain: None, deadline: soon() };
    let found = js.call::<Value>(&format!("STREAM.MSG.GET.{STREAM}"), &json!({ "last_by_subj": subject })).await;
    match found.unwrap() {
        Ok(found) => found["message"]["seq"].as_u64(),
        Err(error) => {
            assert_eq!(error.err_code, error_code::MESSAGE_NOT_FOUND, "{error:?}");
            None
        }
    }
}

/// Of two writers that saw the same message one is refused, by a number that says why, and nothing is stored for it. A
/// tombstone is such a write too.
#[tokio::test]
async fn a_write_on_an_outdated_sequence_is_refused() {
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let mut connection = connect(&server.url()).await;
        make_stream(&mut connection).await;
        assert_eq!(read(&mut connection, "records.a").await, None);
        assert_eq!(write(&mut connection, "records.a", 0, "1").await, Acknowledgement::Stored(1));
        for expected in [0, 7] {
            let refused = write(&mut connection, "records.a", expected, "2").await;
            let why = matches!(&refused, Acknowledgement::Refused(error) if error.err_code == error_code::WRONG_LAST_SEQUENCE);
            assert!(why, "{version}: {refused:?}");
        }
        assert_eq!(write(&mut connection, "records.b", 0, "other").await, Acknowledgement::Stored(2));
        assert_eq!(write(&mut connection, "records.a", 1, "").await, Acknowledgement::Stored(3));
        assert_eq!(read(&mut connection, "records.a").await, Some(3));
    }
}

/// Any server that has the stream answers a direct get: the message as it is, with its stream sequence in a header.
#[tokio::test]
async fn a_direct_get_answers_with_the_message_itself() {
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let mut connection = connect(&server.url()).await;
        make_stream(&mut connection).await;
        assert_eq!(write(&mut connection, "records.a", 0, "body").await, Acknowledgement::Stored(1));
        let js = JetStream { connection: &mut connection, domain: None, deadline: soon() };
        let there = js.api_subject(&format!("DIRECT.GET.{STREAM}.records.a"));
        let missing = js.api_subject(&format!("DIRECT.GET.{STREAM}.records.b"));
        let found = connection.request(&there, None, b"", soon()).await.unwrap();
        assert_eq!((found.header("Nats-Sequence"), &found.payload[..]), (Some("1"), &b"body"[..]), "{version}");
        assert_eq!(connection.request(&missing, None, b"", soon()).await.unwrap().status(), Some(404), "{version}");
    }
}

/// Purging a subject removes its messages and no others.
#[tokio::test]
async fn a_purge_removes_one_subject() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let mut connection = connect(&server.url()).await;
    make_stream(&mut connection).await;
    for (subject, sequence) in [("records.a", 1), ("records.b", 2)] {
        assert_eq!(write(&mut connection, subject, 0, "x").await, Acknowledgement::Stored(sequence));
    }
    let mut js = JetStream { connection: &mut connection, domain: None, deadline: soon() };
    let purged = js.call::<Value>(&format!("STREAM.PURGE.{STREAM}"), &json!({ "filter": "records.a" })).await;
    assert_eq!(purged.unwrap().unwrap()["purged"], 1);
    assert_eq!(read(&mut connection, "records.a").await, None);
    assert_eq!(read(&mut connection, "records.b").await, Some(2));
}

/// An operation that the API refuses says so with its number.
#[tokio::test]
async fn a_missing_stream_is_told_by_its_number() {
    let Some(server) = server("2.15", &NatsOptions::default()) else { return };
    let mut connection = connect(&server.url()).await;
    let mut js = JetStream { connection: &mut connection, domain: None, deadline: soon() };
    let error = js.stream("NONE").await.unwrap().unwrap_err();
    assert_eq!((error.code, error.err_code), (404, error_code::STREAM_NOT_FOUND));
}
