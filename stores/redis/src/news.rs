//! News: what is said of leases over channels, on which, and by whom where the script that made it cannot.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::Cmd;
use tenure_store::{Wake, WakeChange};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::failure::Failure;
use crate::link::Sent;
use crate::names;
use crate::topology::Topology;

/// How many claims at a time may have news that is still to be told; what comes on top is not told.
const TELLERS: usize = 64;

/// Where it is said that a key came free, or was granted.
pub(crate) enum News {
    /// On this channel.
    Channel(String),
    /// On the shard channel of the key's slot.
    Sharded,
}

impl News {
    /// Writes the command that publishes, and the channel for keys in this slot.
    pub(crate) fn write(&self, command: &mut Cmd, slot: u16) {
        match self {
            News::Channel(channel) => command.arg("PUBLISH").arg(channel),
            News::Sharded => command.arg("SPUBLISH").arg(names::shard_channel(slot)),
        };
    }
}

/// Reads a message: `freed NAME` or `taken NAME`, with the name of the lease.
pub(crate) fn read(message: &[u8]) -> Option<Wake> {
    let (change, name) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    let change = match change {
        "freed" => WakeChange::Freed,
        "taken" => WakeChange::Taken,
        _ => return None,
    };
    Some(Wake { key: Some(names::key_of_lease(name)?), change })
}

/// Tells what scripts could not: in a cluster, where the channel is on another node. News that is lost costs time, nothing
/// else.
pub(crate) struct Herald {
    topology: Arc<Topology>,
    tellers: Arc<Semaphore>,
}

impl Herald {
    /// Has nothing to tell yet.
    pub(crate) fn new(topology: Arc<Topology>) -> Self {
        Herald { topology, tellers: Arc::new(Semaphore::new(TELLERS)) }
    }

    /// Tells it, and waits until it was heard.
    pub(crate) async fn tell(&self, news: Vec<Wake>, deadline: Instant) {
        if self.topology.is_cluster() && !news.is_empty() {
            tell(&self.topology, news, deadline).await;
        }
    }

    /// Tells it while whoever brought it goes on, within `time` of its own: with what a slow claim has left of its time
    /// this would fail, and take the connection that claims share with it.
    pub(crate) fn tell_later(&self, news: Vec<Wake>, time: Duration) {
        if !self.topology.is_cluster() || news.is_empty() {
            return;
        }
        let Ok(teller) = Arc::clone(&self.tellers).try_acquire_owned() else {
            tracing::debug!(count = news.len(), "too much to tell already: watchers look by themselves");
            return;
        };
        let topology = Arc::clone(&self.topology);
        tokio::spawn(async move {
            tell(&topology, news, Instant::now() + time).await;
            drop(teller);
        });
    }
}

async fn tell(topology: &Topology, news: Vec<Wake>, deadline: Instant) {
    for told in join_all(news.iter().map(|wake| tell_one(topology, wake, deadline))).await {
        if let Err(failure) = told {
            tracing::debug!(%failure.message, "a wake-up was not published");
        }
    }
}

async fn tell_one(topology: &Topology, wake: &Wake, deadline: Instant) -> Result<(), Failure> {
    let (Some(key), Some(change)) = (&wake.key, word(wake.change)) else { return Ok(()) };
    let name = names::lease_name(key);
    let channel = names::shard_channel(names::slot(&name));
    let live = topology.link(names::slot(channel), deadline).await?.live(deadline).await?;
    let mut command = redis::cmd("SPUBLISH");
    command.arg(channel).arg(format!("{change} {name}"));
    match live.send(&command, deadline).await {
        Sent::Answered(_) => Ok(()),
        Sent::Refused(reply) => Err(reply.failure(live.place())),
        Sent::Failed(failure) => Err(failure),
    }
}

fn word(change: WakeChange) -> Option<&'static str> {
    match change {
        WakeChange::Freed => Some("freed"),
        WakeChange::Taken => Some("taken"),
        WakeChange::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_store::LeaseKey;

    /// What is told reads back, of names with spaces and braces too; what nobody tells is left alone.
    #[test]
    fn messages_are_read() {
        let key = LeaseKey::new("my {key}").unwrap();
        assert_eq!(read(b"freed my %7Bkey%7D"), Some(Wake::freed(key.clone())));
        assert_eq!(read(b"taken my %7Bkey%7D"), Some(Wake::taken(key)));
        for odd in [&b"my"[..], b"", b"held my", b"freed ", b"freed \xff", b"freed {"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }
}
