//! Watching: the messages that scripts publish, handed as hints to all watchers of a store.
//!
//! One subscription serves all watchers; in a cluster two do, on two nodes, so that nothing is missed while one of them dies.
//! A subscription that breaks off is made again, on another node where there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use redis::{PushInfo, PushKind, Value};
use tenure_store::{KeyPrefix, Pauses, StoreError, Wake, WakeHub, WakeStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::connection::{Connection, Connector};
use crate::error::unavailable;
use crate::names;
use crate::server::answer_of;
use crate::subscriptions::{IN_CLUSTER, Place, Subscriptions};
use crate::topology::{Topology, rotate_at_random};

/// How often a silent subscription is checked: where there may be another server to subscribe on, and where there is none.
const CHECK: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// The wait before a subscription that failed, or ended sooner than that, is made again, at first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// The watches of one store.
pub(crate) struct Watches {
    topology: Arc<Topology>,
    connector: Connector,
    channel: String,
    hub: Arc<WakeHub>,
    overflowed: Arc<AtomicU64>,
    subscriptions: Subscriptions,
}

impl Watches {
    /// None yet; and the channel as scripts are told it.
    pub(crate) fn new(topology: Arc<Topology>, connector: Connector, channel: String) -> (Arc<Self>, String) {
        let (hub, overflowed, subscriptions) = (WakeHub::new("redis"), Arc::default(), Subscriptions::default());
        // Over one subscription nothing comes twice, and messages stay as every version reads them.
        let told = if topology.is_cluster() { names::channel_with_identities(&channel) } else { channel.clone() };
        (Arc::new(Watches { topology, connector, channel, hub, overflowed, subscriptions }), told)
    }

    /// Hints that were folded into one without a key.
    pub(crate) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Starts a watch; what happens after this has returned is seen. The subscription ends with the last watch. Where the runtime
    /// of the one who began it ends first, so do all watches; who watches again begins another one.
    pub(crate) async fn start(
        self: &Arc<Self>,
        prefix: &KeyPrefix,
        deadline: Instant,
    ) -> Result<WakeStream, StoreError> {
        let wakes = self.hub.watch(prefix, &self.overflowed)?;
        let count = if self.topology.is_cluster() { IN_CLUSTER } else { 1 };
        if self.subscriptions.begin(count) {
            tokio::spawn(Running { watches: Arc::clone(self), in_order: false }.run(count));
        }
        let decided = timeout_at(deadline, self.subscriptions.one_stands()).await;
        decided.unwrap_or_else(|_| Err(unavailable("redis: a watch could not be started in time")))?;
        Ok(wakes)
    }

    async fn nobody_watches(&self) {
        loop {
            self.hub.unwatched().await;
            // Whoever begins to watch after that starts another task.
            if self.subscriptions.end_unless(|| self.hub.is_watched()) {
                return;
            }
        }
    }

    async fn keep_up(self: &Arc<Self>, number: usize) {
        let mut pauses = Pauses::new(PAUSE.0, PAUSE.1);
        loop {
            let (error, stood) = self.follow(number).await;
            tracing::debug!(number, %error, "a subscription to hints broke off");
            let place = self.subscriptions.fail(number, error);
            if let Place::Trying(address) | Place::Standing(address) = &place {
                self.topology.doubt(address);
            }
            tokio::time::sleep(pauses.after(stood)).await;
        }
    }

    /// Subscribes, and answers why the subscription ended, and for how long it stood. Its messages are handed on by the
    /// connection's own task.
    async fn follow(self: &Arc<Self>, number: usize) -> (StoreError, Duration) {
        let deadline = Instant::now() + self.connector.timeout();
        let ended = Arc::new(Notify::new());
        let (connection, address) = match timeout_at(deadline, self.subscribe(number, &ended, deadline)).await {
            Ok(Ok(subscribed)) => subscribed,
            Ok(Err(error)) => return (error, Duration::ZERO),
            Err(_) => return (unavailable("redis: no subscription in time"), Duration::ZERO),
        };
        let since = Instant::now();
        if self.subscriptions.stands(number, address.clone()) {
            // Nobody tells again what was published meanwhile.
            self.hub.wake(&Wake::unknown());
        }
        let error = tokio::select! {
            () = ended.notified() => unavailable("redis: a subscription ended"),
            error = self.check(&connection, &address) => error,
        };
        (error, since.elapsed())
    }

    async fn subscribe(
        self: &Arc<Self>,
        number: usize,
        ended: &Arc<Notify>,
        deadline: Instant,
    ) -> Result<(Connection, Address), StoreError> {
        let address = self.choose(number, deadline).await?;
        let (watches, ended) = (Arc::clone(self), Arc::clone(ended));
        let on_push = Box::new(move |push| watches.on_push(number, &ended, push));
        let connection = self.connector.connect(&address, Some(on_push)).await?;
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&self.channel);
        let confirmed = connection.client().send_packed_command(&subscribe).await;
        answer_of(&address, confirmed).map_err(|error| error.for_read(&address))?;
        Ok((connection, address))
    }

    /// Where to subscribe: in a cluster on any node that the other subscription is not on, nodes that were silent last.
    async fn choose(&self, number: usize, deadline: Instant) -> Result<Address, StoreError> {
        let mut nodes = self.topology.masters(deadline).await?;
        // No node is to bear the subscriptions of all stores, and no attempt is to end at the same node each time.
        rotate_at_random(&mut nodes);
        nodes.sort_by_key(|node| node.is_connected().is_none());
        let mut addresses = nodes.iter().map(|node| node.address().clone());
        let chosen = addresses.find(|address| self.subscriptions.tries(number, address));
        chosen.ok_or_else(|| unavailable("redis cluster: no other node to subscribe on"))
    }

    /// Takes what the server pushes over a subscription.
    fn on_push(&self, number: usize, ended: &Notify, push: PushInfo) {
        match (push.kind, push.data.get(1)) {
            (PushKind::Message, Some(Value::BulkString(message))) => {
                if let Some(read) = names::read_message(message)
                    && (!read.is_identified || self.subscriptions.is_first_copy(number, message))
                {
                    self.hub.wake(&Wake { key: Some(read.key), change: read.change });
                }
            }
            (PushKind::Disconnection | PushKind::Unsubscribe, _) => ended.notify_one(),
            _ => {}
        }
    }

    /// Asks, again and again, whether the server still answers, and still is one to subscribe on. Answers why not.
    async fn check(&self, connection: &Connection, address: &Address) -> StoreError {
        let interval = if self.topology.is_single() { CHECK.1 } else { CHECK.0 };
        loop {
            tokio::time::sleep(interval).await;
            let deadline = Instant::now() + self.connector.timeout();
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

/// The task that keeps subscriptions up. With its runtime it goes without a word: then no subscription is kept up any more, and
/// whoever watches is told by the end of the stream.
struct Running {
    watches: Arc<Watches>,
    // Nobody watched any more; by now another task may have begun.
    in_order: bool,
}

impl Running {
    async fn run(mut self, count: usize) {
        let watches = Arc::clone(&self.watches);
        tokio::select! {
            () = watches.nobody_watches() => {}
            _ = join_all((0..count).map(|number| watches.keep_up(number))) => {}
        }
        self.in_order = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.in_order {
            self.watches.subscriptions.end_unless(|| false);
            self.watches.hub.close();
        }
    }
}
