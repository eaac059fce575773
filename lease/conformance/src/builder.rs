//! What a store's test must offer to the suite, and what it can offer besides.

use std::error::Error;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tenure_store::{DocumentStore, HolderId, LeaseKey, LeaseStore};

/// Why something could not be built or done to the store; it fails the case.
pub type BuildError = Box<dyn Error + Send + Sync>;

/// Opens clients of one store, and does to that store what a client cannot do.
pub trait StoreBuilder: Send + Sync {
    /// The store's name for the report.
    fn name(&self) -> &str;

    /// A further client of the same store, independent of the others as far as the store allows.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>>;

    /// A further client of the documents beside the store's leases, if it keeps any.
    fn open_documents(&self) -> Option<BoxFuture<'_, Result<Arc<dyn DocumentStore>, BuildError>>> {
        None
    }

    /// A way to change records past the store, if there is one.
    fn records(&self) -> Option<&dyn Records> {
        None
    }

    /// A way to stop the store and let it go on, if there is one.
    fn stoppable(&self) -> Option<&dyn Stoppable> {
        None
    }

    /// A way to kill the store and start it again, if there is one.
    fn killable(&self) -> Option<&dyn Killable> {
        None
    }

    /// A way to kill the store and bring it back with an older state, if there is one.
    fn rewindable(&self) -> Option<&dyn Rewindable> {
        None
    }

    /// A way to let one of the store's servers fail, if the store keeps its keys on several.
    fn shards(&self) -> Option<&dyn Shards> {
        None
    }

    /// A client that can be stopped, as SIGSTOP stops a process, or as a network that drops packets stops a connection.
    fn stoppable_client(&self) -> Option<BoxFuture<'_, Result<Box<dyn StoppableClient>, BuildError>>> {
        None
    }
}

/// Changes records as an operator or a fault would. `None` where the store offers no way.
pub trait Records: Send + Sync {
    /// Deletes everything that the store keeps for the key.
    fn forget<'a>(&'a self, key: &'a LeaseKey) -> Option<BoxFuture<'a, Result<(), BuildError>>>;

    /// Writes a record of another program, or of an unknown format, in the key's place.
    fn plant<'a>(&'a self, key: &'a LeaseKey, holder: &'a HolderId) -> Option<BoxFuture<'a, Result<(), BuildError>>>;
}

/// A store that can be made to answer nobody for a while.
pub trait Stoppable: Send + Sync {
    /// Once this returns, no client gets an answer.
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

/// A store that can come back with an older state, as a store does that is restored from a snapshot or a backup.
pub trait Rewindable: Send + Sync {
    /// A client that was not configured to trust that the store keeps everything.
    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn LeaseStore>, BuildError>>;

    /// Saves the state that the store has now.
    fn save(&self) -> BoxFuture<'_, Result<(), BuildError>>;

    /// Ends the store without warning, and starts it again with the state that was saved last.
    fn rewind(&self) -> BoxFuture<'_, Result<(), BuildError>>;
}

/// A store that keeps its keys on several servers, each of which can fail alone.
pub trait Shards: Send + Sync {
    /// Whether the same server keeps both keys.
    fn together(&self, one: &LeaseKey, other: &LeaseKey) -> bool;

    /// Once this returns, the server that keeps `key` answers nobody. The others go on.
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

    /// Once this returns, nothing of this client reaches the store.
    fn stop(&self) -> BoxFuture<'_, Result<(), BuildError>>;

    /// Lets the client go on; what it sent meanwhile may arrive now.
    fn resume(&self) -> BoxFuture<'_, Result<(), BuildError>>;
}
