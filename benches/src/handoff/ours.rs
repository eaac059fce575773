//! Our candidate: an election of the library, with every default.

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
    pub(crate) async fn start(url: &str, key: &str) -> Result<Self> {
        let store = tenure_open::open(url).await.context("cannot open the store")?;
        let election = Election::builder(store, key).start()?;
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
