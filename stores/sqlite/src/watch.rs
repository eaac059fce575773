//! Watching: a thread that asks SQLite, every few milliseconds, whether somebody else has written.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreErrorKind, Wake, WakeChange, WakeStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::clock::MachineClock;
use crate::config::SqliteConfig;
use crate::database::OpenFile;
use crate::rows;

/// How many hints a watcher may be behind; then one hint without a key stands for all that follow.
const WAKES: usize = 1024;

/// How many watches a store may have open at a time; each has a thread and a connection.
const WATCHES: usize = 64;

/// How often the path is looked at, to see whether it still names the open file.
const LOOK_AT_PATH: Duration = Duration::from_millis(100);

/// The watches of one store.
pub(crate) struct Watches {
    config: SqliteConfig,
    places: Arc<Semaphore>,
    overflowed: Arc<AtomicU64>,
}

impl Watches {
    /// None yet.
    pub(crate) fn new(config: SqliteConfig) -> Self {
        Watches { config, places: Arc::new(Semaphore::new(WATCHES)), overflowed: Arc::default() }
    }

    /// Hints that were folded into one without a key.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Starts a watch; what happens after this has returned is seen. The thread ends when the stream is dropped.
    pub(crate) async fn start(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        let failure = |what: String| {
            StoreError::new(StoreErrorKind::Unavailable, format!("sqlite:{}: {what}", self.config.path.display()))
        };
        let place = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| failure(format!("{WATCHES} watches are open already; drop one")))?;
        let clock = MachineClock::read()?;
        let (wakes, receiver) = mpsc::channel(WAKES);
        let (started, start) = oneshot::channel();
        let mut watch = Watch {
            config: self.config.clone(),
            clock,
            prefix: prefix.clone(),
            hints: Hints { wakes, overflowed: Arc::clone(&self.overflowed), owed: false },
            seen: None,
        };
        std::thread::Builder::new()
            .name("tenure-sqlite-w".to_owned())
            .spawn(move || {
                let _place = place;
                let first = watch.look();
                let ok = first.is_ok();
                if started.send(first).is_ok() && ok {
                    watch.run();
                }
            })
            .map_err(|error| failure("cannot start a thread".to_owned()).with_source(error))?;
        match tokio::time::timeout(self.config.call_timeout() + Duration::from_secs(1), start).await {
            Ok(Ok(result)) => result?,
            Ok(Err(_)) => return Err(failure("its watching thread ended".to_owned())),
            Err(_) => return Err(failure("a watch could not be started in time".to_owned())),
        }
        let wakes = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
        Ok(wakes.boxed())
    }
}

struct Watch {
    config: SqliteConfig,
    clock: MachineClock,
    prefix: KeyPrefix,
    hints: Hints,
    // What was seen last, and in which file; `None` while the file cannot be read.
    seen: Option<Seen>,
}

struct Seen {
    file: OpenFile,
    data_version: i64,
    hands: i64,
    holders: BTreeMap<LeaseKey, String>,
}

impl Watch {
    fn run(mut self) {
        let looks = (LOOK_AT_PATH.as_nanos() / self.config.poll.as_nanos().max(1)).max(1);
        let mut polls: u128 = 0;
        while !self.hints.wakes.is_closed() {
            std::thread::sleep(self.config.poll);
            polls += 1;
            if polls.is_multiple_of(looks) {
                self.drop_if_replaced();
            }
            if self.look().is_err() {
                // Locked, or gone for the moment. Hints may be late; what can be read next says what changed.
                self.drop_if_replaced();
            }
            self.hints.pay();
        }
    }

    fn drop_if_replaced(&mut self) {
        if let Some(seen) = self.seen.take_if(|seen| !seen.file.is_current(&self.config.path)) {
            seen.file.retire(&self.config.path);
        }
    }

    /// Looks once. Cheap while nobody writes: one pragma, which reads a counter in shared memory.
    fn look(&mut self) -> Result<(), StoreError> {
        let path = &self.config.path;
        let patience = self.clock.now() + self.config.busy_timeout;
        let failed = |error| crate::failure::nothing_done(path, error);
        let Some(seen) = &mut self.seen else {
            // The first look, or another file: which keys changed hands in between cannot be known.
            let file = OpenFile::for_watching(path, &self.clock, patience)?;
            let data_version = data_version(&file).map_err(failed)?;
            let (hands, holders) = read(&file, &self.prefix).map_err(failed)?;
            self.seen = Some(Seen { file, data_version, hands, holders });
            self.hints.send(Wake::unknown());
            return Ok(());
        };
        seen.file.wait_until(patience);
        // 1. Nobody has written.
        let version = data_version(&seen.file).map_err(failed)?;
        if version == seen.data_version {
            return Ok(());
        }
        // 2. Somebody has, but no key has changed hands.
        if hands(&seen.file).map_err(failed)? != seen.hands {
            // 3. Which ones?
            let (hands, holders) = read(&seen.file, &self.prefix).map_err(failed)?;
            for key in seen.holders.keys().filter(|key| !holders.contains_key(*key)) {
                self.hints.send(Wake::freed(key.clone()));
            }
            for (key, nonce) in &holders {
                match seen.holders.get(key) {
                    Some(before) if before == nonce => {}
                    // It was released in between, perhaps.
                    Some(_) => self.hints.send(Wake { key: Some(key.clone()), change: WakeChange::Unknown }),
                    None => self.hints.send(Wake::taken(key.clone())),
                }
            }
            (seen.hands, seen.holders) = (hands, holders);
        }
        seen.data_version = version;
        Ok(())
    }
}

/// Sends hints and never waits: when the watcher is too far behind, one without a key is owed to it.
struct Hints {
    wakes: mpsc::Sender<Wake>,
    overflowed: Arc<AtomicU64>,
    owed: bool,
}

impl Hints {
    fn send(&mut self, wake: Wake) {
        if let Err(TrySendError::Full(_)) = self.wakes.try_send(wake) {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            self.owed = true;
        }
    }

    fn pay(&mut self) {
        if self.owed && self.wakes.try_send(Wake::unknown()).is_ok() {
            self.owed = false;
        }
    }
}

fn data_version(file: &OpenFile) -> rusqlite::Result<i64> {
    file.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

fn hands(file: &OpenFile) -> rusqlite::Result<i64> {
    file.connection.prepare_cached("SELECT hands FROM change")?.query_row([], |row| row.get(0))
}

/// The nonces of the tenures under a prefix. The counter is read first: a change in between is seen twice, not missed.
fn read(file: &OpenFile, prefix: &KeyPrefix) -> rusqlite::Result<(i64, BTreeMap<LeaseKey, String>)> {
    let hands = hands(file)?;
    let mut holders = BTreeMap::new();
    rows::scan(&file.connection, "key, nonce", prefix, |row| {
        let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
        if let (Some(key), Some(nonce)) = (text(0).and_then(|key| LeaseKey::new(key).ok()), text(1)) {
            holders.insert(key, nonce.to_owned());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok((hands, holders))
}
