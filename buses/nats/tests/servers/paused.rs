//! A publisher that is stopped in the middle of batches, for longer than its right lasts, and continued.

use std::env;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tenure_base_time::now;
use tenure_bus::{Batch, Bus};
use tenure_test_servers::NatsOptions;
use tokio::time::sleep;

use crate::{SUBJECT, jetstream, message, open, server, wait_until};

const URL: &str = "TENURE_BUS_TEST_URL";
const VALIDITY: &str = "TENURE_BUS_TEST_VALIDITY_MS";
/// How long each right lasts; renewed with every batch.
const RIGHT: Duration = Duration::from_millis(400);
const ROUNDS: u64 = 12;

/// Stopped under load past the end of its right and continued, a publisher puts nothing more on the stream.
#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_stopped_writes_nothing_late() {
    for version in ["2.9", "2.15"] {
        let Some(late) = late_messages(version, Some(RIGHT)).await else { return };
        println!("{version}: {late:?} messages came after the end, in {ROUNDS} rounds");
        assert!(late.iter().all(|count| *count == 0), "{version}: {late:?}");
    }
}

/// The same without the moment: what the pause left in its buffers comes late. This is what the test above can see.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_moment_it_would() {
    let Some(late) = late_messages("2.9", None).await else { return };
    println!("{late:?} messages came after the end, in {ROUNDS} rounds");
    assert!(late.iter().filter(|count| **count > 0).count() >= 2, "{late:?}");
}

/// How many messages each stopped publisher puts on the stream after it was continued.
async fn late_messages(version: &str, right: Option<Duration>) -> Option<Vec<u64>> {
    let server = server(version, &NatsOptions::default())?;
    let bus = open(&server.url()).await;
    let context = jetstream(&server.url()).await;
    let last = async || context.get_stream("TENURE").await.unwrap().info().await.unwrap().state.last_sequence;
    let mut late = Vec::new();
    for round in 0..ROUNDS {
        let before = last().await;
        let mut child = Publisher::start(&server.url(), right, round);
        wait_until("the publisher's messages", || async { last().await > before + 2_000 + round * 97 }).await;
        child.signal(Signal::STOP);
        // Longer than any right that it can have.
        sleep(RIGHT * 2).await;
        let at_the_end = last().await;
        child.signal(Signal::CONT);
        child.ended().await;
        late.push(last().await - at_the_end);
    }
    drop(bus);
    Some(late)
}

struct Publisher(Child);

impl Publisher {
    fn start(url: &str, right: Option<Duration>, round: u64) -> Publisher {
        let child = Command::new(env::current_exe().unwrap())
            .args(["paused::publisher_process", "--exact", "--nocapture"])
            .env(URL, url)
            .env(VALIDITY, right.map_or_else(|| "none".to_owned(), |right| right.as_millis().to_string()))
            .env("TENURE_BUS_TEST_ROUND", round.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn();
        Publisher(child.unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap(), signal).unwrap();
    }

    async fn ended(&mut self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "the publisher does not end");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The publishing process that the other tests start; it does nothing in an ordinary test run.
///
/// It publishes as fast as it can. Its right is renewed before each batch, as long as the one before has not ended, and
/// it ends when it finds itself without. Without rights it does the same, and only tells the bus nothing of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publisher_process() {
    let Ok(url) = env::var(URL) else { return };
    let right: Option<Duration> = env::var(VALIDITY).unwrap().parse().ok().map(Duration::from_millis);
    let round: u64 = env::var("TENURE_BUS_TEST_ROUND").unwrap().parse().unwrap();
    let bus = open(&url).await;
    let mut until = now() + RIGHT;
    for batch in 0.. {
        let at = now();
        if at >= until {
            return;
        }
        until = at + RIGHT;
        let first = (round << 32) + batch * 1000;
        let messages: Vec<_> = (first..first + 1000).map(|number| message(number, 1500)).collect();
        let valid_until = right.map(|_| until);
        let _ = bus.publish(&Batch { subject: SUBJECT, fence: None, valid_until, messages: &messages }).await;
    }
}
