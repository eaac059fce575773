//! The faults: what can go wrong, as data, and how often it did.

use std::fmt;

use crate::store::State;
use crate::trace::ms;
use crate::true_time::Nanos;

/// Whom a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads at that moment; the first host where nobody does.
    Leader,
    /// This host.
    Host(usize),
}

/// Which messages a partition swallows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Those to the store.
    Requests,
    /// Those from the store: requests take effect, nobody learns of it.
    Replies,
    /// All.
    Both,
}

/// What becomes of a dead process's lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aftermath {
    /// It runs out: nobody has proven the death.
    Nothing,
    /// Whoever proved the death releases it.
    Released,
    /// Whoever proved the death extends it to the end of its hold.
    Kept,
}

/// One thing that goes wrong, or that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Host, worker and watchdog stand still, as in suspend or under SIGSTOP.
    Suspend {
        /// Whom it strikes.
        target: Target,
        /// For how long.
        lasts: Nanos,
    },
    /// The elector's loop alone stands still, as under a blocked runtime.
    Stall {
        /// Whom it strikes.
        target: Target,
        /// For how long.
        lasts: Nanos,
    },
    /// The process dies with all its work, and starts again under the same name.
    Crash {
        /// Whom it strikes.
        target: Target,
        /// How long until the next process starts.
        lasts: Nanos,
        /// What becomes of the lease.
        then: Aftermath,
    },
    /// Messages between a host and the store are swallowed.
    Partition {
        /// Whom it strikes.
        target: Target,
        /// Which messages.
        way: Way,
        /// For how long.
        lasts: Nanos,
    },
    /// The store is down for a while and keeps its records.
    StoreRestart {
        /// For how long.
        lasts: Nanos,
    },
    /// The store keeps what it knows at this moment for a later restart.
    StoreSaves,
    /// The store is down for a while and comes back with an older state.
    StoreComesBack {
        /// For how long it is down.
        lasts: Nanos,
        /// With what.
        with: State,
    },
    /// The store loses its records. Outside the fault model.
    StoreForgets,
    /// The store's clock steps. Outside the fault model.
    StoreClockSteps {
        /// By how many nanoseconds.
        by: i64,
    },
    /// The store's wall clock alone steps: it only seeds terms, so nothing may come of it while records are kept.
    WallClockSteps {
        /// By how many microseconds.
        by: i64,
    },
    /// Somebody asks the candidate to resign.
    Resign {
        /// Whom.
        target: Target,
    },
    /// Somebody asks the holder to resign through the record: whoever holds the key hears of it with each renewal.
    ResignRequest,
    /// The candidate is unhealthy for a while.
    Unhealthy {
        /// Who.
        target: Target,
        /// For how long.
        lasts: Nanos,
    },
    /// The leader's work ends by itself.
    WorkEnds,
    /// Everybody gets wake-ups, though nothing has changed.
    FalseWakes {
        /// How many each.
        count: u64,
    },
}

/// The names of the faults, in the order of [`Fault::kind`]; the last one is counted once per candidate.
pub const KINDS: [&str; 18] = [
    "suspend",
    "stall",
    "crash",
    "crash, reaped",
    "partition",
    "store restart",
    "store forgets",
    "store clock steps",
    "resign",
    "unhealthy",
    "work ends",
    "false wakes",
    "wall clock steps",
    "resign request",
    "crash, kept",
    "store saves",
    "store comes back",
    "clocks drift",
];

/// The place of "clocks drift" in [`KINDS`].
pub const DRIFT: usize = 17;

impl Fault {
    /// Its place in [`KINDS`].
    pub fn kind(&self) -> usize {
        match self {
            Fault::Suspend { .. } => 0,
            Fault::Stall { .. } => 1,
            Fault::Crash { then: Aftermath::Nothing, .. } => 2,
            Fault::Crash { then: Aftermath::Released, .. } => 3,
            Fault::Partition { .. } => 4,
            Fault::StoreRestart { .. } => 5,
            Fault::StoreForgets => 6,
            Fault::StoreClockSteps { .. } => 7,
            Fault::Resign { .. } => 8,
            Fault::Unhealthy { .. } => 9,
            Fault::WorkEnds => 10,
            Fault::FalseWakes { .. } => 11,
            Fault::WallClockSteps { .. } => 12,
            Fault::ResignRequest => 13,
            Fault::Crash { then: Aftermath::Kept, .. } => 14,
            Fault::StoreSaves => 15,
            Fault::StoreComesBack { .. } => 16,
        }
    }

    /// Whom it strikes, where it strikes one.
    pub fn target(&self) -> Option<Target> {
        match self {
            Fault::Suspend { target, .. }
            | Fault::Stall { target, .. }
            | Fault::Crash { target, .. }
            | Fault::Partition { target, .. }
            | Fault::Resign { target }
            | Fault::Unhealthy { target, .. } => Some(*target),
            Fault::WorkEnds => Some(Target::Leader),
            _ => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Suspend { lasts, .. } => write!(f, "is suspended for {}", ms(*lasts)),
            Fault::Stall { lasts, .. } => write!(f, "elector's loop stalls for {}", ms(*lasts)),
            Fault::Crash { lasts, then, .. } => {
                let then = match then {
                    Aftermath::Nothing => "",
                    Aftermath::Released => " and its lease is released",
                    Aftermath::Kept => " and its lease is kept",
                };
                write!(f, "crashes{then}, starts again in {}", ms(*lasts))
            }
            Fault::Partition { way, lasts, .. } => {
                let what = match way {
                    Way::Requests => "its requests are",
                    Way::Replies => "its replies are",
                    Way::Both => "it is",
                };
                write!(f, "{what} cut off for {}", ms(*lasts))
            }
            Fault::StoreRestart { lasts } => write!(f, "is down for {}", ms(*lasts)),
            Fault::StoreSaves => f.write_str("saves its records"),
            Fault::StoreComesBack { lasts, with } => {
                let with = match with {
                    State::Saved => "what it saved",
                    State::Empty => "nothing",
                    State::TakenForAll => "what it saved, and takes it for all",
                };
                write!(f, "is down for {}, comes back with {with}", ms(*lasts))
            }
            Fault::StoreForgets => f.write_str("forgets its records"),
            Fault::StoreClockSteps { by } => {
                write!(f, "clock steps by {}{}", if *by < 0 { "-" } else { "+" }, ms(by.unsigned_abs()))
            }
            Fault::WallClockSteps { by } => write!(f, "wall clock alone steps by {} s", by / 1_000_000),
            Fault::Resign { .. } => f.write_str("is asked to resign"),
            Fault::ResignRequest => f.write_str("asks the holder to resign"),
            Fault::Unhealthy { lasts, .. } => write!(f, "is unhealthy for {}", ms(*lasts)),
            Fault::WorkEnds => f.write_str("work ends by itself"),
            Fault::FalseWakes { count } => write!(f, "{count} false wake-ups each"),
        }
    }
}
