//! Which server a key is on: always the same one, the master that Sentinels name, or the node that serves its slot.

use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::config::{Address, RedisConfig, Servers};
use crate::dial::Dial;
use crate::facts::Needs;
use crate::failure::Failure;
use crate::link::{Link, Role};
use crate::sentinel::Sentinels;

/// The servers of one store.
pub(crate) enum Topology {
    /// One server.
    Single(Arc<Link>),
    /// One server at a time, another one after a failover.
    Sentinel(Sentinels),
    /// Many.
    Cluster(Cluster),
}

impl Topology {
    /// Knows whom to ask, and has asked nobody yet.
    pub(crate) fn new(config: &RedisConfig, dial: &Dial) -> Result<Topology, tenure_store::StoreError> {
        let cluster = matches!(config.servers, Servers::Cluster(_));
        let role = Role::Master(Needs { cluster, eviction_allowed: config.eviction_allowed });
        Ok(match &config.servers {
            Servers::Single(address) => Topology::Single(Arc::new(Link::new(address.clone(), dial.clone(), role))),
            Servers::Sentinel { sentinels, master } => {
                let their = Dial::new(config.tls.as_ref(), &config.sentinel_credentials, 0, config.timeout)?;
                Topology::Sentinel(Sentinels::new(sentinels, master, &their, dial, role))
            }
            Servers::Cluster(seeds) => Topology::Cluster(Cluster::new(seeds, dial, role)),
        })
    }

    /// Whether keys are spread over slots.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Topology::Cluster(_))
    }

    /// The server that takes writes for this slot.
    pub(crate) async fn link(&self, slot: u16, deadline: Instant) -> Result<Arc<Link>, Failure> {
        match self {
            Topology::Single(link) => Ok(Arc::clone(link)),
            Topology::Sentinel(sentinels) => sentinels.master(deadline).await,
            Topology::Cluster(cluster) => cluster.link(slot, deadline).await,
        }
    }

    /// The server that another one pointed to; only a cluster's do.
    pub(crate) fn link_at(&self, address: &Address) -> Option<Arc<Link>> {
        match self {
            Topology::Cluster(cluster) => Some(cluster.link_at(address)),
            Topology::Single(_) | Topology::Sentinel(_) => None,
        }
    }

    /// Every server that takes writes.
    pub(crate) async fn masters(&self, deadline: Instant) -> Result<Vec<Arc<Link>>, Failure> {
        match self {
            Topology::Cluster(cluster) => cluster.masters(deadline).await,
            Topology::Single(_) | Topology::Sentinel(_) => Ok(vec![self.link(0, deadline).await?]),
        }
    }

    /// Takes note that a call to this server failed, or that it sent us elsewhere: before it is used again, who serves what is
    /// looked up anew.
    pub(crate) fn doubt(&self, server: &Address) {
        match self {
            Topology::Single(_) => {}
            Topology::Sentinel(sentinels) => sentinels.doubt(),
            Topology::Cluster(cluster) => cluster.doubt(server),
        }
    }
}
