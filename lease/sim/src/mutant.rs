//! A mutant: a set of parts for one simulation, of which at most one is wrong.

use tenure_core::Timing;

use crate::clock::Clock;
use crate::face::Face;
use crate::store::Store;
use crate::store_model::StoreModel;

/// A set of parts of which at most one is wrong.
pub trait Mutant: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// The bug, in a sentence.
    fn bug(&self) -> &'static str;

    /// The elector, or something before it.
    fn elector(&self, elector: Box<dyn Face>, _timing: Timing) -> Box<dyn Face> {
        elector
    }

    /// The store.
    fn store(&self) -> Box<dyn Store> {
        Box::new(StoreModel::default())
    }

    /// A host's clock.
    fn clock(&self, clock: Clock) -> Clock {
        clock
    }

    /// The first half of the nonces of a process that starts on `host`; `random` was drawn for it.
    fn process(&self, _host: usize, random: u64) -> u64 {
        random
    }

    /// Whether an independent thread kills the work at its deadline.
    fn has_watchdog(&self) -> bool {
        true
    }
}

/// No mutant at all.
#[derive(Debug)]
pub struct Honest;

impl Mutant for Honest {
    fn name(&self) -> &'static str {
        "none"
    }

    fn bug(&self) -> &'static str {
        "none"
    }
}
