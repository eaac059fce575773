//! Our candidate: an election of the library, with every default but the ttl where one is given.

use std::time::Duration;

use anyhow::{Context, Result};
use tenure::{Election, Leadership};

use super::candidate::Candidate;

/// An election.
pub(crate) struct Ours {
    election: Election,
    leadership: Option<Leadership>,
}

impl Ours {
    /// Opens the store and begins the election.
    ///
    /// # Errors
    /// Where the store does not open.
    pub(crate) async fn start(url: &str, key: &str, ttl: Option<Duration>) -> Result<Self> {
        let store = tenure_open::open(url).await.context("cannot open the store")?;
        let builder = Election::builder(store, key);
        let election = match ttl {
            Some(ttl) => builder.ttl(ttl).start()?,
            None => builder.start()?,
        };
        Ok(Self { election, leadership: None })
    }
}

impl Candidate for Ours {
    async fn campaign(&mut self) -> Result<()> {
        self.leadership = Some(self.election.campaign().await?);
        Ok(())
    }

    async fn release(&mut self) -> Result<()> {
        self.leadership.take().context("leads nothing")?.resign().await?;
        Ok(())
    }
}
