//! The interface of what is measured: acquire a lock or lease, and release it.

use anyhow::Result;

/// A candidate that acquires the lock or lease and releases it.
pub(crate) trait Candidate {
    /// Returns once it is acquired.
    async fn campaign(&mut self) -> Result<()>;
    /// Releases it.
    async fn release(&mut self) -> Result<()>;
    /// Keeps it while it is held, where the caller has to see to that.
    async fn keep(&mut self) -> Result<()> {
        std::future::pending().await
    }
}
