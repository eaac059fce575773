//! How an election fails.

use tenure_core::{LossReason, NameError, TimingError};

/// Why an election could not be made, or a campaign ended without leadership.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ElectionError {
    /// The key, the holder's name or the note is not valid.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The durations conflict.
    #[error(transparent)]
    Timing(#[from] TimingError),
    /// The ttl is outside of what the store honours.
    #[error("the store {scheme}: honours a ttl of {min:?} to {max:?}, not {ttl:?}")]
    StoreTtl {
        /// The store's scheme.
        scheme: &'static str,
        /// The shortest ttl.
        min: std::time::Duration,
        /// The longest ttl.
        max: std::time::Duration,
        /// What was asked for.
        ttl: std::time::Duration,
    },
    /// The election was stopped, or resigned during the campaign.
    #[error("the election was stopped or resigned")]
    Stopped,
    /// Leadership was lost before the work of [`crate::Election::lead`] had ended.
    #[error("leadership was lost: {0}")]
    Lost(LossReason),
    /// The store failed at the one claim of [`crate::Election::try_campaign`]: its own words, without secrets.
    #[error("the store failed: {0}")]
    Store(String),
    /// An election begins on a tokio runtime, and there is none.
    #[error("no tokio runtime to run the election on")]
    Runtime,
    /// The deadline thread could not be started.
    #[error("cannot start the deadline thread: {0}")]
    Thread(#[from] std::io::Error),
}
