//! The peer in Rust: `rslock`, with its defaults; where a ttl is given, with the shortest wait between tries that is sane.

use std::time::Duration;

use anyhow::{Context, Result};
use rslock::{LockGuard, LockManager};

use super::candidate::Candidate;

/// One lock.
pub(crate) struct Rslock {
    manager: LockManager,
    key: String,
    ttl: Duration,
    guard: Option<LockGuard>,
}

/// Between two tries it waits for a random part of this.
const FAST_RETRY: Duration = Duration::from_millis(10);

impl Rslock {
    /// Connects with the first claim.
    pub(crate) fn start(url: &str, key: &str, ttl: Option<Duration>) -> Self {
        let mut manager = LockManager::new(vec![url]);
        if ttl.is_some() {
            manager.set_retry(1_000, FAST_RETRY);
        }
        Self { manager, key: key.to_owned(), ttl: ttl.unwrap_or(Duration::from_secs(15)), guard: None }
    }
}

impl Candidate for Rslock {
    async fn campaign(&mut self) -> Result<()> {
        self.guard = Some(self.manager.acquire(self.key.as_bytes(), self.ttl).await?);
        Ok(())
    }

    async fn release(&mut self) -> Result<()> {
        self.guard.take().context("has no lock")?.release().await;
        Ok(())
    }

    /// The library extends nothing by itself.
    async fn keep(&mut self) -> Result<()> {
        tokio::time::sleep(self.ttl / 3).await;
        let held = self.guard.as_ref().context("has no lock")?;
        self.manager.extend(&held.lock, self.ttl).await.map(drop).context("cannot extend")
    }
}
