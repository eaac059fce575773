//! What an idle holder costs in an hour: the elector in simulated time, and whole processes in real time.

pub(crate) mod holder;
mod simulated;

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::pairs::Effort;
use crate::report::{Idling, Report};
use crate::servers;
use holder::HoldingCost;
use simulated::HOUR;

/// The name of the group.
pub(crate) const GROUP: &str = "idle";

/// States what holding costs; there is no peer.
///
/// # Errors
/// Where a holder fails.
pub(crate) fn measure(report: &mut Report, effort: Effort) -> Result<()> {
    let quick = effort.pairs < Effort::FULL.pairs;
    report.idle.push(simulated::hours(if quick { 10 } else { 1_000 })?);
    let seconds = if quick { 6 } else { 120 };
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let mut holders = vec![
        ("a process with one election, memory", "memory:".to_owned()),
        ("the same, SQLite", format!("sqlite:{}", folder.path().join("leases.db").display())),
    ];
    let redis = servers::redis();
    match &redis {
        Ok(server) => holders.push(("the same, Redis", server.url())),
        Err(error) => report.left_out.push(format!("an idle holder on Redis: {error:#}")),
    }
    // All holders run at the same time, because none of them does much.
    let running: Vec<_> = holders
        .iter()
        .map(|(what, url)| {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["hold", url, &seconds.to_string()]).stdout(std::process::Stdio::piped());
            Ok((*what, command.spawn().context("cannot start a holder")?))
        })
        .collect::<Result<_>>()?;
    for (what, child) in running {
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("a holder failed: {what}: {}", output.status);
        }
        let held: HoldingCost = serde_json::from_slice(&output.stdout).context("not the expected answer")?;
        let to_hour = HOUR.as_secs_f64() / held.seconds;
        report.idle.push(Idling {
            what: what.to_owned(),
            seconds: held.seconds,
            calls: held.calls as f64 * to_hour,
            wake_ups: held.wake_ups as f64 * to_hour,
            cpu_seconds: held.cpu_seconds * to_hour,
        });
    }
    report.notes.push(
        "holding for an hour: ttl 15 s, nothing happens. The first row drives the elector and the table of the memory store through simulated \
         hours: exact calls, one wake-up for each timer and each answer, CPU time of the thread. The others are processes on the real clock \
         with every thread that the library and the store start: voluntary context switches and CPU time, scaled to an hour"
            .to_owned(),
    );
    Ok(())
}
