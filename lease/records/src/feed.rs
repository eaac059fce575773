//! The feed: what the server tells of changes becomes hints.
//!
//! One subscription serves all who watch, at what their prefixes have in common. It is made anew after every break; what is
//! made of a change, and of what may have been missed, is its [`Listener`]'s matter.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tenure_store::{KeyPrefix, StoreError, StoreErrorKind, WakeHub, WakeStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::calls::Calls;
use crate::records::{Changes, Kind, Place, Records, Seen};

/// The pauses between two attempts to subscribe: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What turns changes of one kind into hints.
pub(crate) trait Listener<R>: Send + 'static {
    /// What it listens to.
    const KIND: Kind;

    /// A subscription stands from now on: looks for what was missed before.
    fn begun(
        &mut self,
        calls: &Calls<R>,
        hub: &WakeHub,
        prefix: &KeyPrefix,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Something changed. An error means that it is not known what: the subscription is made anew.
    fn changed(
        &mut self,
        calls: &Calls<R>,
        hub: &WakeHub,
        place: Place,
        seen: Option<Seen>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Nobody watches any more.
    fn unwatched(&mut self);
}

/// Whoever watches, and the task that tells them.
#[derive(Debug)]
pub(crate) struct Feed {
    hub: Arc<WakeHub>,
    overflowed: Arc<AtomicU64>,
    /// Told whenever somebody begins to watch.
    joined: Arc<Notify>,
    /// Up to which version of the hub's table the subscription covers all who watch.
    covered: watch::Sender<u64>,
    task: Mutex<Option<AbortHandle>>,
}

impl Feed {
    pub(crate) fn new(scheme: &'static str) -> Feed {
        Feed {
            hub: WakeHub::new(scheme),
            overflowed: Arc::default(),
            joined: Arc::default(),
            covered: watch::Sender::new(0),
            task: Mutex::default(),
        }
    }

    /// The hints about keys with this prefix. Returns once the server has agreed to tell of changes. `listener` makes what
    /// listens where nothing does yet.
    pub(crate) async fn watch<R: Records, L: Listener<R>>(
        &self,
        calls: &Arc<Calls<R>>,
        prefix: &KeyPrefix,
        listener: impl FnOnce() -> L,
    ) -> Result<WakeStream, StoreError> {
        if !calls.info.store.watch {
            let scheme = calls.info.store.scheme;
            let message = format!("{scheme}: has no hints; go by a timer");
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        let mut covered = self.covered.subscribe();
        let stream = self.hub.watch(prefix, &self.overflowed)?;
        let version = self.hub.version();
        self.ensure_running(calls, listener);
        self.joined.notify_one();
        let ready = covered.wait_for(|covered| *covered >= version);
        match calls.in_time(StoreErrorKind::Unavailable, ready).await? {
            Ok(_) => Ok(stream),
            Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, "the store is being closed")),
        }
    }

    fn ensure_running<R: Records, L: Listener<R>>(&self, calls: &Arc<Calls<R>>, listener: impl FnOnce() -> L) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let teller = Teller {
            calls: Arc::clone(calls),
            hub: Arc::clone(&self.hub),
            joined: Arc::clone(&self.joined),
            covered: self.covered.clone(),
            listener: listener(),
        };
        *task = Some(tokio::spawn(teller.run()).abort_handle());
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.hub.close();
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

struct Teller<R, L> {
    calls: Arc<Calls<R>>,
    hub: Arc<WakeHub>,
    joined: Arc<Notify>,
    covered: watch::Sender<u64>,
    listener: L,
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

impl<R: Records, L: Listener<R>> Teller<R, L> {
    async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let (version, prefixes) = self.hub.prefixes();
            let Some(prefix) = common(&prefixes) else {
                self.listener.unwatched();
                self.joined.notified().await;
                continue;
            };
            let over = match self.subscribe(&prefix).await {
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

    /// Subscribes first and looks then, so that nothing falls between the two.
    async fn subscribe(&mut self, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let calls = Arc::clone(&self.calls);
        let changes = calls.records.changes(L::KIND, prefix);
        let changes = calls.in_time(StoreErrorKind::Unavailable, changes).await??;
        self.listener.begun(&calls, &self.hub, prefix).await?;
        Ok(changes)
    }

    async fn follow(&mut self, mut changes: Changes, prefix: &KeyPrefix) -> Over {
        let hub = Arc::clone(&self.hub);
        loop {
            tokio::select! {
                change = changes.next() => {
                    let Some((place, seen)) = change else { return Over::Broken };
                    if self.listener.changed(&self.calls, &self.hub, place, seen).await.is_err() {
                        return Over::Broken;
                    }
                }
                () = self.joined.notified() => {
                    let (version, prefixes) = hub.prefixes();
                    if !prefixes.iter().all(|watched| watched.as_str().starts_with(prefix.as_str())) {
                        return Over::TooNarrow;
                    }
                    self.covered.send_replace(version);
                }
                () = hub.unwatched() => return Over::Unwatched,
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
