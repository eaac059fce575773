//! From a server's subscription to the hub: one serves all who watch, at what their prefixes have in common, and is made anew
//! after every break.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tenure_core::KeyPrefix;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::error::{StoreError, StoreErrorKind};
use crate::info::StoreInfo;
use crate::wake::WakeStream;
use crate::wake_hub::WakeHub;

/// The pauses between two attempts to subscribe: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A server that tells of changes, and what is made of them.
pub trait WakeSource: Send + 'static {
    /// What it tells.
    type Change: Send;

    /// Subscribes to what happens under keys with this prefix from now on, then looks for what was missed before. The end of
    /// the stream means that something may have been.
    fn subscribe(
        &mut self,
        hub: &WakeHub,
        prefix: &KeyPrefix,
    ) -> impl Future<Output = Result<BoxStream<'static, Self::Change>, StoreError>> + Send;

    /// Makes hints of a change. An error means that it is not known what changed: the subscription is made anew.
    fn changed(&mut self, hub: &WakeHub, change: Self::Change) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Nobody watches any more.
    fn unwatched(&mut self);
}

/// Whoever watches one store, and the task that keeps a [`WakeSource`] subscribed for them. The task ends with it.
#[derive(Debug)]
pub struct WakeFeed {
    scheme: &'static str,
    has_hints: bool,
    hub: Arc<WakeHub>,
    overflowed: Arc<AtomicU64>,
    /// Told whenever somebody begins to watch.
    joined: Arc<Notify>,
    /// Up to which version of the hub's table the subscription covers all who watch.
    covered: watch::Sender<u64>,
    task: Mutex<Option<AbortHandle>>,
}

impl WakeFeed {
    /// Nobody watches yet. Where the store has no hints, nobody ever does.
    pub fn new(info: &StoreInfo) -> WakeFeed {
        WakeFeed {
            scheme: info.scheme,
            has_hints: info.watch,
            hub: WakeHub::new(info.scheme),
            overflowed: Arc::default(),
            joined: Arc::default(),
            covered: watch::Sender::new(0),
            task: Mutex::default(),
        }
    }

    /// The hints about keys with this prefix. Returns once the server has agreed to tell of changes, or fails `within` that time.
    /// `source` is asked for where none is followed yet.
    pub async fn watch<S: WakeSource>(
        &self,
        prefix: &KeyPrefix,
        within: Duration,
        source: impl FnOnce() -> S,
    ) -> Result<WakeStream, StoreError> {
        let error = |kind, what: &str| StoreError::new(kind, format!("{}: {what}", self.scheme));
        if !self.has_hints {
            return Err(error(StoreErrorKind::Unsupported, "has no hints; go by a timer"));
        }
        let mut covered = self.covered.subscribe();
        let stream = self.hub.watch(prefix, &self.overflowed)?;
        let version = self.hub.version();
        self.ensure_running(source);
        self.joined.notify_one();
        match tokio::time::timeout(within, covered.wait_for(|covered| *covered >= version)).await {
            Ok(Ok(_)) => Ok(stream),
            Ok(Err(_)) => Err(error(StoreErrorKind::Unavailable, "the store is being closed")),
            Err(_) => Err(error(StoreErrorKind::Unavailable, &format!("no answer within {within:?}"))),
        }
    }

    fn ensure_running<S: WakeSource>(&self, source: impl FnOnce() -> S) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let (hub, joined, covered) = (Arc::clone(&self.hub), Arc::clone(&self.joined), self.covered.clone());
        let keeper = Keeper { hub, joined, covered, source: source() };
        *task = Some(tokio::spawn(keeper.run()).abort_handle());
    }
}

impl Drop for WakeFeed {
    fn drop(&mut self) {
        self.hub.close();
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

struct Keeper<S> {
    hub: Arc<WakeHub>,
    joined: Arc<Notify>,
    covered: watch::Sender<u64>,
    source: S,
}

/// Why a subscription is over.
enum Over {
    /// Somebody watches what it does not cover.
    TooNarrow,
    /// Nobody watches.
    Unwatched,
    /// It broke: what happened meanwhile has to be looked for.
    Broken,
}

impl<S: WakeSource> Keeper<S> {
    async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let (version, prefixes) = self.hub.prefixes();
            let Some(prefix) = common(&prefixes) else {
                self.source.unwatched();
                self.joined.notified().await;
                continue;
            };
            let over = match self.source.subscribe(&self.hub, &prefix).await {
                Ok(changes) => {
                    pause = PAUSES.0;
                    self.covered.send_replace(version);
                    self.follow(changes, &prefix).await
                }
                Err(error) => {
                    tracing::debug!(%error, "the changes of a store cannot be followed");
                    Over::Broken
                }
            };
            if matches!(over, Over::Broken) {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    async fn follow(&mut self, mut changes: BoxStream<'static, S::Change>, prefix: &KeyPrefix) -> Over {
        loop {
            tokio::select! {
                change = changes.next() => {
                    let Some(change) = change else { return Over::Broken };
                    if self.source.changed(&self.hub, change).await.is_err() {
                        return Over::Broken;
                    }
                }
                () = self.joined.notified() => {
                    let (version, prefixes) = self.hub.prefixes();
                    if !prefixes.iter().all(|watched| watched.as_str().starts_with(prefix.as_str())) {
                        return Over::TooNarrow;
                    }
                    self.covered.send_replace(version);
                }
                () = self.hub.unwatched() => return Over::Unwatched,
            }
        }
    }
}

/// The longest prefix that all begin with; `None` where there are none.
fn common(prefixes: &[KeyPrefix]) -> Option<KeyPrefix> {
    let (first, rest) = prefixes.split_first()?;
    let mut text = first.as_str();
    for other in rest {
        let end =
            text.char_indices().find(|(at, c)| !other.as_str()[*at..].starts_with(*c)).map_or(text.len(), |(at, _)| at);
        text = &text[..end];
    }
    KeyPrefix::new(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What several prefixes have in common is cut between characters.
    #[test]
    fn prefixes_meet_in_what_they_have_in_common() {
        let of = |texts: &[&str]| {
            let prefixes: Vec<KeyPrefix> = texts.iter().map(|text| KeyPrefix::new(*text).unwrap()).collect();
            common(&prefixes).map(|prefix| prefix.as_str().to_owned())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["a/é"]).as_deref(), Some("a/é"));
        assert_eq!(of(&["a/é", "a/è"]).as_deref(), Some("a/"));
        assert_eq!(of(&["a/b", "a/b/c", "a"]).as_deref(), Some("a"));
        assert_eq!(of(&["", "a"]).as_deref(), Some(""));
    }
}
