//! A mutant: the parts that one simulation is put together from, of which at most one is wrong.

use tenure_core::{Slots, SlotsConfig};

use crate::clock::Clock;
use crate::machine::{ElectorFace, SlotsFace};
use crate::model::Model;
use crate::server::Server;
use crate::server_model::ServerModel;
use crate::shell::{RecordShell, Shell};
use crate::store::Store;
use crate::store_model::StoreModel;

/// Makes the parts of a simulation. A mutant replaces one of [`Mutant::HONEST`]'s and keeps the others:
/// `Mutant { name, bug, store: ..., ..Mutant::HONEST }`.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name on the command line, which is its file's.
    pub name: &'static str,
    /// The bug, in a sentence.
    pub bug: &'static str,
    /// Takes a new elector; returns it, or something that stands before it.
    pub elector: fn(Box<dyn ElectorFace>) -> Box<dyn ElectorFace>,
    /// Makes slots from what they are configured with, or something that takes their place.
    pub slots: fn(SlotsConfig) -> Box<dyn SlotsFace>,
    /// Of which model of the store it is a bug.
    pub model: Model,
    /// The invariants that may catch it, where its reason is known that well; otherwise any.
    pub caught_by: &'static [&'static str],
    /// Makes the store.
    pub store: fn() -> Box<dyn Store>,
    /// Makes the server of records, with a clock or without.
    pub server: fn(has_clock: bool) -> Box<dyn Server>,
    /// Makes what stands between a process and that server, given a number that was drawn for it.
    pub shell: fn(random: u64) -> Box<dyn Shell>,
    /// Takes a host's clock; returns it, or a wrong one.
    pub clock: fn(Clock) -> Clock,
    /// The first half of all nonces of a process that starts on `host`, given a number that was drawn for it.
    pub process: fn(host: usize, random: u64) -> u64,
    /// Whether a thread that depends on no elector kills the work at its deadline.
    pub has_watchdog: bool,
}

impl Mutant {
    /// No bug at all.
    pub const HONEST: Mutant = Mutant {
        name: "none",
        bug: "none",
        elector: |elector| elector,
        slots: |config| Box::new(Slots::new(config)),
        model: Model::Scripted,
        caught_by: &[],
        store: || Box::new(StoreModel::default()),
        server: |has_clock| Box::new(ServerModel::new(has_clock)),
        shell: |random| Box::new(RecordShell::new(random)),
        clock: |clock| clock,
        process: |_, random| random,
        has_watchdog: true,
    };
}
