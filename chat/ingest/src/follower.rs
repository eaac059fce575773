//! Following the bus: the ids that appear there, subscribed again whenever the stream ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{BoxStream, ReadyChunks};
use tenure_bus::{Bus, BusError, FollowFrom, Followed};

/// The most items taken at once.
const CHUNK: usize = 512;

/// Follows one subject from its end on.
pub(crate) struct Follower {
    bus: Arc<dyn Bus>,
    subject: String,
    from: FollowFrom,
    stream: Option<ReadyChunks<BoxStream<'static, Result<Followed, BusError>>>>,
    enabled: bool,
}

impl Follower {
    pub(crate) fn new(bus: Arc<dyn Bus>, subject: String, enabled: bool) -> Self {
        Follower { bus, subject, from: FollowFrom::End, stream: None, enabled }
    }

    /// What appeared next; a failure is answered once, and following begins again at the next call. Cancel-safe; never
    /// returns where the bus cannot be followed.
    pub(crate) async fn next(&mut self) -> Result<Vec<Followed>, BusError> {
        if !self.enabled {
            return std::future::pending().await;
        }
        let stream = match &mut self.stream {
            Some(stream) => stream,
            unsubscribed => {
                let stream = match self.bus.follow(&self.subject, self.from).await {
                    Ok(stream) => stream,
                    Err(error) => {
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        return Err(error);
                    }
                };
                unsubscribed.insert(stream.ready_chunks(CHUNK))
            }
        };
        let mut appeared = Vec::new();
        let mut failure = None;
        match stream.next().await {
            None => self.stream = None,
            Some(chunk) => {
                for item in chunk {
                    match item {
                        Ok(followed) => {
                            self.from = FollowFrom::After(followed.pos);
                            appeared.push(followed);
                        }
                        Err(error) => failure = Some(error),
                    }
                }
            }
        }
        if let Some(error) = failure {
            self.stream = None;
            if appeared.is_empty() {
                return Err(error);
            }
        }
        Ok(appeared)
    }
}
