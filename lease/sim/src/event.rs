//! The events of a simulation: what can happen at a moment, and to whom.

use std::rc::Rc;

use tenure_core::{Answer, Input, LeaseKey, RequestId, Term};
use tenure_records::Seen;

use crate::faults::Way;
use crate::shell::{Call, Reply, Wanted};
use crate::store::{Op, State};
use crate::tenure::Tenure;
use crate::true_time::Nanos;

/// Something that happens at a moment.
#[derive(Clone, Debug)]
pub enum Event {
    /// Something reaches the loop of a process, which drives its machine.
    Machine {
        /// On this host.
        host: usize,
        /// In this process; another one ignores it.
        process: u64,
        /// What.
        what: ForMachine,
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
    /// A call reaches the server of records.
    AtServer {
        /// Of this process, or of one that asks on behalf of others.
        process: u64,
        /// From this host.
        host: usize,
        /// Under this number.
        number: u64,
        /// Of whoever wanted this.
        wanted: Rc<Wanted>,
        /// What to do.
        call: Box<Call>,
    },
    /// Something reaches a process that asks the server of records.
    AtClient {
        /// Which; another one ignores it.
        process: u64,
        /// What.
        what: ForClient,
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

/// What can reach the loop that drives a machine.
#[derive(Clone, Debug)]
pub enum ForMachine {
    /// The timer that was armed for this moment.
    Timer(Nanos),
    /// An answer.
    Answer {
        /// To this request.
        id: RequestId,
        /// What it says.
        answer: Answer,
        /// The place of the key that was asked for, where it was one.
        slot: Option<usize>,
        /// The tenure that it tells of, where it grants a claim or answers a renewal.
        tenure: Option<Tenure>,
    },
    /// Anything else.
    Tell(Input),
}

/// What can reach a process that asks the server of records.
#[derive(Clone, Debug)]
pub enum ForClient {
    /// The answer to the call of this number.
    Reply(u64, Box<Reply>),
    /// The call of this number has not been answered in time.
    IsLate(u64),
    /// A record has changed, and this stands there now.
    Change(Box<(LeaseKey, Seen)>),
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
