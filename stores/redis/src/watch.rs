//! Watching: the messages that scripts publish, handed as hints to all watchers of a store.
//!
//! One subscription serves all watchers; in a cluster two do, on two nodes, so that nothing is missed while one of them dies.
//! A subscription that breaks off is made again, on another node where there is one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use redis::{PushInfo, PushKind, Value};
use tenure_store::{KeyPrefix, StoreError, Wake, WakeHub, WakeStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::config::RedisConfig;
use crate::connection::{Connection, Connector};
use crate::error::unavailable;
use crate::names;
use crate::server::answer_of;
use crate::subscriptions::{IN_CLUSTER, Place, Subscriptions};
use crate::topology::Topology;

/// How often a silent subscription is checked: where there may be another server to subscribe on, and where there is none.
const CHECK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// The wait before a subscription that failed is made again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The watches of one store.
pub(crate) struct Watches {
    watching: Arc<Watching>,
}

struct Watching {
    topology: Arc<Topology>,
    connector: Connector,
    channel: String,
    timeout: Duration,
    hub: Arc<WakeHub>,
    overflowed: Arc<AtomicU64>,
    // The task that keeps the subscriptions up is running.
    running: Mutex<bool>,
    state: watch::Sender<State>,
}

/// Whether a subscription stands.
#[derive(Clone, Debug)]
enum State {
    Trying,
    Subscribed,
    Failed(StoreError),
}

impl Watches {
    /// None yet.
    pub(crate) fn new(topology: Arc<Topology>, connector: Connector, config: &RedisConfig) -> Self {
        let watching = Watching {
            topology,
            connector,
            channel: names::channel(config.database),
            timeout: config.timeout,
            hub: WakeHub::new("redis"),
            overflowed: Arc::default(),
            running: Mutex::default(),
            state: watch::Sender::new(State::Trying),
        };
        Watches { watching: Arc::new(watching) }
    }

    /// Hints that were folded into one without a key.
    pub(crate) fn overflowed(&self) -> u64 {
        self.watching.overflowed.load(Ordering::Relaxed)
    }

    /// Starts a watch; what happens after this has returned is seen. The subscription ends with the last watch.
    pub(crate) async fn start(&self, prefix: &KeyPrefix, deadline: Instant) -> Result<WakeStream, StoreError> {
        let watching = &self.watching;
        let wakes = watching.hub.watch(prefix, &watching.overflowed)?;
        watching.run_while_watched();
        let mut state = watching.state.subscribe();
        let decided = timeout_at(deadline, state.wait_for(|state| !matches!(state, State::Trying))).await;
        match decided.map(|state| state.map(|state| state.clone())) {
            Ok(Ok(State::Subscribed)) => Ok(wakes),
            Ok(Ok(State::Failed(error))) => Err(error),
            _ => Err(unavailable("redis: a watch could not be started in time")),
        }
    }
}

impl Watching {
    fn run_while_watched(self: &Arc<Self>) {
        let mut running = self.running();
        if !*running {
            *running = true;
            self.state.send_replace(State::Trying);
            tokio::spawn(Arc::clone(self).run());
        }
    }

    fn running(&self) -> MutexGuard<'_, bool> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        let count = if self.topology.is_cluster() { IN_CLUSTER } else { 1 };
        let subscriptions = Arc::new(Subscriptions::new(count));
        tokio::select! {
            () = self.nobody_watches() => {}
            _ = join_all((0..count).map(|number| self.keep_up(&subscriptions, number))) => {}
        }
    }

    async fn nobody_watches(&self) {
        loop {
            self.hub.unwatched().await;
            let mut running = self.running();
            if !self.hub.is_watched() {
                // Whoever begins to watch from here on starts another task.
                *running = false;
                return;
            }
        }
    }

    async fn keep_up(&self, subscriptions: &Arc<Subscriptions>, number: usize) {
        let mut pause = PAUSE.0;
        loop {
            let error = self.follow(subscriptions, number).await;
            tracing::debug!(number, %error, "a subscription to hints broke off");
            let place = subscriptions.fail(number);
            if let Place::Trying(address) | Place::Standing(address) = &place {
                self.topology.doubt(address);
            }
            if subscriptions.all_failed() {
                self.state.send_replace(State::Failed(error));
            } else if subscriptions.none_stands() {
                // Watches that are started now wait for the subscription that is being made.
                self.state.send_replace(State::Trying);
            }
            pause = if matches!(place, Place::Standing(_)) { PAUSE.0 } else { (pause * 2).min(PAUSE.1) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Subscribes, and answers why the subscription ended. Its messages are handed on by the connection's own task.
    async fn follow(&self, subscriptions: &Arc<Subscriptions>, number: usize) -> StoreError {
        let deadline = Instant::now() + self.timeout;
        let ended = Arc::new(Notify::new());
        let subscribed = async {
            let address = self.choose(subscriptions, number, deadline).await?;
            let connection = self.subscribe(&address, self.on_push(subscriptions, number, &ended)).await?;
            Ok::<_, StoreError>((connection, address))
        };
        let (connection, address) = match timeout_at(deadline, subscribed).await {
            Ok(Ok(subscribed)) => subscribed,
            Ok(Err(error)) => return error,
            Err(_) => return unavailable("redis: no subscription in time"),
        };
        let missed = subscriptions.stands(number, address.clone());
        self.state.send_replace(State::Subscribed);
        if missed {
            // Nobody tells again what was published meanwhile.
            self.hub.wake(&Wake::unknown());
        }
        tokio::select! {
            () = ended.notified() => unavailable("redis: a subscription ended"),
            error = self.check(&connection, &address) => error,
        }
    }

    /// What takes the messages of a subscription.
    fn on_push(
        &self,
        subscriptions: &Arc<Subscriptions>,
        number: usize,
        ended: &Arc<Notify>,
    ) -> impl Fn(PushInfo) + Send + Sync + 'static {
        let (hub, subscriptions, ended) = (Arc::clone(&self.hub), Arc::clone(subscriptions), Arc::clone(ended));
        move |push| match (push.kind, push.data.get(1)) {
            (PushKind::Message, Some(Value::BulkString(message))) => {
                if let Some((key, change)) = names::read_message(message)
                    && subscriptions.is_first_copy(number, &key, change)
                {
                    hub.wake(&Wake { key: Some(key), change });
                }
            }
            (PushKind::Disconnection | PushKind::Unsubscribe, _) => ended.notify_one(),
            _ => {}
        }
    }

    /// Where to subscribe: in a cluster on any node that the other subscription is not on, nodes that were silent last.
    async fn choose(
        &self,
        subscriptions: &Subscriptions,
        number: usize,
        deadline: Instant,
    ) -> Result<Address, StoreError> {
        let mut nodes = self.topology.masters(deadline).await?;
        let count = nodes.len().max(1);
        nodes.rotate_left(subscriptions.turn() % count);
        nodes.sort_by_key(|node| node.is_connected().is_none());
        let mut addresses = nodes.iter().map(|node| node.address().clone());
        let chosen = addresses.find(|address| subscriptions.tries(number, address));
        chosen.ok_or_else(|| unavailable("redis cluster: no other node to subscribe on"))
    }

    async fn subscribe(
        &self,
        address: &Address,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<Connection, StoreError> {
        let connection = self.connector.connect(address, Some(Box::new(on_push))).await?;
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        let confirmed = connection.client().send_packed_command(&subscribe).await;
        answer_of(address, confirmed).map_err(|error| error.for_read(address))?;
        Ok(connection)
    }

    /// Asks, again and again, whether the server still answers, and still is one to subscribe on. Answers why not.
    async fn check(&self, connection: &Connection, address: &Address) -> StoreError {
        let interval = if self.topology.is_single() { CHECK.1 } else { CHECK.0 };
        loop {
            tokio::time::sleep(interval).await;
            let deadline = Instant::now() + self.timeout;
            let mut client = connection.client();
            let ping = redis::cmd("PING");
            if !matches!(timeout_at(deadline, client.send_packed_command(&ping)).await, Ok(Ok(_))) {
                return unavailable("redis: the server of a subscription does not answer");
            }
            match self.topology.masters(deadline).await {
                Ok(servers) if servers.iter().any(|server| server.address() == address) => {}
                Ok(_) => return unavailable("redis: the server of a subscription is not a master any more"),
                // The subscription stands, and no better server is known.
                Err(_) if self.topology.is_cluster() => {}
                Err(error) => return error,
            }
        }
    }
}
