//! The suite that every bus runs: a builder and one call are a bus's whole test file.
//!
//! What a bus says it cannot do ([`tenure_bus::BusInfo`]) is not asked of it, and the report says so.

mod builder;
mod dedupe;
mod faults;
mod fence;
mod follow;
mod harness;
mod partition;
mod publish;
mod race;
mod report;

pub use builder::BusBuilder;
pub use report::{Outcome, Report};

use crate::harness::Harness;

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
