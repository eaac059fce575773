//! Which server a key is on: the only one, the master that Sentinels name, or the cluster's node that serves the key's slot.
//!
//! All three are one map of slots; without a cluster one server has them all. The map is looked up at first use and again
//! once a call has shown that it may be wrong. A doubt belongs to one server: calls that need others go on meanwhile.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_store::StoreError;
use tokio::time::{Instant, timeout_at};

use crate::address::Address;
use crate::cluster::{self, SlotRange};
use crate::config::{RedisConfig, Servers};
use crate::connection::Connector;
use crate::error::unavailable;
use crate::sentinel::Sentinels;
use crate::server::{Role, Server};
use crate::server_info::Requirements;

/// The servers of one store.
pub(crate) struct Topology {
    source: Source,
    connector: Connector,
    role: Role,
    state: Mutex<State>,
    // Held during a look-up, so that there is one at a time.
    lookup: tokio::sync::Mutex<()>,
}

/// Who tells which servers there are.
enum Source {
    /// The configuration names the one server.
    Single,
    /// A majority of these names the master.
    Sentinels(Sentinels),
    /// The cluster's nodes, found through these.
    Cluster(Vec<Address>),
}

#[derive(Default)]
struct State {
    ranges: Vec<SlotRange>,
    servers: HashMap<Address, Arc<Server>>,
    // Servers that failed, or redirected a call, since the last look-up.
    doubted: HashSet<Address>,
    // From when on the age of `ranges` counts.
    looked_up: Option<Instant>,
    // The last look-up that failed: when it ended, for how long it was allowed to go on, and why.
    failed: Option<(Instant, Duration, StoreError)>,
}

/// For how long the word of a majority of Sentinels is taken.
const SENTINELS_WORD: Duration = Duration::from_secs(1);

/// How soon after a look-up a cluster is asked again: a node that is down stays so for a while.
const CLUSTER_PAUSE: Duration = Duration::from_millis(100);

impl Topology {
    /// Knows whom to ask, and has asked nobody yet.
    pub(crate) fn new(config: &RedisConfig, connector: &Connector) -> Result<Topology, StoreError> {
        let mut state = State::default();
        let source = match &config.servers {
            Servers::Single(address) => {
                state.ranges.push((0, u16::MAX, address.clone()));
                Source::Single
            }
            Servers::Sentinel { sentinels, master } => {
                let connector = Connector::new(config.tls.as_ref(), &config.sentinel_credentials, 0, config.timeout)?;
                Source::Sentinels(Sentinels::new(sentinels, master, &connector))
            }
            Servers::Cluster(nodes) => Source::Cluster(nodes.clone()),
        };
        let cluster = matches!(source, Source::Cluster(_));
        let role = Role::Master(Requirements { cluster, eviction_allowed: config.eviction_allowed });
        let (connector, state) = (connector.clone(), Mutex::new(state));
        Ok(Topology { source, connector, role, state, lookup: tokio::sync::Mutex::default() })
    }

    /// Whether keys are spread over slots.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.source, Source::Cluster(_))
    }

    /// Whether there is always the same one server.
    pub(crate) fn is_single(&self) -> bool {
        matches!(self.source, Source::Single)
    }

    /// The server that takes writes for this slot.
    pub(crate) async fn server(&self, slot: u16, deadline: Instant) -> Result<Arc<Server>, StoreError> {
        self.look_up_where_needed(Some(slot), deadline).await?;
        let address = self.state().server_of(slot).cloned();
        let nobody = || unavailable(format!("redis cluster: no node serves slot {slot}; see CLUSTER INFO"));
        address.map(|address| self.server_at(&address)).ok_or_else(nobody)
    }

    /// Every server that takes writes.
    pub(crate) async fn masters(&self, deadline: Instant) -> Result<Vec<Arc<Server>>, StoreError> {
        self.look_up_where_needed(None, deadline).await?;
        let addresses = self.state().addresses();
        Ok(addresses.iter().map(|address| self.server_at(address)).collect())
    }

    /// The server at this address, known or not: MOVED and ASK may name new ones.
    pub(crate) fn server_at(&self, address: &Address) -> Arc<Server> {
        let server = || Arc::new(Server::new(address.clone(), self.connector.clone(), self.role));
        Arc::clone(self.state().servers.entry(address.clone()).or_insert_with(server))
    }

    /// Takes note that a call to this server failed, or that it redirected the call: the map is looked up again before the
    /// server is used again.
    pub(crate) fn doubt(&self, address: &Address) {
        self.state().doubted.insert(address.clone());
    }

    /// Looks up, where the server of this slot, or any where no slot is named, is unknown or in doubt.
    async fn look_up_where_needed(&self, slot: Option<u16>, deadline: Instant) -> Result<(), StoreError> {
        if self.is_known(slot) {
            return Ok(());
        }
        let waiting = Instant::now();
        let late = || unavailable("redis: which server has the key was not looked up in time");
        let _only = timeout_at(deadline, self.lookup.lock()).await.map_err(|_| late())?;
        if self.is_known(slot) {
            return Ok(());
        }
        let asking = Instant::now();
        // The other half of the time is left for the call itself.
        let allowed = deadline.saturating_duration_since(asking) / 2;
        if let Some((ended, had, error)) = &self.state().failed
            && *ended >= waiting
            && *had >= allowed / 2
        {
            // It has failed while this call waited for it. One that had much less time says nothing about this one.
            return Err(error.clone());
        }
        let found = self.look_up(asking + allowed).await;
        let mut state = self.state();
        match found {
            Ok(ranges) => {
                // Drops the connections to servers that serve nothing any more.
                state.servers.retain(|address, _| ranges.iter().any(|(_, _, serves)| serves == address));
                state.ranges = ranges;
                state.doubted.clear();
                state.looked_up = Some(if self.is_cluster() { Instant::now() } else { asking });
                Ok(())
            }
            // What the nodes said before may still be right; without a majority of Sentinels it must not be used.
            Err(_) if self.is_cluster() && !state.ranges.is_empty() => {
                state.looked_up = Some(Instant::now());
                Ok(())
            }
            Err(error) => {
                state.failed = Some((Instant::now(), allowed, error.clone()));
                Err(error)
            }
        }
    }

    async fn look_up(&self, end: Instant) -> Result<Vec<SlotRange>, StoreError> {
        match &self.source {
            Source::Single => Ok(self.state().ranges.clone()),
            Source::Sentinels(sentinels) => Ok(vec![(0, u16::MAX, sentinels.master(end).await?)]),
            Source::Cluster(seeds) => cluster::slot_ranges(&self.candidates(seeds), end).await,
        }
    }

    /// The nodes to ask, first those that are connected, last those that were silent. Each look-up begins with others, drawn at
    /// random.
    fn candidates(&self, seeds: &[Address]) -> Vec<Arc<Server>> {
        let mut addresses = self.state().addresses();
        addresses.extend(seeds.iter().cloned());
        addresses.sort_by_key(ToString::to_string);
        addresses.dedup();
        rotate_at_random(&mut addresses);
        let mut servers: Vec<_> = addresses.iter().map(|address| self.server_at(address)).collect();
        servers.sort_by_cached_key(|server| Reverse(server.is_connected()));
        servers
    }

    fn is_known(&self, slot: Option<u16>) -> bool {
        let state = self.state();
        let trusted = match slot {
            Some(slot) => state.server_of(slot).is_some_and(|server| !state.doubted.contains(server)),
            None => !state.ranges.is_empty() && state.doubted.is_empty(),
        };
        let younger_than = |age| state.looked_up.is_some_and(|at| at.elapsed() < age);
        match self.source {
            Source::Single => true,
            Source::Sentinels(_) => trusted && younger_than(SENTINELS_WORD),
            Source::Cluster(_) => trusted || !state.ranges.is_empty() && younger_than(CLUSTER_PAUSE),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins the list at another place each time.
pub(crate) fn rotate_at_random<T>(list: &mut [T]) {
    let count = list.len().max(1);
    list.rotate_left(RandomState::new().hash_one(0) as usize % count);
}

impl State {
    fn server_of(&self, slot: u16) -> Option<&Address> {
        let range = self.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot));
        range.map(|(_, _, address)| address)
    }

    /// The servers of the map, each once.
    fn addresses(&self) -> Vec<Address> {
        let mut seen = HashSet::new();
        self.ranges.iter().map(|(_, _, address)| address).filter(|address| seen.insert(*address)).cloned().collect()
    }
}
