//! Watching: what is heard of leases, handed to all watchers of a store.
//!
//! One subscription serves them all; in a cluster two do, on two nodes, so that nothing is missed while one of them dies.
//! Each is made anew, on another node where there is one, whenever it breaks off.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use redis::{PushInfo, PushKind, Value};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, Wake, WakeChange, WakeStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::config::{Address, RedisConfig};
use crate::dial::{Dial, Line};
use crate::failure::{Failure, Reply};
use crate::names;
use crate::news;
use crate::topology::Topology;
use crate::ways::{Place, WAYS, Ways};

/// How many hints a watcher may be behind; then one hint without a key stands for all that follow.
const WAKES: usize = 1_024;

/// How many messages of a subscription may wait to be handed to watchers; then every watcher gets one hint without a key.
const MESSAGES: usize = 8_192;

/// How many watches a store may have open at a time.
const WATCHES: usize = 65_536;

/// How often a silent subscription is asked whether it still stands: where there is another server to subscribe on, and where
/// there is none.
const ASK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// How long a subscription that failed is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The watches of one store.
pub(crate) struct Watches {
    hub: Arc<Hub>,
}

struct Hub {
    topology: Arc<Topology>,
    dial: Dial,
    channel: String,
    timeout: Duration,
    table: Mutex<Table>,
    state: watch::Sender<State>,
    // Somebody stopped watching.
    left: Notify,
    overflowed: AtomicU64,
}

#[derive(Default)]
struct Table {
    // By prefix, so that a hint finds its watchers by its key's own beginnings.
    watchers: HashMap<KeyPrefix, BTreeMap<u64, Watcher>>,
    count: usize,
    next: u64,
    running: bool,
}

struct Watcher {
    wakes: mpsc::Sender<Wake>,
    // A hint without a key is due once the others were read.
    owed: Arc<AtomicBool>,
}

/// Whether something is heard.
#[derive(Clone, Debug)]
enum State {
    Beginning,
    Subscribed,
    Failed(Failure),
}

/// What a server sends unasked.
enum Message {
    News(LeaseKey, WakeChange),
    Ended,
}

impl Watches {
    /// None yet.
    pub(crate) fn new(topology: Arc<Topology>, dial: Dial, config: &RedisConfig) -> Self {
        let hub = Hub {
            topology,
            dial,
            channel: names::channel(config.database),
            timeout: config.timeout,
            table: Mutex::default(),
            state: watch::Sender::new(State::Beginning),
            left: Notify::new(),
            overflowed: AtomicU64::new(0),
        };
        Watches { hub: Arc::new(hub) }
    }

    /// Hints that were folded into one without a key.
    pub(crate) fn overflowed(&self) -> u64 {
        self.hub.overflowed.load(Ordering::Relaxed)
    }

    /// Starts a watch; what happens after this has returned is seen. The subscription ends with the last watch.
    pub(crate) async fn start(&self, prefix: &KeyPrefix, deadline: Instant) -> Result<WakeStream, StoreError> {
        let (wakes, receiver) = mpsc::channel(WAKES);
        let owed = Arc::new(AtomicBool::new(false));
        let guard = self.hub.enter(prefix, Watcher { wakes, owed: Arc::clone(&owed) })?;
        let mut state = self.hub.state.subscribe();
        let decided = timeout_at(deadline, state.wait_for(|state| !matches!(state, State::Beginning))).await;
        match decided.map(|state| state.map(|state| state.clone())) {
            Ok(Ok(State::Subscribed)) => {}
            Ok(Ok(State::Failed(failure))) => return Err(failure.into()),
            _ => return Err(Failure::unavailable("redis: a watch could not be started in time").into()),
        }
        let wakes = stream::unfold((receiver, owed, guard), |(mut receiver, owed, guard)| async move {
            let wake = match receiver.try_recv() {
                Ok(wake) => wake,
                Err(_) if owed.swap(false, Ordering::Relaxed) => Wake::unknown(),
                Err(_) => receiver.recv().await?,
            };
            Some((wake, (receiver, owed, guard)))
        });
        Ok(wakes.boxed())
    }
}

/// Takes its watcher out of the table when it is dropped.
struct Guard {
    hub: Arc<Hub>,
    prefix: KeyPrefix,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut table = self.hub.table();
        if let Some(watchers) = table.watchers.get_mut(&self.prefix) {
            watchers.remove(&self.number);
            if watchers.is_empty() {
                table.watchers.remove(&self.prefix);
            }
            table.count -= 1;
        }
        drop(table);
        self.hub.left.notify_one();
    }
}

impl Hub {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>, prefix: &KeyPrefix, watcher: Watcher) -> Result<Guard, StoreError> {
        let mut table = self.table();
        if table.count >= WATCHES {
            let message = format!("redis: {WATCHES} watches are open already; drop one");
            return Err(Failure::unavailable(message).into());
        }
        let number = table.next;
        table.next += 1;
        table.count += 1;
        table.watchers.entry(prefix.clone()).or_default().insert(number, watcher);
        if !table.running {
            table.running = true;
            self.state.send_replace(State::Beginning);
            tokio::spawn(Arc::clone(self).run());
        }
        drop(table);
        Ok(Guard { hub: Arc::clone(self), prefix: prefix.clone(), number })
    }

    /// Keeps the subscriptions up as long as somebody watches.
    async fn run(self: Arc<Self>) {
        let ways = Ways::new(if self.topology.is_cluster() { WAYS } else { 1 });
        tokio::select! {
            () = self.nobody() => {}
            _ = join_all((0..ways.count()).map(|way| self.keep_up(&ways, way))) => {}
        }
    }

    async fn keep_up(&self, ways: &Ways, way: usize) {
        let mut pause = PAUSE.0;
        loop {
            let failure = self.follow(ways, way).await;
            tracing::debug!(way, %failure.message, "a subscription to wake-ups broke off");
            let place = ways.fail(way);
            if let Place::Trying(address) | Place::Standing(address) = &place {
                self.topology.doubt(address);
            }
            if ways.all_failed() {
                self.state.send_replace(State::Failed(failure));
            } else if ways.is_deaf() {
                // Who begins to watch now waits for the one that is tried.
                self.state.send_replace(State::Beginning);
            }
            pause = if matches!(place, Place::Standing(_)) { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends when nobody watches any more, and says so in the table.
    async fn nobody(&self) {
        loop {
            {
                let mut table = self.table();
                if table.count == 0 {
                    table.running = false;
                    return;
                }
            }
            self.left.notified().await;
        }
    }

    /// Subscribes and hands on what comes, until something breaks.
    async fn follow(&self, ways: &Ways, way: usize) -> Failure {
        let (messages, mut queue) = mpsc::channel(MESSAGES);
        let lost = Arc::new(Lost::default());
        let deadline = Instant::now() + self.timeout;
        let noted = Arc::clone(&lost);
        let hand_on = move |message| {
            if let Err(error) = messages.try_send(message) {
                noted.note(&error.into_inner());
            }
        };
        let subscribed = async {
            let address = self.choose(ways, way, deadline).await?;
            let line = self.subscribe(&address, deadline, hand_on).await?;
            Ok::<_, Failure>((line, address))
        };
        let (line, address) = match timeout_at(deadline, subscribed).await {
            Ok(Ok(subscribed)) => subscribed,
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::unavailable("redis: no subscription in time"),
        };
        let missed = ways.stands(way, address.clone());
        self.state.send_replace(State::Subscribed);
        if missed {
            // What was published meanwhile is not known.
            self.wake_all(WakeChange::Unknown);
        }
        let stands = self.stands(&line, &address);
        tokio::pin!(stands);
        loop {
            tokio::select! {
                message = queue.recv() => match message {
                    Some(Message::News(key, change)) if ways.is_news(way, &key, change) => self.wake(&key, change),
                    Some(Message::News(..)) => {}
                    Some(Message::Ended) | None => return Failure::unavailable("redis: a subscription ended"),
                },
                failure = &mut stands => return failure,
            }
            match lost.take() {
                None => {}
                Some(Loss::News(change)) => {
                    self.overflowed.fetch_add(1, Ordering::Relaxed);
                    self.wake_all(change);
                }
                Some(Loss::End) => return Failure::unavailable("redis: a subscription ended"),
            }
        }
    }

    /// Where to subscribe: in a cluster at any node that no other way is on, those known to be silent last.
    async fn choose(&self, ways: &Ways, way: usize, deadline: Instant) -> Result<Address, Failure> {
        let mut nodes = self.topology.masters(deadline).await?;
        let count = nodes.len().max(1);
        nodes.rotate_left(ways.turn() % count);
        nodes.sort_by_key(|node| node.is_live().is_none());
        let mut addresses = nodes.iter().map(|node| node.address().clone());
        let chosen = addresses.find(|address| ways.tries(way, address));
        chosen.ok_or_else(|| Failure::unavailable("redis cluster: no other node to subscribe on"))
    }

    async fn subscribe(
        &self,
        address: &Address,
        deadline: Instant,
        hand_on: impl Fn(Message) + Send + Sync + 'static,
    ) -> Result<Line, Failure> {
        let pushed = Box::new(move |push| message(push).into_iter().for_each(&hand_on));
        let line = self.dial.line(address, Some(pushed)).await?;
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        let mut connection = line.connection();
        let confirmed = timeout_at(deadline, connection.send_packed_command(&subscribe)).await;
        let unavailable = |why: String| Failure::unavailable(format!("redis {address}: no subscription: {why}"));
        match confirmed {
            Ok(Ok(Value::ServerError(error))) => {
                let detail = error.details().unwrap_or_default().to_owned();
                Err(Reply { code: error.code().to_owned(), detail }.failure(&address.to_string()))
            }
            Ok(Ok(_)) => Ok(line),
            Ok(Err(error)) => Err(Reply::of(&error)
                .map_or_else(|| unavailable(error.to_string()), |reply| reply.failure(&address.to_string()))),
            Err(_) => Err(unavailable("no answer in time".to_owned())),
        }
    }

    /// Asks, again and again, whether the server still answers, and still is one of the right ones; says when not.
    async fn stands(&self, line: &Line, address: &Address) -> Failure {
        let ask = if matches!(*self.topology, Topology::Single(_)) { ASK.1 } else { ASK.0 };
        loop {
            tokio::time::sleep(ask).await;
            let deadline = Instant::now() + self.timeout;
            let mut connection = line.connection();
            let ping = redis::cmd("PING");
            if !matches!(timeout_at(deadline, connection.send_packed_command(&ping)).await, Ok(Ok(_))) {
                return Failure::unavailable("redis: a subscription is not answered for");
            }
            match self.topology.masters(deadline).await {
                Ok(servers) if servers.iter().any(|server| server.address() == address) => {}
                Ok(_) => return Failure::unavailable("redis: a subscription is on the wrong server now"),
                // Nobody knows a better one.
                Err(_) if self.topology.is_cluster() => {}
                Err(failure) => return failure,
            }
        }
    }

    /// Hands a hint to everybody whose prefix the key begins with.
    fn wake(&self, key: &LeaseKey, change: WakeChange) {
        let table = self.table();
        let text = key.as_str();
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let Ok(prefix) = KeyPrefix::new(&text[..end]) else { continue };
            for watcher in table.watchers.get(&prefix).into_iter().flat_map(BTreeMap::values) {
                self.hint(watcher, Wake { key: Some(key.clone()), change });
            }
        }
    }

    /// Hands everybody a hint without a key.
    fn wake_all(&self, change: WakeChange) {
        for watcher in self.table().watchers.values().flat_map(BTreeMap::values) {
            self.hint(watcher, Wake { key: None, change });
        }
    }

    fn hint(&self, watcher: &Watcher, wake: Wake) {
        if watcher.wakes.try_send(wake).is_err() {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
            watcher.owed.store(true, Ordering::Relaxed);
        }
    }
}

/// What of the messages was lost because too many waited. News of new tenures alone makes no candidate claim, also where
/// ten thousand keys are granted at once.
#[derive(Default)]
struct Lost(AtomicU8);

#[derive(Debug, PartialEq, Eq)]
enum Loss {
    News(WakeChange),
    End,
}

impl Lost {
    fn note(&self, message: &Message) {
        let worth = match message {
            Message::News(_, WakeChange::Taken) => 1,
            Message::News(..) => 2,
            Message::Ended => 3,
        };
        self.0.fetch_max(worth, Ordering::Relaxed);
    }

    fn take(&self) -> Option<Loss> {
        match self.0.swap(0, Ordering::Relaxed) {
            0 => None,
            1 => Some(Loss::News(WakeChange::Taken)),
            2 => Some(Loss::News(WakeChange::Unknown)),
            _ => Some(Loss::End),
        }
    }
}

fn message(push: PushInfo) -> Option<Message> {
    match push.kind {
        PushKind::Message => match push.data.get(1) {
            Some(Value::BulkString(message)) => news::read(message).map(|(key, change)| Message::News(key, change)),
            _ => None,
        },
        PushKind::Disconnection | PushKind::Unsubscribe => Some(Message::Ended),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what was lost the most that it may mean is told, once: an end, a key that came free, a new tenure.
    #[test]
    fn what_was_lost_is_told_by_its_worst() {
        let lost = Lost::default();
        let news = |change| Message::News(LeaseKey::new("k").unwrap(), change);
        assert_eq!(lost.take(), None);
        (0..9_000).for_each(|_| lost.note(&news(WakeChange::Taken)));
        assert_eq!(lost.take(), Some(Loss::News(WakeChange::Taken)));
        assert_eq!(lost.take(), None);
        lost.note(&news(WakeChange::Freed));
        lost.note(&news(WakeChange::Taken));
        assert_eq!(lost.take(), Some(Loss::News(WakeChange::Unknown)));
        lost.note(&Message::Ended);
        lost.note(&news(WakeChange::Freed));
        assert_eq!(lost.take(), Some(Loss::End));
    }
}
