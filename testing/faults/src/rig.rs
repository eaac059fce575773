//! What is particular to a server: how it is started, what can be done to it, how a client finds it.

use std::time::Duration;

use crate::sockets;

/// Something that is done to servers, and mended again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Nobody gets an answer, and nobody is told: every server is stopped, or the file is locked.
    Pause,
    /// Every server is killed, and comes back with what it had.
    Kill,
    /// Every server is killed, and comes back as it was when [`Rig::save`] was called.
    Rewind,
    /// Every server is killed, and comes back with nothing.
    Lose,
    /// The wall clock of the servers is an hour ahead, and right again afterwards.
    StepClock,
    /// The node that answers for the key is killed, and comes back.
    KillNode,
    /// It is stopped, and goes on.
    PauseNode,
    /// It is cut off from the other nodes, and connected again. Its clients reach it all the while.
    CutOffNode,
}

/// Whether a deed can be done to a server, and what the store then promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plays {
    /// It can, and the fault model covers it: acts never overlap.
    Inside,
    /// It can, and lies outside of the fault model: acts may overlap for a ttl.
    Outside,
    /// There is no such thing here, such as nodes of a single server.
    Nothing,
    /// It could happen to this store, but cannot be played on this machine, for this reason.
    Missing(&'static str),
}

/// What a client is given to find the servers.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) url: String,
    pub(crate) environment: Vec<(String, String)>,
}

impl Client {
    pub(crate) fn at(url: String) -> Client {
        Client { url, environment: Vec::new() }
    }
}

/// The running servers of one store. They end when this is dropped.
pub(crate) trait Rig {
    /// The version of the server.
    fn version(&self) -> String;

    /// The ttl of the leases here.
    fn ttl(&self) -> Duration {
        Duration::from_millis(1_500)
    }

    /// How much longer than a ttl the servers themselves may take until one answers again after a node has failed.
    fn failover(&self) -> Duration {
        Duration::ZERO
    }

    /// The ports that clients connect to; none where they need no connection.
    fn ports(&self) -> Vec<u16>;

    /// How many connections a client may keep to each server: by default one for its requests, and the one by which it is
    /// told of changes.
    fn connections_to_each(&self) -> usize {
        2
    }

    /// The ports by which replies name these servers, one by one, where they do: they are renamed to those of a client's own
    /// proxies.
    fn announced(&self) -> Vec<u16> {
        Vec::new()
    }

    /// What a worker is started with that finds the servers at these ports, which stand for [`Rig::ports`] one by one.
    fn client(&self, worker: usize, ports: &[u16]) -> Client;

    /// Whether this can be done here.
    fn plays(&self, deed: Deed) -> Plays;

    /// What is to be said of what cannot happen here, or is played by another name: a part of the closing row.
    fn remark(&self) -> Option<&'static str> {
        None
    }

    /// Keeps the state of now for [`Deed::Rewind`].
    fn save(&mut self) -> Result<(), String>;

    /// Does it.
    fn strike(&mut self, deed: Deed) -> Result<(), String>;

    /// Mends what was done, and returns once the servers answer.
    fn mend(&mut self, deed: Deed) -> Result<(), String>;

    /// How many connections there are at the servers, where they or the system tell: those of before there were clients stay.
    fn connections(&mut self) -> Option<usize> {
        sockets::at(&self.ports())
    }
}

/// Running servers; `None`, after a line that says so, where they are not on this machine.
pub(crate) type Started = Result<Option<Box<dyn Rig>>, String>;

/// Starts one kind of servers.
pub(crate) struct Starter {
    pub(crate) name: &'static str,
    pub(crate) start: fn() -> Started,
}
