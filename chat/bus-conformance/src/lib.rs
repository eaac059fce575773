//! The suite that every bus runs: a builder and one call are a bus's whole test file.
//!
//! What a bus says it cannot do ([`tenure_bus::BusInfo`]) is not asked of it, and the report says so.

mod dedupe;
mod faults;
mod fence;
mod follow;
mod harness;
mod partition;
mod publish;
mod race;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tenure_bus::{Bus, BusError};

use crate::harness::Harness;

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

/// What came of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bus does what it should.
    Passed,
    /// It was not asked, for this reason.
    Skipped(&'static str),
    /// It does not, in words.
    Failed(String),
}

/// What came of the suite.
#[derive(Clone, Debug)]
pub struct Report {
    /// Each check by its name, in the order in which they ran.
    pub checks: Vec<(&'static str, Outcome)>,
}

impl Report {
    /// Prints the report and panics if a check failed; for the last line of a test.
    pub fn assert(&self) {
        println!("{self}");
        let failed = self.checks.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
        assert!(failed == 0, "{failed} checks failed:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.checks {
            match outcome {
                Outcome::Passed => writeln!(f, "passed  {name}")?,
                Outcome::Skipped(reason) => writeln!(f, "skipped {name}: {reason}")?,
                Outcome::Failed(text) => writeln!(f, "FAILED  {name}: {text}")?,
            }
        }
        Ok(())
    }
}

/// Runs every check against fresh buses of this builder. Takes some seconds, never more than a few minutes.
pub async fn suite(builder: &dyn BusBuilder) -> Report {
    let mut harness = Harness::new(builder);
    publish::checks(&mut harness).await;
    dedupe::checks(&mut harness).await;
    fence::checks(&mut harness).await;
    follow::checks(&mut harness).await;
    race::checks(&mut harness).await;
    faults::checks(&mut harness).await;
    partition::checks(&mut harness).await;
    harness.report()
}
