//! Watching: one subscription for all watchers of a store, made anew whenever it breaks off.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::{StreamExt, stream};
use redis::{Pipeline, PushInfo, PushKind, Value};
use tenure_store::{KeyPrefix, LeaseKey, StoreError, Wake, WakeChange, WakeStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::config::{Address, RedisConfig};
use crate::dial::{Dial, Line};
use crate::failure::{Failure, Reply};
use crate::names;
use crate::news;
use crate::topology::Topology;

/// How many hints a watcher may be behind; then one hint without a key stands for all that follow.
const WAKES: usize = 1_024;

/// How many messages may wait to be handed to watchers; then every watcher gets one hint without a key.
const MESSAGES: usize = 8_192;

/// How many watches a store may have open at a time.
const WATCHES: usize = 65_536;

/// How often a silent subscription is asked whether it still stands.
const ASK: Duration = Duration::from_secs(15);

/// How long a subscription that failed is left alone, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The watches of one store.
pub(crate) struct Watches {
    hub: Arc<Hub>,
}

struct Hub {
    topology: Arc<Topology>,
    dial: Dial,
    database: i64,
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

/// Where the subscription stands.
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
            database: config.database,
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

    /// Keeps the subscription up as long as somebody watches.
    async fn run(self: Arc<Self>) {
        let mut pause = PAUSE.0;
        let mut again = false;
        loop {
            let failure = tokio::select! {
                () = self.nobody() => return,
                failure = self.follow(again) => failure,
            };
            tracing::debug!(%failure.message, "the subscription to wake-ups broke off");
            let stood = matches!(self.state.send_replace(State::Failed(failure)), State::Subscribed);
            self.topology.doubt();
            again |= stood;
            pause = if stood { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::select! {
                () = self.nobody() => return,
                () = tokio::time::sleep(pause) => {}
            }
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
    async fn follow(&self, again: bool) -> Failure {
        let (messages, mut queue) = mpsc::channel(MESSAGES);
        let lost = Arc::new(Lost::default());
        let deadline = Instant::now() + self.timeout;
        let subscribed = async {
            let places = self.places(deadline).await?;
            let lines = try_join_all(places.values().map(|(address, channels)| {
                let (messages, lost) = (messages.clone(), Arc::clone(&lost));
                self.subscribe(address, channels, deadline, move |message| {
                    if let Err(error) = messages.try_send(message) {
                        lost.note(&error.into_inner());
                    }
                })
            }));
            Ok::<_, Failure>((lines.await?, places))
        };
        let (lines, places) = match timeout_at(deadline, subscribed).await {
            Ok(Ok(subscribed)) => subscribed,
            Ok(Err(failure)) => return failure,
            Err(_) => return Failure::unavailable("redis: no subscription in time"),
        };
        self.state.send_replace(State::Subscribed);
        if again {
            // What was published meanwhile is not known.
            self.wake_all(WakeChange::Unknown);
        }
        let mut ask = tokio::time::interval_at(Instant::now() + ASK, ASK);
        loop {
            tokio::select! {
                message = queue.recv() => match message {
                    Some(Message::News(key, change)) => self.wake(&key, change),
                    Some(Message::Ended) | None => return Failure::unavailable("redis: a subscription ended"),
                },
                _ = ask.tick() => {
                    if let Err(failure) = self.still_stands(&lines, &places).await {
                        return failure;
                    }
                }
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

    /// Which channels to subscribe to where.
    async fn places(&self, deadline: Instant) -> Result<BTreeMap<String, (Address, Vec<String>)>, Failure> {
        let mut places: BTreeMap<String, (Address, Vec<String>)> = BTreeMap::new();
        let channels = match self.topology.is_cluster() {
            true => names::shard_channels().to_vec(),
            false => vec![names::channel(self.database)],
        };
        for channel in channels {
            let link = self.topology.link(names::slot(&channel), deadline).await?;
            let address = link.address().clone();
            places.entry(address.to_string()).or_insert_with(|| (address, Vec::new())).1.push(channel);
        }
        Ok(places)
    }

    async fn subscribe(
        &self,
        address: &Address,
        channels: &[String],
        deadline: Instant,
        hand_on: impl Fn(Message) + Send + Sync + 'static,
    ) -> Result<Line, Failure> {
        let pushed = Box::new(move |push| message(push).into_iter().for_each(&hand_on));
        let line = self.dial.line(address, Some(pushed)).await?;
        let place = address.to_string();
        let mut commands = Pipeline::with_capacity(channels.len());
        for channel in channels {
            // One channel a command, as each is confirmed for itself.
            commands.cmd(if self.topology.is_cluster() { "SSUBSCRIBE" } else { "SUBSCRIBE" }).arg(channel);
        }
        let mut connection = line.connection();
        let confirmed = timeout_at(deadline, connection.send_packed_commands(&commands, 0, channels.len())).await;
        let unavailable = |why: String| Failure::unavailable(format!("redis {place}: no subscription: {why}"));
        let values = match confirmed {
            Ok(Ok(values)) => values,
            Ok(Err(error)) => {
                return Err(Reply::of(&error).map_or_else(|| unavailable(error.to_string()), |r| r.failure(&place)));
            }
            Err(_) => return Err(unavailable("no answer in time".to_owned())),
        };
        for value in values {
            if let Value::ServerError(error) = value {
                let detail = error.details().unwrap_or_default().to_owned();
                return Err(Reply { code: error.code().to_owned(), detail }.failure(&place));
            }
        }
        Ok(line)
    }

    /// Whether the servers still answer, and still are the right ones.
    async fn still_stands(
        &self,
        lines: &[Line],
        subscribed: &BTreeMap<String, (Address, Vec<String>)>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        for line in lines {
            let mut connection = line.connection();
            let ping = redis::cmd("PING");
            match timeout_at(deadline, connection.send_packed_command(&ping)).await {
                Ok(Ok(_)) => {}
                _ => return Err(Failure::unavailable("redis: a subscription is not answered for")),
            }
        }
        if self.places(deadline).await?.keys().ne(subscribed.keys()) {
            return Err(Failure::unavailable("redis: a subscription is on the wrong server now"));
        }
        Ok(())
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
        PushKind::Message | PushKind::SMessage => match push.data.get(1) {
            Some(Value::BulkString(message)) => {
                news::read(message).and_then(|wake| Some(Message::News(wake.key?, wake.change)))
            }
            _ => None,
        },
        // Sharded channels are unsubscribed by the server when their slot moves.
        PushKind::Disconnection | PushKind::Unsubscribe | PushKind::SUnsubscribe => Some(Message::Ended),
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
