//! What is measured, and with which programs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// The options of `handoff`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each thing is done
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(super) rounds: u32,
    /// Only this store; may be given more than once
    #[arg(long, value_enum, value_name = "STORE")]
    only: Vec<Store>,
    /// Only this change of hands; may be given more than once
    #[arg(long, value_enum, value_name = "CHANGE")]
    change: Vec<Change>,
    /// JSON in place of the table
    #[arg(long)]
    pub(super) json: bool,
    /// The program `tenure`, built with all stores [default: the one beside this program]
    #[arg(long, value_name = "PROGRAM")]
    tenure: Option<PathBuf>,
    /// A Python 3 that has python-redis-lock [default: the one that `cargo xtask bench handoff` sets up]
    #[arg(long, value_name = "PROGRAM")]
    python: Option<PathBuf>,
}

/// A store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Store {
    Memory,
    Sqlite,
    Redis,
    Etcd,
    Postgres,
    Kubernetes,
    Firestore,
}

/// How a lease changes hands: a column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Change {
    Release,
    Killed,
    Lost,
    Cut,
}

/// How to get the program.
pub(super) const NO_TENURE: &str = "cargo build --release -p tenure-benches -p tenure-cli --features tenure-cli/all-stores, or cargo xtask bench handoff";

impl Options {
    /// The stores that are wanted, in the order of the table.
    pub(super) fn stores(&self) -> impl Iterator<Item = Store> {
        Store::value_variants().iter().copied().filter(|store| self.only.is_empty() || self.only.contains(store))
    }

    /// Whether this change of hands is wanted.
    pub(super) fn wants(&self, change: Change) -> bool {
        self.change.is_empty() || self.change.contains(&change)
    }

    /// The program `tenure`.
    pub(super) fn tenure(&self) -> Option<PathBuf> {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.join("tenure"));
        self.tenure.clone().or_else(beside).filter(|program| program.is_file())
    }

    /// A Python that has the peers.
    pub(super) fn python(&self) -> Option<PathBuf> {
        let set_up = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join("xtask/python/bin/python"));
        self.python.clone().or_else(set_up).filter(|program| program.is_file())
    }
}

impl Store {
    /// Its name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Store::Memory => "memory",
            Store::Sqlite => "SQLite",
            Store::Redis => "Redis",
            Store::Etcd => "etcd",
            Store::Postgres => "PostgreSQL",
            Store::Kubernetes => "Kubernetes",
            Store::Firestore => "Firestore (emulator)",
        }
    }
}
