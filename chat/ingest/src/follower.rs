//! Following the bus: the ids that appear there, subscribed again whenever the stream ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, ReadyChunks};
use tenure_bus::{Bus, BusError, FollowFrom, FollowStream, Followed};

/// The most items taken at once.
const CHUNK: usize = 512;
/// How long after a stream has ended, or could not be had, the next one is asked for.
const PAUSE: Duration = Duration::from_millis(200);

/// What appears on `subject` from now on. A failure is answered once, then following begins again; it never ends.
///
/// The stream itself holds the subscription that is under way and the pause after a failure: whoever looks elsewhere
/// meanwhile neither begins it anew nor shortens it.
pub(crate) fn follow(bus: Arc<dyn Bus>, subject: String) -> BoxStream<'static, Result<Vec<Followed>, BusError>> {
    let follower = Follower { bus, subject, from: FollowFrom::End, stream: None, failed: false };
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
                unsubscribed => match self.bus.follow(&self.subject, self.from).await {
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
