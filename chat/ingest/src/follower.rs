//! Following the bus: the ids that appear there, subscribed again whenever the stream ends, at rest while nobody asks.

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
pub(crate) struct Following {
    bus: Arc<dyn Bus>,
    subject: String,
    /// Where it begins when it goes on.
    from: FollowFrom,
    stream: Option<BoxStream<'static, Result<Vec<Followed>, BusError>>>,
}

impl Following {
    /// At rest; begins with what is new when it first goes on.
    pub(crate) fn new(bus: Arc<dyn Bus>, subject: String) -> Following {
        Following { bus, subject, from: FollowFrom::End, stream: None }
    }

    /// Follows from now on, from where it rests.
    pub(crate) fn go_on(&mut self) {
        let Following { bus, subject, from, stream } = self;
        stream.get_or_insert_with(|| follow(Arc::clone(bus), subject.clone(), *from));
    }

    /// Rests, and goes on behind this position.
    pub(crate) fn rest(&mut self, pos: u64) {
        self.stream = None;
        self.from = FollowFrom::After(pos);
    }

    /// What has appeared; a failure is answered once, then following begins again. Never returns while at rest.
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
/// The stream itself holds the subscription that is under way and the pause after a failure: whoever looks elsewhere
/// meanwhile neither begins it anew nor shortens it.
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
