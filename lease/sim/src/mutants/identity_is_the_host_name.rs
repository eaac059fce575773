//! A candidate's identity is the name of its host, so that all processes of one host count as one holder: each is granted
//! what another holds, and renews it.
//!
//! Sources: oban-py#32; kubernetes#22775, for two controller managers on one node. A process that is restarted under the
//! same identity is another mutant's: `nonce_per_host`.

use crate::mutant::Mutant;

pub(super) const MUTANT: Mutant = Mutant {
    name: "identity_is_the_host_name",
    bug: "two processes of one host campaign under the same nonces",
    // Candidates 0 and 1 are processes of one machine here, and so are 2 and 3.
    process: |candidate, _| candidate as u64 / 2 + 1,
    ..Mutant::HONEST
};
