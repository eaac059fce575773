//! A tenure: what tells one holding of a key from every other.

use tenure_core::{Nonce, Term};

/// One tenure. A process numbers the campaigns of each key by itself, and terms are minted for each key, so that nonce and
/// term name a tenure only together with the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenure {
    /// The place of its key among those of the simulation.
    pub slot: usize,
    /// The nonce of the claim that was granted.
    pub nonce: Nonce,
    /// The term that was granted.
    pub term: Term,
}
