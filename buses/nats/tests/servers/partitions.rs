//! Servers of a cluster that are cut off from their peers, but not from their clients. What of this every bus has to bear
//! is in the suite; here is what becomes of one that is followed by another, and comes back.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::{ConnectOptions, HeaderMap};
use futures_util::StreamExt;
use tenure_bus::{Bus, FollowFrom, Published};
use tenure_bus_nats::NatsBus;
use tenure_test_servers::{Cut, NatsCluster, NatsOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::faults::leader;
use crate::{SUBJECT, addresses, config, message, messages, numbers_on, open, program, publish, publish_until_taken};

/// The longest that a call may take, with what a slow machine adds.
const BOUND: Duration = Duration::from_secs(20);

/// A leader that was cut off has met ids that it could not store. Another one followed it, and it leads again: on 2.10 it
/// answers for those ids as if they were there, for as long as the duplicate window. They are stored all the same, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_cut_off_leader_has_met_is_stored_after_its_return() {
    for version in ["2.10", "2.15"] {
        let Some(program) = program(version) else { return };
        let mut cluster = NatsCluster::start(&program, &NatsOptions::default()).unwrap();
        let url = cluster.url();
        let bus = open(&format!("{url}?replicas=3")).await;
        publish(&bus, &messages(0..50)).await.unwrap();
        let first = leader(&url).await;
        let only = cluster.node(&first).unwrap().url();
        let client = ConnectOptions::new().ignore_discovered_servers().connect(&only).await.unwrap();
        client.flush().await.unwrap();
        let others: Vec<_> =
            cluster.nodes().iter().filter(|node| node.name() != first).map(|node| node.url()).collect();
        let beside = open(&format!("nats://{}", others.join(",").replace("nats://", ""))).await;
        let cut = cluster.cut_off(&first, Cut::Silent);
        for number in 50..150 {
            let message = message(number, 10);
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", message.id.to_string());
            client.publish_with_headers(SUBJECT, headers, message.body).await.unwrap();
        }
        client.flush().await.unwrap();
        // The others go on under another leader, and this one has to take over from them.
        publish_until_taken(&beside, &messages(200..250)).await;
        drop(cut);
        lead_again(&url, &first).await;
        let began = Instant::now();
        let answers = publish_until_taken(&bus, &(50..150).map(|number| message(number, 10)).collect::<Vec<_>>()).await;
        println!("{version}: stored {:?} after its return", began.elapsed());
        let stored = answers.iter().filter(|answer| matches!(answer, Ok(Published::Stored(_)))).count();
        assert!(began.elapsed() < BOUND && stored == 100, "{version}: {stored} stored after {:?}", began.elapsed());
        let mut numbers = numbers_on(&url, "TENURE").await;
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq((0..150).chain(200..250)), "{version}: {} on the stream", numbers.len());
    }
}

/// Has the stream led by the server of this name.
async fn lead_again(url: &str, name: &str) {
    let client = ConnectOptions::new().retry_on_initial_connect();
    let client = client.connect(addresses(url)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while leader(url).await != name {
        assert!(Instant::now() < deadline, "{name} does not lead again");
        let _ = client.request("$JS.API.STREAM.LEADER.STEPDOWN.TENURE", "".into()).await;
        sleep(Duration::from_millis(500)).await;
    }
}

/// Whoever starts while the first of its servers is cut off finds another one: to publish, and to follow.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_off_server_keeps_nobody_from_starting() {
    for version in ["2.9", "2.10", "2.15"] {
        let Some(program) = program(version) else { return };
        let cluster = NatsCluster::start(&program, &NatsOptions::default()).unwrap();
        let url = cluster.url();
        let first = open(&format!("{url}?replicas=3")).await;
        publish(&first, &messages(0..10)).await.unwrap();
        let leading = leader(&url).await;
        // One that follows the leader: it knows that it is cut off from the beginning.
        let at = (0..3).find(|index| format!("n{index}") != leading).unwrap();
        let mut settings = config(&url);
        settings.client.servers.rotate_left(at);
        let cut = cluster.cut_off(&format!("n{at}"), Cut::Silent);
        let began = Instant::now();
        // It may have led the cluster, which then elects first; whoever asks once more finds the others again.
        let mut stream = loop {
            let opened = match NatsBus::open(settings.clone()).await {
                Ok(bus) => bus.follow(SUBJECT, FollowFrom::Start).await,
                Err(error) => Err(error),
            };
            match opened {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < BOUND * 2, "{version}: {error}"),
            }
        };
        println!("{version}: started after {:?}", began.elapsed());
        // A stream whose leader was elected a moment ago may have them in another order.
        let mut seen = BTreeSet::new();
        while seen.len() < 10 {
            seen.insert(timeout(BOUND, stream.next()).await.unwrap().unwrap().unwrap().id);
        }
        assert!((0..10).all(|number| seen.contains(&message(number, 0).id)), "{version}: {seen:?}");
        drop(cut);
    }
}
