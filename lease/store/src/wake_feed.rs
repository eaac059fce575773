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
use tokio::time::Instant;

use crate::error::{StoreError, StoreErrorKind};
use crate::info::StoreInfo;
use crate::pauses::Pauses;
use crate::wake::WakeStream;
use crate::wake_hub::WakeHub;

/// The pauses between two attempts to subscribe: the first, and the longest. A subscription that ends sooner than that counts as
/// an attempt that failed: a server that closes what it has just accepted may not be asked without end.
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
///
/// The task lives on the runtime of the watcher that found none running. Where that runtime ends first, all streams end, and
/// whoever asks again begins another task, on a runtime of its own.
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
    task: Mutex<Option<Task>>,
}

#[derive(Debug)]
struct Task {
    handle: AbortHandle,
    // Closed once the task is gone, however it went.
    alive: watch::Receiver<()>,
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
        let mut alive = self.ensure_running(source);
        self.joined.notify_one();
        let agreed = async {
            tokio::select! {
                covered = covered.wait_for(|covered| *covered >= version) => covered.is_ok(),
                // Nothing is ever sent there.
                _ = alive.changed() => false,
            }
        };
        match tokio::time::timeout(within, agreed).await {
            Ok(true) => Ok(stream),
            Ok(false) => {
                Err(error(StoreErrorKind::Unavailable, "the runtime that followed its changes has ended; ask again"))
            }
            Err(_) => Err(error(StoreErrorKind::Unavailable, &format!("no answer within {within:?}"))),
        }
    }

    fn ensure_running<S: WakeSource>(&self, source: impl FnOnce() -> S) -> watch::Receiver<()> {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Task { alive, .. }) = &*task
            && alive.has_changed().is_ok()
        {
            return alive.clone();
        }
        let (hub, joined, covered) = (Arc::clone(&self.hub), Arc::clone(&self.joined), self.covered.clone());
        let (own, alive) = watch::channel(());
        let keeper = Keeper { hub, joined, covered, source: source(), _alive: own };
        let handle = tokio::spawn(keeper.run()).abort_handle();
        *task = Some(Task { handle, alive: alive.clone() });
        alive
    }
}

impl Drop for WakeFeed {
    fn drop(&mut self) {
        self.hub.close();
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.handle.abort();
        }
    }
}

struct Keeper<S> {
    hub: Arc<WakeHub>,
    joined: Arc<Notify>,
    covered: watch::Sender<u64>,
    source: S,
    _alive: watch::Sender<()>,
}

/// With its runtime the task goes without a word. Nobody else follows the changes then, and whoever watches has to know: their
/// streams end, and after that the task counts as gone.
impl<S> Drop for Keeper<S> {
    fn drop(&mut self) {
        self.hub.close();
    }
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
        let mut pauses = Pauses::new(PAUSES.0, PAUSES.1);
        loop {
            let (version, prefixes) = self.hub.prefixes();
            let Some(prefix) = common(&prefixes) else {
                self.source.unwatched();
                self.joined.notified().await;
                continue;
            };
            let stood = match self.source.subscribe(&self.hub, &prefix).await {
                Ok(changes) => {
                    let since = Instant::now();
                    self.covered.send_replace(version);
                    match self.follow(changes, &prefix).await {
                        Over::TooNarrow | Over::Unwatched => continue,
                        Over::Broken => since.elapsed(),
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the changes of a store cannot be followed");
                    Duration::ZERO
                }
            };
            tokio::time::sleep(pauses.after(stood)).await;
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
    use futures_util::{StreamExt, stream};
    use tenure_core::LeaseKey;
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::{broadcast, mpsc};

    use super::*;
    use crate::wake::Wake;

    /// A server that tells of changes, or closes each subscription as soon as it has accepted it.
    struct Server {
        changes: Option<broadcast::Sender<LeaseKey>>,
        subscribed: mpsc::UnboundedSender<Instant>,
    }

    impl WakeSource for Server {
        type Change = LeaseKey;

        async fn subscribe(&mut self, _: &WakeHub, _: &KeyPrefix) -> Result<BoxStream<'static, LeaseKey>, StoreError> {
            let _ = self.subscribed.send(Instant::now());
            let Some(changes) = &self.changes else { return Ok(stream::empty().boxed()) };
            let changes = changes.subscribe();
            Ok(stream::unfold(changes, |mut changes| async { Some((changes.recv().await.ok()?, changes)) }).boxed())
        }

        async fn changed(&mut self, hub: &WakeHub, key: LeaseKey) -> Result<(), StoreError> {
            hub.wake(&Wake::freed(key));
            Ok(())
        }

        fn unwatched(&mut self) {}
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    fn runtime() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn feed() -> WakeFeed {
        WakeFeed::new(&StoreInfo::new("x").watch(true))
    }

    /// Where the runtime of the first watcher ends, the others are told by the end of their streams; who asks again is served by a
    /// task on a runtime that is there.
    #[test]
    fn a_watcher_outlives_the_runtime_of_another() {
        let (feed, key, changes) = (feed(), LeaseKey::new("k").unwrap(), broadcast::channel(8).0);
        let (subscribed, _subscriptions) = mpsc::unbounded_channel();
        let server = || Server { changes: Some(changes.clone()), subscribed: subscribed.clone() };
        let watch = || async { feed.watch(&KeyPrefix::default(), PATIENCE, server).await };
        let (first, second) = (runtime(), runtime());
        let _first = first.block_on(watch()).unwrap();
        let mut wakes = second.block_on(watch()).unwrap();
        changes.send(key.clone()).unwrap();
        let next = |wakes: &mut WakeStream| {
            second.block_on(async { tokio::time::timeout(PATIENCE, wakes.next()).await.expect("a hint, or the end") })
        };
        assert_eq!(next(&mut wakes), Some(Wake::freed(key.clone())));
        drop(first);
        assert_eq!(next(&mut wakes), None);
        let mut wakes = second.block_on(watch()).unwrap();
        changes.send(key.clone()).unwrap();
        assert_eq!(next(&mut wakes), Some(Wake::freed(key)));
    }

    /// A server that closes each subscription as soon as it has accepted it is asked less and less often.
    #[tokio::test]
    async fn a_server_that_closes_at_once_is_asked_ever_less() {
        let (feed, (subscribed, mut subscriptions)) = (feed(), mpsc::unbounded_channel());
        let _wakes =
            feed.watch(&KeyPrefix::default(), PATIENCE, || Server { changes: None, subscribed }).await.unwrap();
        let mut times = Vec::new();
        while times.len() < 6 {
            times.push(tokio::time::timeout(PATIENCE, subscriptions.recv()).await.unwrap().unwrap());
        }
        let pauses: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let least = (0..5).map(|doubled| PAUSES.0 * 2_u32.pow(doubled));
        assert!(pauses.iter().zip(least).all(|(pause, least)| *pause >= least), "{pauses:?}");
    }

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
