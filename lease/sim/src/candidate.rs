//! A candidate: a host with its clock, and the process on it that drives a machine.
//!
//! In a real process the watchdog is an OS thread. Here it is an event of the world, which comes also while that loop
//! stands still; only a suspended host holds it up.

use tenure_core::{HolderId, Term};

use crate::clock::Clock;
use crate::event::Event;
use crate::invariants::grants_are_used_or_released::GrantsAreUsedOrReleased;
use crate::invariants::leaves_the_key::LeavesTheKey;
use crate::invariants::requests_are_bounded::RequestsAreBounded;
use crate::machine::SlotsFace;
use crate::true_time::Nanos;

/// A machine that candidates run on, one process after the other, always under the same holder name.
pub struct Host {
    /// The name that every process of this host campaigns under.
    pub holder: HolderId,
    /// Its clock; it outlives processes.
    pub clock: Clock,
    /// How many suspensions are in force: nothing on this host moves.
    pub suspended: u32,
    /// When it last woke up.
    pub resumed_at: Nanos,
    /// How many stalls of the loop that drives its machine are in force: worker and watchdog go on.
    pub stalled: u32,
    /// The events that are held back until the host wakes up.
    pub waiting: Vec<Event>,
    /// The events that are held back until the elector's loop goes on.
    pub waiting_loop: Vec<Event>,
    /// How many partitions keep its messages from the store.
    pub cut_out: u32,
    /// How many partitions keep the store's messages from it.
    pub cut_in: u32,
    /// The process that runs now.
    pub process: Option<Process>,
}

impl Host {
    /// A host on which nothing runs yet.
    pub fn new(holder: HolderId, clock: Clock) -> Self {
        Host {
            holder,
            clock,
            suspended: 0,
            resumed_at: 0,
            stalled: 0,
            waiting: Vec::new(),
            waiting_loop: Vec::new(),
            cut_out: 0,
            cut_in: 0,
            process: None,
        }
    }
}

/// One process: a machine and what its driver must remember.
pub struct Process {
    /// Distinguishes processes in the simulation; machines do not see it.
    pub id: u64,
    /// An elector, slots, or a mutant before them.
    pub machine: Box<dyn SlotsFace>,
    /// When the machine is called next at the latest; `Nanos::MAX` for never.
    pub armed: Nanos,
    /// What the health gate was told last.
    pub healthy: bool,
    /// Whether the latest wish was to campaign, not to resign.
    pub wanted: bool,
    /// When it last asked for something to lead under: sent a claim, or a list.
    pub claimed_at: Nanos,
    /// When it sent its latest requests.
    pub requests: RequestsAreBounded,
    /// What is remembered of it for each key.
    pub keys: Vec<Candidacy>,
}

/// What is remembered of a process for one key.
#[derive(Debug, Default)]
pub struct Candidacy {
    /// The latest term that was announced by `BecameLeader`.
    pub announced: Option<Term>,
    /// The highest term under which it started work.
    pub highest_started: Option<Term>,
    /// Whether, and until when, it leaves the key to others.
    pub leaves: LeavesTheKey,
    /// The grants that it was told of and has not settled.
    pub grants: GrantsAreUsedOrReleased,
}
