//! Streams that are removed, made anew or emptied while somebody publishes and follows: positions begin again, and everybody
//! goes on all the same.

use std::time::Duration;

use async_nats::jetstream::stream::Config;
use futures_util::StreamExt;
use tenure_bus::{Bus, BusErrorKind, FollowFrom, Followed};
use tenure_bus_nats::NatsBus;
use tenure_test_servers::{Nats, NatsOptions};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    SUBJECT, jetstream, message, messages, numbers_on, open, publish, publish_until_taken, server, wait_until,
};

const BOUND: Duration = Duration::from_secs(30);

/// Who follows, and asks again behind what it saw last wherever that ends, as the pipeline does.
struct Reader {
    bus: NatsBus,
    from: FollowFrom,
    stream: Option<tenure_bus::FollowStream>,
}

impl Reader {
    fn new(bus: &NatsBus, from: FollowFrom) -> Reader {
        Reader { bus: bus.clone(), from, stream: None }
    }

    async fn next(&mut self) -> Followed {
        let deadline = Instant::now() + BOUND;
        loop {
            assert!(Instant::now() < deadline, "nothing has come within {BOUND:?}");
            let Some(stream) = &mut self.stream else {
                self.stream = self.bus.follow(SUBJECT, self.from).await.ok();
                sleep(Duration::from_millis(10)).await;
                continue;
            };
            match timeout(BOUND, stream.next()).await.expect("nothing has come") {
                Some(Ok(followed)) => {
                    self.from = FollowFrom::After(followed.pos);
                    return followed;
                }
                _ => self.stream = None,
            }
        }
    }

    /// The next messages are these, the first of them at `first`.
    async fn sees(&mut self, numbers: std::ops::Range<u64>, first: u64) {
        for (number, pos) in numbers.zip(first..) {
            let followed = self.next().await;
            assert_eq!((followed.pos, followed.id), (pos, message(number, 0).id));
        }
    }
}

/// Removes the stream, and makes it again with the same settings but for the window.
async fn remake(server: &Nats, window: Option<Duration>) {
    let context = jetstream(&server.url()).await;
    let mut stream = context.get_stream("TENURE").await.unwrap();
    let config = stream.info().await.unwrap().config.clone();
    context.delete_stream("TENURE").await.unwrap();
    let duplicate_window = window.unwrap_or(config.duplicate_window);
    let config = Config { duplicate_window, ..config };
    // A server that has removed a stream a moment ago may refuse to make one of that name yet, or, where it is slow, make one
    // of the files that it has not removed: that is no new stream, and goes on where the old one ended.
    wait_until("the stream is made anew", || async {
        let Ok(made) = context.create_stream(config.clone()).await else { return false };
        let is_new = made.cached_info().state.last_sequence == 0;
        if !is_new {
            context.delete_stream("TENURE").await.unwrap();
        }
        is_new
    })
    .await;
}

/// A stream that is made anew while it is followed is followed from its beginning, whether it is shorter than what was
/// seen of the old one, or has grown longer before anybody looked.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_made_anew_is_followed_from_its_beginning() {
    for version in ["2.9", "2.15"] {
        for count in [3, 120] {
            let Some(server) = server(version, &NatsOptions::default()) else { return };
            let bus = open(&server.url()).await;
            publish(&bus, &messages(0..50)).await.unwrap();
            let mut reader = Reader::new(&bus, FollowFrom::Start);
            reader.sees(0..50, 1).await;
            remake(&server, None).await;
            publish_until_taken(&bus, &messages(100..100 + count)).await;
            reader.sees(100..100 + count, 1).await;
            publish(&bus, &messages(500..503)).await.unwrap();
            reader.sees(500..503, count + 1).await;
        }
    }
}

/// The same where the follower had met no stream at all, and asks again only when the new one has grown beyond its position.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_again_begins_with_the_new_stream() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    let bus = open(&server.url()).await;
    publish(&bus, &messages(0..50)).await.unwrap();
    let mut reader = Reader::new(&bus, FollowFrom::Start);
    reader.sees(0..50, 1).await;
    jetstream(&server.url()).await.delete_stream("TENURE").await.unwrap();
    let gone = timeout(BOUND, reader.stream.take().unwrap().next()).await.unwrap().unwrap().unwrap_err();
    assert!(gone.to_string().contains("no stream covers"), "{gone}");
    publish_until_taken(&bus, &messages(100..180)).await;
    reader.sees(100..180, 1).await;
}

/// Who begins behind a position that the stream has not reached begins at the stream's beginning: positions were given out
/// anew. Behind its last one, and behind any before, nothing is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_from_another_stream_is_the_beginning() {
    let Some(server) = server("2.9", &NatsOptions::default()) else { return };
    publish(&open(&server.url()).await, &messages(0..5)).await.unwrap();
    for (pos, first) in [(5, 6), (50, 1), (2, 3)] {
        let bus = open(&server.url()).await;
        let mut reader = Reader::new(&bus, FollowFrom::After(pos));
        let number = 10 + pos;
        let publishing = async {
            sleep(Duration::from_millis(200)).await;
            publish(&bus, &[message(number, 10)]).await.unwrap()
        };
        let (followed, _) = tokio::join!(reader.next(), publishing);
        assert_eq!(followed.pos, first);
    }
}

/// A stream that is emptied keeps its positions: following goes on behind them.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_stream_goes_on() {
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let bus = open(&server.url()).await;
        publish(&bus, &messages(0..50)).await.unwrap();
        let mut reader = Reader::new(&bus, FollowFrom::Start);
        reader.sees(0..50, 1).await;
        let stream = jetstream(&server.url()).await.get_stream("TENURE").await.unwrap();
        stream.purge().await.unwrap();
        publish(&bus, &messages(50..60)).await.unwrap();
        reader.sees(50..60, 51).await;
        assert_eq!(numbers_on(&server.url(), "TENURE").await, (50..60).collect::<Vec<_>>());
    }
}

/// A stream that somebody makes anew with a window that is too short is found out by its positions: the publisher says how
/// to mend it, and goes on once that is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_made_anew_is_checked_again() {
    for version in ["2.9", "2.15"] {
        let Some(server) = server(version, &NatsOptions::default()) else { return };
        let bus = open(&server.url()).await;
        publish(&bus, &messages(0..50)).await.unwrap();
        remake(&server, None).await;
        for batch in 0..3 {
            publish(&bus, &messages(batch * 10..batch * 10 + 10)).await.unwrap();
        }
        remake(&server, Some(Duration::from_secs(60))).await;
        publish(&bus, &messages(30..40)).await.unwrap();
        let error = publish(&bus, &messages(40..50)).await.unwrap_err();
        assert_eq!(error.kind(), BusErrorKind::Invalid);
        assert!(error.to_string().ends_with("nats stream edit TENURE --dupe-window=40m"), "{error}");
        let context = jetstream(&server.url()).await;
        let mut stream = context.get_stream("TENURE").await.unwrap();
        let config = stream.info().await.unwrap().config.clone();
        context.update_stream(Config { duplicate_window: Duration::from_secs(2_400), ..config }).await.unwrap();
        publish(&bus, &messages(40..50)).await.unwrap();
        assert_eq!(numbers_on(&server.url(), "TENURE").await, (30..50).collect::<Vec<_>>());
    }
}
