//! From kill -9 to the moment at which the successor works, at a ttl of 15 s: of the command, of `tenure run`, of the
//! chat daemon's worker.

pub(crate) mod command;
mod daemon;
pub(crate) mod singleton;
mod ttl;

use std::path::Path;

use anyhow::Result;

use crate::latency::{Latencies, Rounds};
use crate::pairs::Effort;
use crate::report::{Limit, Report, Waited};
use crate::servers::{Access, Stores};
use daemon::Daemons;
use singleton::{Killed, Singleton};
use ttl::TTL;

/// The name of the group.
pub(crate) const GROUP: &str = "takeover";
const ROUNDS: usize = 45;
const LIMIT: Option<Limit> = Some(Limit::Under { goal: Some(20.0), at_least: 50.0 });

/// Measures on SQLite and on Redis. `tenure` is the program.
///
/// # Errors
/// Where nobody takes over.
pub(crate) fn measure(report: &mut Report, effort: Effort, tenure: Option<&Path>) -> Result<()> {
    let Some(tenure) = tenure else {
        report.left_out.push("takeover after kill -9: the program is not named".to_owned());
        return Ok(());
    };
    let stores = Stores::start(report, "takeover after kill -9")?;
    let rounds = Rounds::at_least(ROUNDS, effort);
    for (name, url) in stores.urls() {
        for (whom, killed) in [("CMD", Killed::Command), ("tenure", Killed::Tenure)] {
            let mut pair = Singleton::start(tenure, &Access::of(url), TTL)?;
            let what = format!("takeover after kill -9 of {whom}, tenure run, {name}");
            push(report, &what, rounds, || pair.take_over(killed))?;
        }
        let mut daemons = Daemons::start(tenure, url)?;
        let what = format!("takeover after kill -9 of the worker, tenure ingest, {name}");
        push(report, &what, rounds, || daemons.take_over())?;
    }
    report.notes.push(format!(
        "takeover after kill -9, ttl {TTL}: from just before the signal to the first thing that the other's command does, its start included, or for \
         `tenure ingest` to the moment at which the other instance says that it leads; on one machine, where the death can be proven. Not measured, \
         but by their documentation: `consul lock`, 30 to 45 s (its session has a ttl of 15 s, may be noticed after twice that, and a lock-delay of 15 s \
         follows); what renews a lease of 15 s every 5 s and only lets it expire (client-go, rslock, redlock and others), 10 to 15 s and its interval of \
         looking"
    ));
    Ok(())
}

fn push(report: &mut Report, what: &str, rounds: Rounds, mut once: impl FnMut() -> Result<f64>) -> Result<()> {
    let mut latencies = Latencies::default();
    // The first takeover warms up and is not counted.
    once()?;
    for _ in 0..rounds.blocks {
        latencies.push((0..rounds.each).map(|_| once()).collect::<Result<_>>()?);
    }
    report.waits.push(Waited::alone(GROUP, what, latencies.took(), LIMIT));
    Ok(())
}
