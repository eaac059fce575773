//! Tells a daemon to end, with draining or without.

use tokio_util::sync::CancellationToken;

/// Tells a daemon to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    hurried: CancellationToken,
}

impl Shutdown {
    /// Publish what was read, release, end.
    pub fn drain(&self) {
        self.token.cancel();
    }

    /// Stop publishing, release, end: the supervisor, which would prove this worker's death, is gone.
    pub fn hurry(&self) {
        self.hurried.cancel();
        self.token.cancel();
    }

    /// Waits until the end was asked for.
    pub async fn asked(&self) {
        self.token.cancelled().await;
    }

    /// Waits until [`Shutdown::hurry`] was called.
    pub(crate) async fn hurried(&self) {
        self.hurried.cancelled().await;
    }

    /// Whether there is no time to drain.
    pub fn is_hurried(&self) -> bool {
        self.hurried.is_cancelled()
    }
}
