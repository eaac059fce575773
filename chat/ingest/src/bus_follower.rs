//! Follows the ids that appear on the bus; subscribes again whenever the stream ends, and can be paused.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, ReadyChunks};
use tenure_bus::{Bus, BusError, FollowFrom, FollowStream, Followed};

/// The most items taken at once.
const CHUNK: usize = 512;
/// How long after a stream has ended, or could not be had, the next one is asked for.
const PAUSE: Duration = Duration::from_millis(200);

/// What appears on one subject, for as long as it is wanted.
pub(crate) struct BusFollower {
    bus: Arc<dyn Bus>,
    subject: String,
    /// From where it follows when it is resumed.
    from: FollowFrom,
    stream: Option<BoxStream<'static, Result<Vec<Followed>, BusError>>>,
}

impl BusFollower {
    /// A paused follower, which begins with what is new when it is first resumed.
    pub(crate) fn new(bus: Arc<dyn Bus>, subject: String) -> BusFollower {
        BusFollower { bus, subject, from: FollowFrom::End, stream: None }
    }

    /// Follows from now on, from where it was paused.
    pub(crate) fn resume(&mut self) {
        let BusFollower { bus, subject, from, stream } = self;
        stream.get_or_insert_with(|| follow(Arc::clone(bus), subject.clone(), *from));
    }

    /// Stops following; a later [`BusFollower::resume`] begins behind this position.
    pub(crate) fn pause(&mut self, pos: u64) {
        self.stream = None;
        self.from = FollowFrom::After(pos);
    }

    /// What has appeared; a failure is answered once, then following begins again. Never returns while paused.
    pub(crate) async fn next(&mut self) -> Result<Vec<Followed>, BusError> {
        if let Some(stream) = &mut self.stream
            && let Some(appeared) = stream.next().await
        {
            return appeared;
        }
        std::future::pending().await
    }
}

/// The ids that appear on `subject`; it never ends.
///
/// The stream itself holds the subscription under way and the pause after a failure, so that a caller that drops the future
/// of one item neither restarts the former nor shortens the latter.
fn follow(bus: Arc<dyn Bus>, subject: String, from: FollowFrom) -> BoxStream<'static, Result<Vec<Followed>, BusError>> {
    let follower = Follower { bus, subject, from, stream: None, failed: false };
    stream::unfold(follower, |mut follower| async move {
        let appeared = follower.next().await;
        Some((appeared, follower))
    })
    .boxed()
}

struct Follower {
    bus: Arc<dyn Bus>,
    subject: String,
    from: FollowFrom,
    stream: Option<ReadyChunks<FollowStream>>,
    failed: bool,
}

impl Follower {
    async fn next(&mut self) -> Result<Vec<Followed>, BusError> {
        loop {
            if std::mem::take(&mut self.failed) {
                tokio::time::sleep(PAUSE).await;
            }
            let stream = match &mut self.stream {
                Some(stream) => stream,
                unsubscribed => match self.bus.follow_ids(&self.subject, self.from).await {
                    Ok(stream) => unsubscribed.insert(stream.ready_chunks(CHUNK)),
                    Err(error) => {
                        self.failed = true;
                        return Err(error);
                    }
                },
            };
            let Some(chunk) = stream.next().await else {
                (self.stream, self.failed) = (None, true);
                continue;
            };
            let mut appeared = Vec::with_capacity(chunk.len());
            for item in chunk {
                match item {
                    Ok(followed) => {
                        self.from = FollowFrom::After(followed.pos);
                        appeared.push(followed);
                    }
                    Err(error) => {
                        (self.stream, self.failed) = (None, true);
                        if appeared.is_empty() {
                            return Err(error);
                        }
                        break;
                    }
                }
            }
            return Ok(appeared);
        }
    }
}
