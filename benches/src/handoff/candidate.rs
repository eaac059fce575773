//! The interface of what is measured: acquire a lock or lease, and release it.

use anyhow::Result;

/// A candidate that acquires the lock or lease and releases it.
pub(crate) trait Candidate {
    /// Returns once it is acquired.
    async fn campaign(&mut self) -> Result<()>;
    /// Releases it.
    async fn release(&mut self) -> Result<()>;
}
