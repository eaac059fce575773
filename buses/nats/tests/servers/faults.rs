//! Faults of servers and streams: nothing is lost, nothing is doubled, every call comes back in bounded time.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy};
use futures_util::StreamExt;
use tenure_bus::{Bus, BusErrorKind, FollowFrom, Published, Refusal};
use tenure_bus_nats::NatsBus;
use tenure_test_servers::{NatsCluster, NatsOptions};
use tokio::time::{Instant, timeout};

use crate::{
    SUBJECT, config, jetstream, message, messages, numbers_on, open, program, publish, publish_until_taken, server,
};

/// The longest that a call may take, with what a slow machine adds.
const BOUND: Duration = Duration::from_secs(20);

fn all_taken(answers: &[Result<Published, Refusal>]) -> bool {
    answers.iter().all(Result::is_ok)
}

/// A server that is killed in the middle of batches and started again: each message is there once.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_and_doubles_nothing() {
    for version in ["2.9", "2.15"] {
        // What the server acknowledged must have reached its file before the kill, not the disk: a kill loses no page.
        let Some(mut server) = server(version, &NatsOptions::default()) else { return };
        let bus = open(&server.url()).await;
        let publisher = {
            let bus = bus.clone();
            tokio::spawn(async move {
                for batch in 0..60 {
                    let answers = publish_until_taken(&bus, &messages(batch * 500..(batch + 1) * 500)).await;
                    assert!(all_taken(&answers));
                }
            })
        };
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            server.server().kill();
            server.start_again().unwrap();
        }
        publisher.await.unwrap();
        let mut numbers = numbers_on(&server.url(), "TENURE").await;
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..30_000), "{version}: {} on the stream", numbers.len());
    }
}

/// A server that comes back as it was a while ago, as after a loss of power, has lost what it had acknowledged since: that
/// is published once more, behind what comes first. A stream that somebody made anew is given nothing of the old one.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stream_has_lost_is_published_again() {
    for version in ["2.9", "2.10", "2.15"] {
        let Some(mut server) = server(version, &NatsOptions::default()) else { return };
        let bus = open(&server.url()).await;
        publish(&bus, &messages(0..50)).await.unwrap();
        server.server().terminate();
        let (store, kept) = (server.store().to_owned(), server.store().with_extension("kept"));
        copy(&store, &kept);
        server.start_again().unwrap();
        assert!(all_taken(&publish_until_taken(&bus, &messages(50..100)).await));
        assert!(all_taken(&publish_until_taken(&bus, &messages(90..110)).await));
        server.server().kill();
        std::fs::remove_dir_all(&store).unwrap();
        copy(&kept, &store);
        server.start_again().unwrap();
        assert_eq!(numbers_on(&server.url(), "TENURE").await.len(), 50);
        assert!(all_taken(&publish_until_taken(&bus, &messages(110..120)).await));
        let there = numbers_on(&server.url(), "TENURE").await;
        assert!(there.iter().copied().eq((0..50).chain(110..120).chain(50..110)), "{version}: {there:?}");
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// A follower goes on over a restart of the server, in order, without a message too many or too few.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_over_a_restart() {
    let Some(mut server) = server("2.9", &NatsOptions::default()) else { return };
    let bus = open(&server.url()).await;
    let mut stream = bus.follow(SUBJECT, FollowFrom::Start).await.unwrap();
    for round in 0..3 {
        let batch = messages(round * 100..(round + 1) * 100);
        publish_until_taken(&bus, &batch).await;
        for (sent, pos) in batch.iter().zip(round * 100 + 1..) {
            let followed = timeout(BOUND, stream.next()).await.unwrap().unwrap().unwrap();
            assert_eq!((followed.pos, followed.id), (pos, sent.id));
        }
        server.server().kill();
        server.start_again().unwrap();
    }
}

/// A stream that is removed ends its followers with an error, and is made again by the next publication.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_stream_ends_followers_and_is_made_again() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let bus = open(&server.url()).await;
    publish(&bus, &messages(0..5)).await.unwrap();
    let mut stream = bus.follow(SUBJECT, FollowFrom::After(5)).await.unwrap();
    jetstream(&server.url()).await.delete_stream("TENURE").await.unwrap();
    let ended = timeout(BOUND, stream.next()).await.unwrap().unwrap().unwrap_err();
    assert!(ended.to_string().contains("no stream covers"), "{ended}");
    assert!(timeout(BOUND, stream.next()).await.unwrap().is_none());
    assert!(all_taken(&publish_until_taken(&bus, &messages(5..10)).await));
    assert_eq!(numbers_on(&server.url(), "TENURE").await, [5, 6, 7, 8, 9]);
}

/// A full stream fails the batch as a whole, for no message is to blame; once there is room the same batch is taken.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_is_unavailable_until_there_is_room() {
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let context = jetstream(&server.url()).await;
        let mut full = Config {
            name: "FULL".into(),
            subjects: vec!["test.>".into()],
            duplicate_window: Duration::from_secs(3600),
            max_messages: 100,
            discard: DiscardPolicy::New,
            ..Config::default()
        };
        context.create_stream(full.clone()).await.unwrap();
        let bus = open(&server.url()).await;
        let error = publish(&bus, &messages(0..150)).await.unwrap_err();
        assert!(error.kind() == BusErrorKind::Unavailable && error.to_string().contains("full"), "{error}");
        full.max_messages = 1000;
        context.update_stream(full).await.unwrap();
        let answers = publish(&bus, &messages(0..150)).await.unwrap();
        let stored = answers.iter().filter(|answer| matches!(answer, Ok(Published::Stored(_)))).count();
        assert_eq!((stored, answers.len()), (50, 150));
        assert_eq!(numbers_on(&server.url(), "FULL").await, (0..150).collect::<Vec<_>>());
    }
}

/// An account that is used up is unavailable too.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_unavailable() {
    let options = NatsOptions { max_file_store: Some(100_000), ..NatsOptions::default() };
    let Some(server) = server("2.9", &options) else { return };
    let bus = open(&server.url()).await;
    let error = publish(&bus, &messages(0..500)).await.unwrap_err();
    assert_eq!(error.kind(), BusErrorKind::Unavailable, "{error}");
}

/// A message that is too large for the server, or for the stream, is refused; those around it are stored.
#[tokio::test(flavor = "multi_thread")]
async fn too_large_is_refused_alone() {
    let options = NatsOptions { config: "max_payload: 20000".into(), ..NatsOptions::default() };
    let Some(server) = server("2.9", &options) else { return };
    let context = jetstream(&server.url()).await;
    let stream = Config {
        name: "SMALL".into(),
        subjects: vec!["test.>".into()],
        duplicate_window: Duration::from_secs(3600),
        max_message_size: 5_000,
        ..Config::default()
    };
    context.create_stream(stream).await.unwrap();
    let bus = open(&server.url()).await;
    let batch = [message(0, 10), message(1, 20_000), message(2, 10), message(3, 6_000), message(4, 10)];
    let answers = publish(&bus, &batch).await.unwrap();
    assert!(matches!(&answers[1], Err(Refusal::Rejected(why)) if why.contains("max_payload")), "{answers:?}");
    assert!(matches!(&answers[3], Err(Refusal::Rejected(_))), "{answers:?}");
    assert_eq!(numbers_on(&server.url(), "SMALL").await, [0, 2, 4]);
}

/// A user who may not publish there is told so, with the remedy.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_said() {
    let config_lines = "accounts { A { jetstream: enabled, users: [ { user: all, password: p }, { user: few, password: p, \
        permissions: { publish: { allow: [\"$JS.API.>\"] }, subscribe: { allow: [\"_INBOX.>\"] } } } ] } }";
    let options = NatsOptions { config: config_lines.into(), ..NatsOptions::default() };
    let Some(server) = server("2.9", &options) else { return };
    open(&server.url().replace("nats://", "nats://all:p@")).await;
    let bus = open(&server.url().replace("nats://", "nats://few:p@")).await;
    let error = publish(&bus, &messages(0..3)).await.unwrap_err();
    assert_eq!(error.kind(), BusErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains(SUBJECT) && error.to_string().contains("allow this user"), "{error}");
}

/// Servers that answer nobody: the call comes back in bounded time, and goes through once they do again.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_is_bounded() {
    let Some(mut server) = server("2.9", &NatsOptions::default()) else { return };
    let mut settings = config(&server.url());
    settings.client.timeout = Duration::from_secs(3);
    let bus = NatsBus::open(settings.clone()).await.unwrap();
    server.server().stop();
    let began = Instant::now();
    let batch = messages(0..300);
    let (one, other, followed, opened) = tokio::join!(
        publish(&bus, &batch),
        publish(&bus, &batch),
        bus.follow(SUBJECT, FollowFrom::Start),
        NatsBus::open(settings)
    );
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    for error in [one.err(), other.err(), followed.err(), opened.err()] {
        assert_eq!(error.unwrap().kind(), BusErrorKind::Unavailable);
    }
    server.server().resume();
    assert!(all_taken(&publish_until_taken(&bus, &messages(0..300)).await));
    assert_eq!(numbers_on(&server.url(), "TENURE").await.len(), 300);
}

/// What happens to the leader of a stream.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Stopped,
    Killed,
}

/// The stream's leader of three suffers this, and then the next one that: publishing goes on after each election, and each
/// message is on the stream once and is followed.
async fn leader_is_lost(version: &str, fates: &[Fate]) {
    let Some(program) = program(version) else { return };
    let mut cluster = NatsCluster::start(&program, &NatsOptions::default()).unwrap();
    let url = cluster.url();
    let bus = open(&format!("{url}?replicas=3")).await;
    let mut followed = bus.follow(SUBJECT, FollowFrom::Start).await.unwrap();
    let mut published = 0;
    let mut batch = |count: u64| {
        let batch = messages(published..published + count);
        published += count;
        batch
    };
    assert!(all_taken(&publish_until_taken(&bus, &batch(300)).await));
    for fate in fates {
        let leader = leader(&url).await;
        let server = cluster.node(&leader).unwrap().server();
        match fate {
            Fate::Stopped => server.stop(),
            Fate::Killed => server.kill(),
        }
        let began = Instant::now();
        assert!(all_taken(&publish_until_taken(&bus, &batch(500)).await));
        println!("{version}: goes on {:?} after the leader was {fate:?}", began.elapsed());
        let node = cluster.node(&leader).unwrap();
        match fate {
            Fate::Stopped => node.server().resume(),
            Fate::Killed => node.start_again().unwrap(),
        }
        assert!(all_taken(&publish_until_taken(&bus, &batch(300)).await));
    }
    // A window that met the election may lie in another order; each message is there once all the same.
    let mut seen = BTreeSet::new();
    while (seen.len() as u64) < published {
        seen.insert(timeout(BOUND, followed.next()).await.unwrap().unwrap().unwrap().id);
    }
    assert!((0..published).all(|number| seen.contains(&message(number, 0).id)), "not each was seen");
    // Whoever leads answers for the stream, and may lead since a moment only: every replica has to be up to date.
    leader(&url).await;
    let mut numbers = numbers_on(&url, "TENURE").await;
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..published), "{version}: {} of {published} on the stream", numbers.len());
}

/// The name of the stream's leader, once it has one and each replica is up to date: one fault comes at a time.
pub(crate) async fn leader(url: &str) -> String {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(mut stream) = jetstream(url).await.get_stream("TENURE").await
            && let Ok(info) = stream.info().await
            && let Some(cluster) = &info.cluster
            && cluster.replicas.len() == 2
            && cluster.replicas.iter().all(|replica| replica.current && !replica.offline)
            && let Some(leader) = cluster.leader.clone()
        {
            return leader;
        }
        assert!(Instant::now() < deadline, "the stream has no leader");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// With Debian's version, a leader that is killed. One that was stopped and goes on has things removed there that another
/// one has acknowledged meanwhile, so that replicas are not to be trusted (`docs/buses.md`).
#[tokio::test(flavor = "multi_thread")]
async fn publishing_survives_the_loss_of_the_leader_2_9() {
    leader_is_lost("2.9", &[Fate::Killed]).await;
}

/// With the version between.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_survives_the_loss_of_the_leader_2_10() {
    leader_is_lost("2.10", &[Fate::Stopped, Fate::Killed]).await;
}

/// With the newest version.
#[tokio::test(flavor = "multi_thread")]
async fn publishing_survives_the_loss_of_the_leader_2_15() {
    leader_is_lost("2.15", &[Fate::Stopped, Fate::Killed]).await;
}
