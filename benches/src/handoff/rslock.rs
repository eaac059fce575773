//! The peer in Rust: `rslock`, with its default retries.

use std::time::Duration;

use anyhow::{Context, Result};
use rslock::{LockGuard, LockManager};

use super::candidate::Candidate;

/// One lock.
pub(crate) struct Rslock {
    manager: LockManager,
    key: String,
    guard: Option<LockGuard>,
}

impl Rslock {
    /// Connects with the first claim.
    pub(crate) fn start(url: &str, key: &str) -> Self {
        Self { manager: LockManager::new(vec![url]), key: key.to_owned(), guard: None }
    }
}

impl Candidate for Rslock {
    async fn campaign(&mut self) -> Result<()> {
        self.guard = Some(self.manager.acquire(self.key.as_bytes(), Duration::from_secs(15)).await?);
        Ok(())
    }

    async fn release(&mut self) -> Result<()> {
        self.guard.take().context("has no lock")?.release().await;
        Ok(())
    }
}
