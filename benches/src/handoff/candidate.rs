//! What is measured: a way to get something, and to give it away.

use anyhow::Result;

/// Somebody who gets something and gives it away.
pub(crate) trait Candidate {
    /// Returns when it has it.
    async fn campaign(&mut self) -> Result<()>;
    /// Gives it away.
    async fn release(&mut self) -> Result<()>;
}
