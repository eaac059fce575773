//! Watching: one thread for each file that somebody in this process watches, by each name, which asks SQLite every few
//! milliseconds whether somebody else has written, and hands what it saw to a hub.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rusqlite::Connection;
use tenure_base_sqlite::{FileError, FileName, Node, Reader};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, StoreErrorKind, Wake, WakeChange, WakeHub, WakeStream};
use tokio::sync::{Semaphore, watch};

use crate::config::SqliteConfig;
use crate::document_rows;
use crate::failure::store_error;
use crate::rows;
use crate::schema::FORMAT;

/// How many prefixes are looked up one by one; where more are watched, the whole table is read.
const PREFIXES: usize = 256;

/// How long a watcher whose file was replaced waits before it looks for the next one, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// A crowd that begins to watch finds its files one by one, on one thread.
static LOOKING: Semaphore = Semaphore::const_new(1);

/// The files that are watched in this process, each by one thread, whatever the number of stores and watchers.
static WATCHED: LazyLock<Mutex<HashMap<Named, Arc<Watched>>>> = LazyLock::new(Mutex::default);

/// A file, the absolute name that leads there, and what of it is watched. Another name may lead elsewhere one day, and its
/// watchers go with it.
type Named = (Node, PathBuf, What);

/// What somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Leases,
    Documents,
}

/// The watches of one store.
#[derive(Clone)]
pub(crate) struct Watches {
    name: FileName,
    what: What,
    poll: Duration,
    busy_timeout: Duration,
    call_timeout: Duration,
    overflowed: Arc<AtomicU64>,
}

/// A file that is watched: in the table as long as its thread runs.
struct Watched {
    hub: Arc<WakeHub>,
    // How often its thread looks, in nanoseconds: as often as whoever wants to hear soonest.
    poll: AtomicU64,
    thread: OnceLock<Thread>,
    state: watch::Sender<State>,
}

/// How the last look ended, and of which watchers it knew.
#[derive(Default)]
struct State {
    /// The hub's version when it began.
    version: u64,
    failure: Option<StoreError>,
}

impl Watches {
    /// None yet.
    pub(crate) fn new(name: FileName, what: What, config: &SqliteConfig) -> Self {
        Watches {
            name,
            what,
            poll: config.poll,
            busy_timeout: config.busy_timeout,
            call_timeout: config.call_timeout(),
            overflowed: Arc::default(),
        }
    }

    /// Hints that were folded into one without a key.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Starts a watch; what happens after this has returned is seen. The thread ends with the last watch of its file; a
    /// watch goes on in the file that takes the place of the one it began with.
    pub(crate) async fn start(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        let first = self.enter(prefix).await?;
        let watching = (self.clone(), prefix.clone(), Some(first));
        let wakes = stream::unfold(watching, |(watches, prefix, mut stream)| async move {
            let mut pause = PAUSE.0;
            loop {
                let Some(wakes) = &mut stream else {
                    tokio::time::sleep(pause).await;
                    stream = watches.enter(&prefix).await.ok();
                    pause = (pause * 2).min(PAUSE.1);
                    continue;
                };
                match wakes.next().await {
                    Some(wake) => return Some((wake, (watches, prefix, stream))),
                    None => stream = None,
                }
            }
        });
        Ok(wakes.boxed())
    }

    /// Watches the file that the name leads to now. The stream begins with a hint without a key, for what happened before
    /// cannot be known, and ends when the file is replaced.
    async fn enter(&self, prefix: &KeyPrefix) -> Result<WakeStream, StoreError> {
        let failure =
            |what: &str| StoreError::new(StoreErrorKind::Unavailable, format!("sqlite:{}: {what}", self.name));
        let entered = async {
            let name = self.name.clone();
            let turn = LOOKING.acquire().await;
            let node = tokio::task::spawn_blocking(move || name.node()).await;
            drop(turn);
            let node = node.map_err(|error| failure("the thread that looks ended").with_source(error))?;
            let node = node.map_err(store_error)?;
            let (stream, watched, version) = self.join(node, prefix)?;
            let mut state = watched.state.subscribe();
            let state = state.wait_for(|state| state.version >= version).await;
            match state.map(|state| state.failure.clone()) {
                Ok(None) => Ok(stream),
                Ok(Some(error)) => Err(error),
                Err(_) => Err(failure("its watching thread ended")),
            }
        };
        let stream = match tokio::time::timeout(self.call_timeout + Duration::from_secs(1), entered).await {
            Ok(entered) => entered?,
            Err(_) => return Err(failure("a watch could not be started in time")),
        };
        Ok(stream::once(std::future::ready(Wake::unknown())).chain(stream).boxed())
    }

    /// Adds a watcher to the file's, and starts the thread where nobody watches it yet.
    fn join(&self, node: Node, prefix: &KeyPrefix) -> Result<(WakeStream, Arc<Watched>, u64), StoreError> {
        let named = (node, self.name.absolute().to_owned(), self.what);
        let mut table = lock(&WATCHED);
        let is_new = !table.contains_key(&named);
        let watched = Arc::clone(table.entry(named.clone()).or_insert_with(|| {
            Arc::new(Watched {
                hub: WakeHub::new("sqlite"),
                poll: AtomicU64::new(u64::MAX),
                thread: OnceLock::new(),
                state: watch::Sender::default(),
            })
        }));
        let stream = watched.hub.watch(prefix, &self.overflowed)?;
        let version = watched.hub.version();
        watched.poll.fetch_min(u64::try_from(self.poll.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if is_new {
            let (of_name, of_thread) = (named.clone(), Arc::clone(&watched));
            let (reader, wait) = (Reader::new(self.name.clone(), &FORMAT), self.busy_timeout);
            // Made in the thread alone: where that cannot be started its end would wait for the lock that is held here.
            let run = move || Looker::new(of_name, of_thread, reader, wait).run();
            match std::thread::Builder::new().name("tenure-sqlite-w".to_owned()).spawn(run) {
                Ok(thread) => watched.thread.get_or_init(|| thread.thread().clone()),
                Err(error) => {
                    table.remove(&named);
                    return Err(store_error(FileError::no_thread(&self.name, error)));
                }
            };
        } else if let Some(thread) = watched.thread.get() {
            thread.unpark();
        }
        Ok((stream, watched, version))
    }
}

/// The thread's own part of a file that is watched.
struct Looker {
    named: Named,
    watched: Arc<Watched>,
    reader: Reader,
    wait: Duration,
    // Which watchers the last look knew of, and what they watch.
    version: u64,
    prefixes: Vec<KeyPrefix>,
    // Somebody has written what was not read yet.
    dirty: bool,
    seen: Option<Seen>,
}

/// Who held what at the last look, or which documents there were.
#[derive(Default)]
struct Seen {
    /// How often a lease has changed hands, or a document was changed.
    count: i64,
    /// The nonces of the tenures, or the versions of the documents.
    marks: BTreeMap<LeaseKey, String>,
    /// The prefixes that were looked at.
    cover: Vec<KeyPrefix>,
}

impl Looker {
    fn new(named: Named, watched: Arc<Watched>, reader: Reader, wait: Duration) -> Looker {
        Looker { named, watched, reader, wait, version: 0, prefixes: Vec::new(), dirty: true, seen: None }
    }

    fn run(mut self) {
        loop {
            let version = self.watched.hub.version();
            let looked = self.look(version);
            // Locked, or gone for the moment: hints may be late. What can be read next says what changed.
            let failure = looked.map_err(store_error).err();
            let is_another = self.reader.epoch() > 0 || self.reader.node().is_some_and(|node| node != self.named.0);
            if self.ends(is_another) {
                return;
            }
            self.watched.state.send_if_modified(|state| {
                let is_news = state.version != self.version || state.failure.is_some() != failure.is_some();
                *state = State { version: self.version, failure };
                is_news
            });
            std::thread::park_timeout(Duration::from_nanos(self.watched.poll.load(Ordering::Relaxed)));
        }
    }

    /// Whether the thread is not needed any more: nobody watches, or the file is another one, which its watchers find by
    /// themselves, each by its own name.
    fn ends(&self, is_another: bool) -> bool {
        if self.watched.hub.is_watched() && !is_another {
            return false;
        }
        // Under the lock nobody joins.
        let mut table = lock(&WATCHED);
        let ends = is_another || !self.watched.hub.is_watched();
        if ends {
            table.remove(&self.named);
        }
        ends
    }

    /// Looks once. Cheap while nobody writes: one pragma, which reads a counter in shared memory.
    fn look(&mut self, version: u64) -> Result<(), FileError> {
        if version != self.version {
            (self.version, self.prefixes) = self.watched.hub.prefixes();
        }
        // 1. Nobody has written, and nobody wants to know more than before.
        self.dirty |= self.reader.changed(self.wait)?;
        let same_cover = self.seen.as_ref().filter(|seen| seen.cover == self.prefixes);
        if same_cover.is_some() && !self.dirty {
            return Ok(());
        }
        // 2. Somebody has, but what is watched is as it was.
        let known = same_cover.map(|seen| seen.count);
        let (what, prefixes) = (self.named.2, &self.prefixes);
        let now = self.reader.read(self.wait, |connection| read(connection, what, known, prefixes))?;
        self.dirty = false;
        // What is in an empty file is nothing.
        let Some(now) = now.unwrap_or_else(|| Some(Seen { cover: prefixes.clone(), ..Seen::default() })) else {
            return Ok(());
        };
        // 3. Which ones?
        if let Some(before) = self.seen.take() {
            tell(&self.watched.hub, self.named.2, &before, &now);
        }
        self.seen = Some(now);
        Ok(())
    }
}

impl Drop for Looker {
    /// However the thread ends, nobody waits for it.
    fn drop(&mut self) {
        let mut table = lock(&WATCHED);
        if table.get(&self.named).is_some_and(|watched| Arc::ptr_eq(watched, &self.watched)) {
            table.remove(&self.named);
        }
        drop(table);
        self.watched.hub.close();
        let replaced = "sqlite: the watched file was replaced; watch again";
        let failure = Some(StoreError::new(StoreErrorKind::Unavailable, replaced));
        self.watched.state.send_replace(State { version: u64::MAX, failure });
    }
}

/// What there is under the prefixes, in one read transaction; `None` where nothing of it has changed since it was counted.
fn read(
    connection: &Connection,
    what: What,
    known: Option<i64>,
    cover: &[KeyPrefix],
) -> rusqlite::Result<Option<Seen>> {
    let (count, table, columns) = match what {
        What::Leases => {
            let hands = connection.prepare_cached("SELECT hands FROM change")?.query_row([], |row| row.get(0))?;
            // Another program's record has no nonce; what is released has no holder either.
            (hands, "lease", "key, coalesce(nonce, holder)")
        }
        What::Documents => match document_rows::count(connection)? {
            Some(count) => (count, document_rows::TABLE, "key, version"),
            // No document was ever written, or somebody has dropped them all.
            None if known == Some(0) => return Ok(None),
            None => return Ok(Some(Seen { cover: cover.to_vec(), ..Seen::default() })),
        },
    };
    if known == Some(count) {
        return Ok(None);
    }
    let mut marks = BTreeMap::new();
    let mut scan = |prefix: &KeyPrefix| {
        rows::scan(connection, table, columns, prefix, |row| {
            let text = |column| row.get_ref(column).ok().and_then(|value| value.as_str().ok());
            if let (Some(key), Some(mark)) = (text(0).and_then(|key| LeaseKey::new(key).ok()), text(1))
                && covers(cover, &key)
            {
                marks.insert(key, mark.to_owned());
            }
        })
    };
    if cover.len() > PREFIXES {
        scan(&KeyPrefix::default())?;
    } else {
        cover.iter().try_for_each(scan)?;
    }
    Ok(Some(Seen { count, marks, cover: cover.to_vec() }))
}

/// Hands on what became of the keys that were looked at both times.
fn tell(hub: &WakeHub, what: What, before: &Seen, now: &Seen) {
    let told = |key: &LeaseKey, change| match what {
        What::Leases => Wake { key: Some(key.clone()), change },
        What::Documents => Wake::changed(key.clone()),
    };
    for key in before.marks.keys().filter(|key| !now.marks.contains_key(*key)) {
        hub.wake(&told(key, WakeChange::Freed));
    }
    for (key, mark) in now.marks.iter().filter(|(key, _)| covers(&before.cover, key)) {
        match before.marks.get(key) {
            Some(before) if before == mark => {}
            // It was released in between, perhaps.
            Some(_) => hub.wake(&told(key, WakeChange::Unknown)),
            None => hub.wake(&told(key, WakeChange::Taken)),
        }
    }
}

/// Whether one of the prefixes, which are in the order of their text and begin none of each other, begins the key.
fn covers(cover: &[KeyPrefix], key: &LeaseKey) -> bool {
    let after = cover.partition_point(|prefix| prefix.as_str() <= key.as_str());
    after.checked_sub(1).and_then(|at| cover.get(at)).is_some_and(|prefix| prefix.matches(key))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every step leaves what is locked whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(texts: &[&str]) -> Vec<KeyPrefix> {
        texts.iter().map(|text| KeyPrefix::new(*text).unwrap()).collect()
    }

    /// A key is looked at where a prefix begins it, whatever stands between the two in order.
    #[test]
    fn a_prefix_covers_what_it_begins() {
        let cover = prefixes(&["a/", "b", "é"]);
        for (key, covered) in [
            ("a", false),
            ("a/", true),
            ("a/x", true),
            ("aa", false),
            ("b", true),
            ("bz", true),
            ("c", false),
            ("éa", true),
        ] {
            assert_eq!(covers(&cover, &LeaseKey::new(key).unwrap()), covered, "{key}");
        }
        assert!(covers(&prefixes(&[""]), &LeaseKey::new("k").unwrap()));
        assert!(!covers(&[], &LeaseKey::new("k").unwrap()));
    }
}
