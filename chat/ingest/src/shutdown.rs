//! The end of a daemon: with draining, or without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::sync::CancellationToken;

/// Tells a daemon to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    hurried: Arc<AtomicBool>,
}

impl Shutdown {
    /// Publish what was read, release, end.
    pub fn drain(&self) {
        self.token.cancel();
    }

    /// Stop publishing, release, end: whoever proved deaths is gone.
    pub fn hurry(&self) {
        self.hurried.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Waits until the end was asked for.
    pub async fn asked(&self) {
        self.token.cancelled().await;
    }

    /// Whether there is no time to drain.
    pub fn is_hurried(&self) -> bool {
        self.hurried.load(Ordering::Acquire)
    }
}
