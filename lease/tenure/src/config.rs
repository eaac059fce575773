//! How an election is configured.

use tenure_core::{HolderId, Note, TimingOptions};

/// What to do with work that has not ended at its deadline: a task that never yields, a thread that is not asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOverrun {
    /// Log an error and count `tenure_overruns_total`. From then on only the term protects.
    #[default]
    Report,
    /// Abort the process, so that nothing of the work can act any longer.
    Abort,
}

/// How an election is configured; every field has a default.
#[derive(Clone, Debug, Default)]
pub struct ElectionConfig {
    /// This candidate's name; by default host name, process id and a random suffix.
    pub holder: Option<HolderId>,
    /// The durations; what is not given derives from the ttl.
    pub timing: TimingOptions,
    /// The note to begin with.
    pub note: Note,
    /// For how long a tenure of this key may be promised to its holder, where something keeps its lease beyond the ttl; all
    /// candidates of a key say the same. A store that comes back and may have forgotten a tenure waits for that long, not
    /// for the ttl alone, before it grants the key.
    pub hold_for: std::time::Duration,
    /// Whether a lease is left to run out once its work has ended, however it ended, rather than released. Nobody leads
    /// before that, this candidate neither: what the work had still under way elsewhere gets up to a ttl to arrive. A note
    /// that was set after the last renewal is not written. By default leases are released, always after the work.
    pub leave_lease: bool,
    /// What to do with work that outlives its deadline.
    pub on_overrun: OnOverrun,
    /// The first half of every nonce; by default random, drawn for each election. A supervisor that releases for a dead
    /// process hands it the number to use, so that it can recognise what the dead one held; elections that share a
    /// number must be for different keys.
    pub process: Option<u64>,
    /// No logs above debug and no metrics: for leases that announce something rather than elect a leader.
    pub silent: bool,
}
