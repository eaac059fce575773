//! The nonce is the host's, not the process's: a restarted process is taken for the one before it, and gets its term.
//!
//! It stands for every lock whose owner is a configured name.

use crate::mutant::Mutant;

pub(super) const MUTANT: Mutant = Mutant {
    name: "nonce_per_host",
    bug: "every process of a host campaigns under the same nonces",
    process: |host, _| host as u64 + 1,
    ..Mutant::HONEST
};
