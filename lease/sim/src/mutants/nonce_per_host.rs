//! The nonce is the host's, not the process's: a restarted process is taken for the one before it, and gets its term.

use crate::mutant::Mutant;

pub(super) struct NoncePerHost;

impl Mutant for NoncePerHost {
    fn name(&self) -> &'static str {
        "nonce_per_host"
    }

    fn bug(&self) -> &'static str {
        "every process of a host campaigns under the same nonces"
    }

    fn process(&self, host: usize, _random: u64) -> u64 {
        host as u64 + 1
    }
}
