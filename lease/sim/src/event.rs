//! The events of a simulation: what can happen at a moment, and to whom.

use tenure_core::{Answer, Input, Nonce, RequestId, Term};

use crate::faults::Way;
use crate::store::{Op, State};
use crate::true_time::Nanos;

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something reaches the elector's loop of a process.
    Elector {
        /// On this host.
        host: usize,
        /// In this process; another one ignores it.
        process: u64,
        /// What.
        what: ForElector,
    },
    /// Something happens to work.
    Work {
        /// Which, in the order in which work was started.
        worker: usize,
        /// What.
        what: ForWork,
    },
    /// A request, or a later step of it, reaches the store.
    AtStore {
        /// From this host.
        host: usize,
        /// From this process.
        process: u64,
        /// Under this name.
        id: RequestId,
        /// What to do.
        op: Op,
    },
    /// A write reaches the sink.
    AtSink {
        /// From this work.
        worker: usize,
        /// Under this term.
        term: Term,
    },
    /// The plan's fault of this number strikes.
    Strikes(usize),
    /// A fault ends.
    Ends(Ending),
    /// Nothing goes wrong any more: everybody is told once more to be healthy and to campaign, in case a late message had
    /// the last word.
    Calm,
    /// By now somebody must lead.
    LeadsBy,
    /// The end.
    End,
}

/// What can reach an elector's loop.
#[derive(Clone, Debug)]
pub enum ForElector {
    /// The timer that was armed for this moment.
    Timer(Nanos),
    /// An answer; with the tenure that it tells of, where it grants a claim or answers a renewal.
    Answer(RequestId, Answer, Option<(Nonce, Term)>),
    /// Anything else.
    Tell(Input),
}

/// What can happen to work.
#[derive(Clone, Copy, Debug)]
pub enum ForWork {
    /// It acts, if it believes that it may.
    Act,
    /// It has stopped by itself.
    Drained,
    /// Its watchdog looks at the clock.
    Watchdog,
    /// A kill takes effect.
    Dies,
    /// The invariant looks whether it is dead.
    Deadline,
}

/// Which fault ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// The host wakes up.
    Suspend(usize),
    /// The loop goes on.
    Stall(usize),
    /// Messages pass again.
    Partition(usize, Way),
    /// A process starts on the host.
    Crash(usize),
    /// The store is up again.
    StoreRestart,
    /// The store is up again, with this.
    StoreComesBack(State),
    /// The candidate is healthy again.
    Unhealthy(usize),
}
