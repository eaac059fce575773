//! How the suite gets the buses that it tries out, and what it may do to them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_bus::{Bus, BusError};

/// Makes the buses that the suite tries out.
#[async_trait]
pub trait BusBuilder: Sync {
    /// A client of the bus of this name, which begins empty. The same name gives another client of the same bus.
    async fn open(&self, name: &str) -> Result<Arc<dyn Bus>, BusError>;

    /// Whether a bus outlives its clients. Asked only where it can be followed.
    fn is_kept(&self) -> bool {
        true
    }

    /// Whether [`BusBuilder::lock`] works.
    fn can_lock(&self) -> bool {
        false
    }

    /// Makes the bus unable to answer until the value is dropped.
    async fn lock(&self, _name: &str) -> Box<dyn Send> {
        Box::new(())
    }

    /// Why [`BusBuilder::cut`] is not to be called; `None` where it works.
    fn cannot_cut(&self) -> Option<&'static str> {
        Some("the bus has no peers that the builder can cut off")
    }

    /// How long a cut lasts: by default what the environment variable `TENURE_CUT_SECONDS` says, or else 7 s. Most servers
    /// elect another leader within that time, and few find out by themselves that they are cut off.
    fn cut_lasts(&self) -> Duration {
        let asked = std::env::var("TENURE_CUT_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
        Duration::from_secs(asked.unwrap_or(7))
    }

    /// Cuts the server that leads the bus of this name off from its peers until the value is dropped. Its clients reach it
    /// all the while.
    async fn cut(&self, _name: &str) -> Box<dyn Send> {
        Box::new(())
    }
}
