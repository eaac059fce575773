//! The stream: made where it is missing, used where it is there, refused with the remedy where it does not fit.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use futures_util::future::join_all;
use tenure_bus::{Batch, Bus, BusErrorKind};
use tenure_bus_nats::NatsBus;
use tenure_test_servers::NatsOptions;

use crate::{FINALIZE, SUBJECT, config, jetstream, message, messages, numbers_on, open, publish, server, wait_until};

const MINUTE: Duration = Duration::from_secs(60);

/// A missing stream is made: limits, files, both subjects, a window of four times the ring's age; by many at once too.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_stream_is_made_once() {
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let url = format!("{}?max_age=7d&max_bytes=50MB", server.url());
        let buses = join_all((0..8).map(|_| open(&url))).await;
        assert!(buses.iter().all(|bus| bus.info().dedupe == Some(40 * MINUTE)));
        let mut stream = jetstream(&server.url()).await.get_stream("TENURE").await.unwrap();
        let made = stream.info().await.unwrap().config.clone();
        assert_eq!(made.subjects, [SUBJECT, FINALIZE]);
        assert_eq!((made.retention, made.storage), (RetentionPolicy::Limits, StorageType::File));
        assert_eq!((made.max_age, made.max_bytes), (7 * 24 * 60 * MINUTE, 50_000_000));
        assert_eq!((made.duplicate_window, made.num_replicas), (40 * MINUTE, 1));
    }
}

/// A window that is too short is refused with the command that mends it; once mended so, the stream is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_window_is_refused_with_its_remedy() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let context = jetstream(&server.url()).await;
    let mut stream = Config {
        name: "CHAT".into(),
        subjects: vec!["test.>".into()],
        duplicate_window: 2 * MINUTE,
        ..Config::default()
    };
    context.create_stream(stream.clone()).await.unwrap();
    let error = NatsBus::open(config(&server.url())).await.unwrap_err();
    assert_eq!(error.kind(), BusErrorKind::Invalid);
    let text = error.to_string();
    assert!(text.ends_with("nats stream edit CHAT --dupe-window=40m") && text.contains("for 2m only"), "{text}");
    stream.duplicate_window = 40 * MINUTE;
    context.update_stream(stream).await.unwrap();
    let bus = open(&server.url()).await;
    publish(&bus, &messages(0..3)).await.unwrap();
    // It covers both subjects, so no stream was made beside it.
    assert!(context.get_stream("TENURE").await.is_err());
    assert_eq!(context.get_stream("CHAT").await.unwrap().info().await.unwrap().state.messages, 3);
}

/// A stream that removes what others still need is refused, with the reason.
#[tokio::test(flavor = "multi_thread")]
async fn other_retentions_are_refused_with_the_reason() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let context = jetstream(&server.url()).await;
    for (retention, word) in [(RetentionPolicy::WorkQueue, "workqueue"), (RetentionPolicy::Interest, "interest")] {
        let stream = Config {
            name: "JOBS".into(),
            subjects: vec![SUBJECT.into()],
            retention,
            duplicate_window: 60 * MINUTE,
            ..Config::default()
        };
        context.create_stream(stream).await.unwrap();
        let error = NatsBus::open(config(&server.url())).await.unwrap_err();
        assert!(error.kind() == BusErrorKind::Invalid && error.to_string().contains(word), "{error}");
        context.delete_stream("JOBS").await.unwrap();
    }
}

/// What a stream of another name covers goes there; only the rest goes into the named one.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_another_name_is_used() {
    let Some(server) = server("2.15", &NatsOptions::default()) else { return };
    let context = jetstream(&server.url()).await;
    let other = Config {
        name: "OTHER".into(),
        subjects: vec![SUBJECT.into()],
        duplicate_window: 60 * MINUTE,
        ..Config::default()
    };
    context.create_stream(other).await.unwrap();
    let bus = open(&format!("{}?stream=MINE", server.url())).await;
    assert_eq!(bus.info().dedupe, Some(40 * MINUTE), "the shorter of the two");
    publish(&bus, &messages(0..3)).await.unwrap();
    let one = [message(9, 1)];
    bus.publish(&Batch { subject: FINALIZE, fence: None, valid_until: None, messages: &one }).await.unwrap();
    for (name, count) in [("OTHER", 3), ("MINE", 1)] {
        assert_eq!(context.get_stream(name).await.unwrap().info().await.unwrap().state.messages, count, "{name}");
    }
}

/// A subject that somebody gives to another stream goes on there: acknowledgements of that one count once it was looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_goes_on_in_the_stream_that_it_was_given_to() {
    let Some(server) = server("2.15", &NatsOptions::default()) else { return };
    let bus = open(&server.url()).await;
    publish(&bus, &messages(0..3)).await.unwrap();
    let context = jetstream(&server.url()).await;
    context.delete_stream("TENURE").await.unwrap();
    let other = Config {
        name: "OTHER".into(),
        subjects: vec!["test.>".into()],
        duplicate_window: 60 * MINUTE,
        ..Config::default()
    };
    wait_until("the other stream is made", || async { context.create_stream(other.clone()).await.is_ok() }).await;
    for batch in [3..6, 6..9] {
        assert!(publish(&bus, &messages(batch)).await.unwrap().iter().all(Result::is_ok));
    }
    assert_eq!(numbers_on(&server.url(), "OTHER").await, (3..9).collect::<Vec<_>>());
}

/// An installation with another prefix gives the stream its subjects, and changes nothing else of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_prefix_joins_the_stream() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let first = open(&format!("{}?max_bytes=50MB", server.url())).await;
    let mut second = config(&server.url());
    second.subjects = vec!["two.ingress".into(), "two.finalize".into()];
    let second = NatsBus::open(second).await.unwrap();
    publish(&first, &messages(0..2)).await.unwrap();
    let batch = messages(5..7);
    second.publish(&Batch { subject: "two.ingress", fence: None, valid_until: None, messages: &batch }).await.unwrap();
    let mut stream = jetstream(&server.url()).await.get_stream("TENURE").await.unwrap();
    let info = stream.info().await.unwrap();
    assert_eq!(info.config.subjects, [SUBJECT, FINALIZE, "two.ingress", "two.finalize"]);
    assert_eq!((info.config.max_bytes, info.state.messages), (50_000_000, 4));
}

/// Who only reads makes nothing: a mistyped prefix is an error.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_makes_no_stream() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let error = NatsBus::open_existing(config(&server.url())).await.unwrap_err();
    assert!(error.kind() == BusErrorKind::Unavailable && error.to_string().contains(SUBJECT), "{error}");
    assert!(jetstream(&server.url()).await.get_stream("TENURE").await.is_err());
}
