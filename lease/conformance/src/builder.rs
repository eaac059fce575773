//! What a store's test must offer to the suite, and what it may.

use std::error::Error;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tenure_store::{HolderId, LeaseKey, LeaseStore};

/// Why something could not be built or done to the store; it fails the case.
pub type BuildError = Box<dyn Error + Send + Sync>;

/// Opens clients of one store, and does to that store what no client can.
pub trait StoreBuilder: Send + Sync {
    /// The store's name for the report.
    fn name(&self) -> &str;

    /// A further client of the same store, independent of the others as far as the store allows.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>>;

    /// Reaches the records behind the store's back.
    fn records(&self) -> Option<&dyn Records> {
        None
    }

    /// Stops the store and lets it go on.
    fn stoppable(&self) -> Option<&dyn Stoppable> {
        None
    }

    /// Kills the store and starts it again.
    fn killable(&self) -> Option<&dyn Killable> {
        None
    }

    /// Kills the store and brings it back with an older state.
    fn rewindable(&self) -> Option<&dyn Rewindable> {
        None
    }

    /// Lets one of the store's servers fail, where it keeps its keys on several.
    fn shards(&self) -> Option<&dyn Shards> {
        None
    }

    /// A client that can be stopped, as a process is by SIGSTOP or a connection by a network that swallows it.
    fn stoppable_client(&self) -> Option<BoxFuture<'_, Result<Box<dyn StoppableClient>, BuildError>>> {
        None
    }
}

/// Changes records as an operator or a fault would. `None` where the store offers no way.
pub trait Records: Send + Sync {
    /// Loses everything that is kept for the key.
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>>;

    /// Writes a record of another program, or of a format that nobody knows, in the key's place.
    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>>;
}

/// A store that can be made to answer nobody for a while.
pub trait Stoppable: Send + Sync {
    /// From when this has ended, no client gets an answer.
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>>;

    /// Lets the store go on.
    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>>;
}

/// A store that can die and come back with what it keeps.
pub trait Killable: Send + Sync {
    /// Ends the store without warning.
    fn kill(&self) -> BoxFuture<'_, Result<(), BuildError>>;

    /// Starts it again, over the same data where it is durable.
    fn start(&self) -> BoxFuture<'_, Result<(), BuildError>>;
}

/// A store that can come back with an older state, as one does that was restored from a snapshot or a backup.
pub trait Rewindable: Send + Sync {
    /// A client that was not told that the store keeps everything.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>>;

    /// Keeps what the store knows now.
    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>>;

    /// Ends the store without warning, and starts it again with what was kept last.
    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>>;
}

/// A store that keeps its keys on several servers, each of which can fail by itself.
pub trait Shards: Send + Sync {
    /// Whether the same server keeps both keys.
    fn together(&self, one: &LeaseKey, other: &LeaseKey) -> bool;

    /// From when this has ended, the server that keeps `key` answers nobody. The others go on.
    fn fail<'a>(&'a self, key: &'a LeaseKey, fault: ShardFault) -> BoxFuture<'a, Result<(), BuildError>>;

    /// Lets the server that failed go on, or starts it again over the data that it kept.
    fn mend(&self) -> BoxFuture<'_, Result<(), BuildError>>;
}

/// How one of several servers fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShardFault {
    /// It ends without warning, and its connections with it.
    Killed,
    /// It is stopped: it answers nobody, and its connections stay open.
    Stopped,
}

/// One client, and a way to stop it.
pub trait StoppableClient: Send + Sync {
    /// The client.
    fn store(&self) -> Arc<dyn LeaseStore>;

    /// From when this has ended, nothing of this client reaches the store.
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>>;

    /// Lets the client go on; what it sent meanwhile may arrive now.
    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>>;
}
