//! The one way from a store to those who watch it: however many there are, the store hears of each change once.
//!
//! Every store hands its hints on through a [`WakeHub`], so that each has the same bounds: a watcher that does not read
//! costs its own place in a queue, never the store's memory nor another watcher's hints.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::{StreamExt, stream};
use tenure_core::{KeyPrefix, LeaseKey};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::error::{StoreError, StoreErrorKind};
use crate::wake::{Wake, WakeStream};

/// The watchers of one store, or of one file that several stores have open.
///
/// Whatever learns of changes, a subscription or a thread that looks, calls [`WakeHub::wake`] once for each, and asks
/// [`WakeHub::is_watched`] whether it is needed. Handing on never waits: a watcher may be [`WakeHub::WAKES`] hints behind,
/// then one hint without a key stands for all that follow. Hints to a watcher come in the order of the calls, but for that
/// one, which may come late. While nobody watches, a call costs one look at a counter.
pub struct WakeHub {
    scheme: &'static str,
    table: Mutex<Table>,
    // The number of watchers, to be read without the lock.
    count: AtomicUsize,
    // Told whenever the number reaches zero.
    left: Notify,
}

#[derive(Default)]
struct Table {
    // By prefix, so that a hint finds its watchers by its key's own beginnings.
    watchers: HashMap<String, BTreeMap<u64, Watcher>>,
    next: u64,
    version: u64,
}

struct Watcher {
    wakes: mpsc::Sender<Wake>,
    // A hint without a key is due once the others were read.
    owed: Arc<AtomicBool>,
    overflowed: Arc<AtomicU64>,
}

impl WakeHub {
    /// How many hints a watcher may be behind.
    pub const WAKES: usize = 1_024;

    /// How many watchers there may be at a time.
    pub const WATCHERS: usize = 65_536;

    /// Nobody watches yet. The scheme of the store's URL stands in front of errors.
    pub fn new(scheme: &'static str) -> Arc<WakeHub> {
        Arc::new(WakeHub { scheme, table: Mutex::default(), count: AtomicUsize::new(0), left: Notify::new() })
    }

    /// The hints about keys with this prefix, from now on. `overflowed` counts those that were replaced by one without a key
    /// because this watcher was too far behind.
    ///
    /// The stream ends with the hub, or with [`WakeHub::close`]; dropping it ends the watching. Fails where
    /// [`WakeHub::WATCHERS`] watch already.
    pub fn watch(self: &Arc<Self>, prefix: &KeyPrefix, overflowed: &Arc<AtomicU64>) -> Result<WakeStream, StoreError> {
        let (wakes, receiver) = mpsc::channel(Self::WAKES);
        let owed = Arc::new(AtomicBool::new(false));
        let watcher = Watcher { wakes, owed: Arc::clone(&owed), overflowed: Arc::clone(overflowed) };
        let guard = self.enter(prefix, watcher)?;
        let wakes = stream::unfold((receiver, owed, guard), |(mut receiver, owed, guard)| async move {
            let wake = match receiver.try_recv() {
                Ok(wake) => wake,
                Err(_) if owed.swap(false, Ordering::SeqCst) => Wake::unknown(),
                Err(_) => receiver.recv().await?,
            };
            Some((wake, (receiver, owed, guard)))
        });
        Ok(wakes.boxed())
    }

    /// Hands the hint to everybody whose prefix its key begins with; to all where it names none.
    pub fn wake(&self, wake: &Wake) {
        if !self.is_watched() {
            return;
        }
        let table = self.table();
        match &wake.key {
            Some(key) => beginnings(key).filter_map(|text| table.watchers.get(text)).for_each(|watchers| {
                watchers.values().for_each(|watcher| watcher.hint(wake));
            }),
            None => table.watchers.values().flat_map(BTreeMap::values).for_each(|watcher| watcher.hint(wake)),
        }
    }

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.count.load(Ordering::SeqCst) > 0
    }

    /// Returns once nobody watches. Somebody may begin again meanwhile: ask [`WakeHub::is_watched`], under the lock that
    /// decides whether a subscription is made, before it is ended.
    pub async fn unwatched(&self) {
        loop {
            // Whoever leaves between the look and the wait is heard of too: this future listens from here on.
            let left = self.left.notified();
            if !self.is_watched() {
                return;
            }
            left.await;
        }
    }

    /// Changes whenever somebody begins or ends watching. A number once read stays below every later one.
    pub fn version(&self) -> u64 {
        self.table().version
    }

    /// The prefixes that are watched, by their text, none of them twice and none that another one begins; and the version
    /// at which they are.
    pub fn prefixes(&self) -> (u64, Vec<KeyPrefix>) {
        let table = self.table();
        let mut texts: Vec<&str> = table.watchers.keys().map(String::as_str).collect();
        texts.sort_unstable();
        // In this order a prefix stands right before all that it begins.
        texts.dedup_by(|later, earlier| later.starts_with(&**earlier));
        (table.version, texts.into_iter().filter_map(|text| KeyPrefix::new(text).ok()).collect())
    }

    /// Ends every watcher's stream, after what was handed to it.
    pub fn close(&self) {
        let mut table = self.table();
        table.watchers.clear();
        table.version += 1;
        self.count.store(0, Ordering::SeqCst);
        self.left.notify_waiters();
    }

    fn enter(self: &Arc<Self>, prefix: &KeyPrefix, watcher: Watcher) -> Result<Guard, StoreError> {
        let mut table = self.table();
        if self.count.load(Ordering::SeqCst) >= Self::WATCHERS {
            let message = format!("{}: {} watches are open already; drop one", self.scheme, Self::WATCHERS);
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        let number = table.next;
        table.next += 1;
        table.version += 1;
        table.watchers.entry(prefix.as_str().to_owned()).or_default().insert(number, watcher);
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(Guard { hub: Arc::downgrade(self), prefix: prefix.clone(), number })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every step leaves the table whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WakeHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WakeHub").field("watchers", &self.count).finish_non_exhaustive()
    }
}

impl Watcher {
    fn hint(&self, wake: &Wake) {
        if let Err(TrySendError::Full(_)) = self.wakes.try_send(wake.clone()) {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            self.owed.store(true, Ordering::SeqCst);
            // Who has read everything between the two looks there no more; to anybody else it is one hint too many.
            let _ = self.wakes.try_send(Wake::unknown());
        }
    }
}

/// Takes its watcher out of the table when it is dropped.
struct Guard {
    // The stream does not keep the hub: it ends with it.
    hub: Weak<WakeHub>,
    prefix: KeyPrefix,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut table = hub.table();
        let Some(watchers) = table.watchers.get_mut(self.prefix.as_str()) else { return };
        if watchers.remove(&self.number).is_some() {
            if watchers.is_empty() {
                table.watchers.remove(self.prefix.as_str());
            }
            table.version += 1;
            if hub.count.fetch_sub(1, Ordering::SeqCst) == 1 {
                hub.left.notify_waiters();
            }
        }
    }
}

/// The prefixes of a key, the empty one first and the key itself last.
fn beginnings(key: &LeaseKey) -> impl Iterator<Item = &str> {
    let text = key.as_str();
    (0..=text.len()).filter_map(|end| text.get(..end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn key(text: &str) -> LeaseKey {
        LeaseKey::new(text).unwrap()
    }

    fn watch(hub: &Arc<WakeHub>, prefix: &str) -> WakeStream {
        hub.watch(&KeyPrefix::new(prefix).unwrap(), &Arc::default()).unwrap()
    }

    fn next(stream: &mut WakeStream) -> Option<Wake> {
        stream.next().now_or_never().flatten()
    }

    /// A hint reaches those whose prefix its key begins with, and one without a key reaches all.
    #[test]
    fn hints_find_their_watchers() {
        let hub = WakeHub::new("x");
        hub.wake(&Wake::freed(key("a/k")));
        let mut streams = ["", "a/", "a/k", "é"].map(|prefix| watch(&hub, prefix));
        let mut other = watch(&hub, "b");
        hub.wake(&Wake::freed(key("a/k2")));
        for stream in &mut streams[..3] {
            assert_eq!(next(stream), Some(Wake::freed(key("a/k2"))));
        }
        assert_eq!((next(&mut streams[3]), next(&mut other)), (None, None));
        hub.wake(&Wake::taken(key("éa")));
        assert_eq!((next(&mut streams[0]), next(&mut streams[3])).0, Some(Wake::taken(key("éa"))));
        hub.wake(&Wake::unknown());
        assert_eq!(next(&mut other), Some(Wake::unknown()));
    }

    /// A watcher that does not read gets what fits and one hint without a key for the rest, and what comes after that.
    #[test]
    fn what_overflows_is_one_hint_without_a_key() {
        let (hub, overflowed) = (WakeHub::new("x"), Arc::<AtomicU64>::default());
        let mut stream = hub.watch(&KeyPrefix::default(), &overflowed).unwrap();
        let mut quick = watch(&hub, "");
        for _ in 0..WakeHub::WAKES + 500 {
            hub.wake(&Wake::freed(key("k")));
            assert!(next(&mut quick).is_some(), "one is slow, not the other");
        }
        assert_eq!(overflowed.load(Ordering::Relaxed), 500);
        for _ in 0..WakeHub::WAKES {
            assert_eq!(next(&mut stream), Some(Wake::freed(key("k"))));
        }
        assert_eq!(next(&mut stream), Some(Wake::unknown()));
        assert_eq!(next(&mut stream), None);
        hub.wake(&Wake::taken(key("k")));
        assert_eq!(next(&mut stream), Some(Wake::taken(key("k"))));
    }

    /// Who watches is known, without repetition, and forgotten when the stream is dropped.
    #[test]
    fn watchers_come_and_go() {
        let hub = WakeHub::new("x");
        let streams = ["b/c", "a", "b", "a", "b/"].map(|prefix| watch(&hub, prefix));
        let (version, prefixes) = hub.prefixes();
        let texts: Vec<&str> = prefixes.iter().map(KeyPrefix::as_str).collect();
        assert_eq!((version, texts), (5, vec!["a", "b"]));
        assert!(hub.is_watched());
        drop(streams);
        assert!(!hub.is_watched() && hub.prefixes() == (10, Vec::new()));
    }

    /// Whoever waits for the last watcher to leave waits as long as there is one, and no longer.
    #[test]
    fn the_last_watcher_to_leave_is_noticed() {
        let hub = WakeHub::new("x");
        assert!(hub.unwatched().now_or_never().is_some());
        let (first, second) = (watch(&hub, "a"), watch(&hub, "b"));
        let mut unwatched = Box::pin(hub.unwatched());
        assert!(unwatched.as_mut().now_or_never().is_none());
        drop(first);
        assert!(unwatched.as_mut().now_or_never().is_none());
        drop(second);
        assert!(unwatched.as_mut().now_or_never().is_some());
    }

    /// Streams end with the hub and when it is closed, after what was handed to them.
    #[test]
    fn streams_end_with_the_hub() {
        let hub = WakeHub::new("x");
        let mut stream = watch(&hub, "");
        hub.wake(&Wake::unknown());
        hub.close();
        assert!(!hub.is_watched());
        assert_eq!(next(&mut stream), Some(Wake::unknown()));
        assert_eq!(stream.next().now_or_never(), Some(None));
        let mut stream = watch(&hub, "");
        drop(hub);
        assert_eq!(stream.next().now_or_never(), Some(None));
    }
}
