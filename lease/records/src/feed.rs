//! The feed: what the server tells of changes becomes hints, and is kept in mind for the steps.
//!
//! One subscription serves all who watch, at what their prefixes have in common. It is made anew after every break, and
//! what was missed meanwhile is found by a scan. A renewal changes a record and wakes nobody: tenures are told apart by
//! their nonces.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tenure_store::{HolderId, KeyPrefix, LeaseKey, Nonce, StoreError, StoreErrorKind, Wake, WakeHub, WakeStream};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::calls::Calls;
use crate::records::{Changes, Kind, Place, Records, Seen};
use crate::step::Memory;

/// The pauses between two attempts to subscribe: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How many keys are told apart at a time; where there are more, hints name none.
const KEYS: usize = 65_536;

/// Whoever watches, and the task that tells them.
#[derive(Debug)]
pub(crate) struct Feed {
    hub: Arc<WakeHub>,
    /// Told whenever somebody begins to watch.
    joined: Arc<Notify>,
    /// Up to which version of the hub's table the subscription covers all who watch.
    covered: watch::Sender<u64>,
    task: Mutex<Option<AbortHandle>>,
}

impl Feed {
    pub(crate) fn new(hub: Arc<WakeHub>) -> Feed {
        Feed { hub, joined: Arc::default(), covered: watch::Sender::new(0), task: Mutex::default() }
    }

    /// The hints about keys with this prefix. Returns once the server has agreed to tell of changes.
    pub(crate) async fn watch<R: Records>(
        &self,
        calls: &Arc<Calls<R>>,
        memory: &Arc<Mutex<Memory>>,
        prefix: &KeyPrefix,
        overflowed: &Arc<AtomicU64>,
    ) -> Result<WakeStream, StoreError> {
        if !calls.info.store.watch {
            let scheme = calls.info.store.scheme;
            let message = format!("{scheme}: has no hints; candidates go by their timers");
            return Err(StoreError::new(StoreErrorKind::Unsupported, message));
        }
        let mut covered = self.covered.subscribe();
        let stream = self.hub.watch(prefix, overflowed)?;
        let version = self.hub.version();
        self.ensure_running(calls, memory);
        self.joined.notify_one();
        let ready = covered.wait_for(|covered| *covered >= version);
        match calls.in_time(StoreErrorKind::Unavailable, ready).await? {
            Ok(_) => Ok(stream),
            Err(_) => Err(StoreError::new(StoreErrorKind::Unavailable, "the store is being closed")),
        }
    }

    fn ensure_running<R: Records>(&self, calls: &Arc<Calls<R>>, memory: &Arc<Mutex<Memory>>) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let teller = Teller {
            calls: Arc::clone(calls),
            memory: Arc::clone(memory),
            hub: Arc::clone(&self.hub),
            joined: Arc::clone(&self.joined),
            covered: self.covered.clone(),
            known: HashMap::new(),
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

/// What tells one tenure of a key from the next.
type Tenure = (HolderId, Option<Nonce>);

struct Teller<R> {
    calls: Arc<Calls<R>>,
    memory: Arc<Mutex<Memory>>,
    hub: Arc<WakeHub>,
    joined: Arc<Notify>,
    covered: watch::Sender<u64>,
    /// Who held what when it was last heard of.
    known: HashMap<LeaseKey, Option<Tenure>>,
}

/// How a record came to be known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Looked for, after a subscription was made.
    ByScan,
    /// The server told of it.
    AsChange,
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

impl<R: Records> Teller<R> {
    async fn run(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let (version, prefixes) = self.hub.prefixes();
            let Some(prefix) = common(&prefixes) else {
                // What is known grows old; whoever watches next begins anew.
                self.known.clear();
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

    /// Subscribes first and scans then, so that nothing falls between the two.
    async fn subscribe(&mut self, prefix: &KeyPrefix) -> Result<Changes, StoreError> {
        let calls = Arc::clone(&self.calls);
        let late = StoreErrorKind::Unavailable;
        let changes = calls.in_time(late, calls.records.changes(Kind::Lease, prefix)).await??;
        let scanned = calls.in_time(late, calls.records.scan(Kind::Lease, prefix)).await??;
        let mut gone: Vec<LeaseKey> = self.known.keys().filter(|key| prefix.matches(key)).cloned().collect();
        for (key, seen) in scanned {
            gone.retain(|known| *known != key);
            self.learn(key, seen, Heard::ByScan);
        }
        for key in gone {
            self.learn(key, Seen::default(), Heard::ByScan);
        }
        Ok(changes)
    }

    async fn follow(&mut self, mut changes: Changes, prefix: &KeyPrefix) -> Over {
        let hub = Arc::clone(&self.hub);
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some((place, seen)) => {
                        let seen = match seen {
                            Some(seen) => seen,
                            None => match self.read(&place).await {
                                Some(seen) => seen,
                                None => return Over::Broken,
                            },
                        };
                        self.learn(place.key, seen, Heard::AsChange);
                    }
                    None => return Over::Broken,
                },
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

    async fn read(&self, place: &Place) -> Option<Seen> {
        self.calls.read(std::slice::from_ref(place)).await.pop()?.ok()
    }

    /// Keeps in mind what stands there, and tells whoever watches if the key has changed hands.
    fn learn(&mut self, key: LeaseKey, seen: Seen, heard: Heard) {
        let now = tenure_base_time::now();
        let tenure = self.memory.lock().unwrap_or_else(PoisonError::into_inner).heard(now, &key, seen);
        if self.known.len() >= KEYS && !self.known.contains_key(&key) {
            self.known.clear();
            self.hub.wake(&Wake::unknown());
        }
        let wake = match (self.known.get(&key), &tenure) {
            (Some(before), after) if before == after => None,
            (Some(Some(_)), None) => Some(Wake::freed(key.clone())),
            (Some(_), Some(_)) => Some(Wake::taken(key.clone())),
            (Some(None), None) => None,
            // Heard of for the first time: what a scan begins with is no news.
            (None, _) if heard == Heard::ByScan => None,
            (None, Some(_)) => Some(Wake::taken(key.clone())),
            (None, None) => Some(Wake::freed(key.clone())),
        };
        self.known.insert(key, tenure);
        if let Some(wake) = wake {
            self.hub.wake(&wake);
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
