//! What `tenure run` adds to a command, beside `flock FILE`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::clock::shared_ns;
use crate::latency::{Rounds, in_turn};
use crate::pairs::Effort;
use crate::report::{Limit, Report, Waited};
use crate::servers::Stores;

/// The name of the group.
pub(crate) const GROUP: &str = "run";
const RUNS: usize = 90;

/// Measures whole processes, from their start to their end. `tenure` is the program.
///
/// # Errors
/// Where one of them fails.
pub(crate) fn measure(report: &mut Report, effort: Effort, tenure: Option<&Path>) -> Result<()> {
    let Some(tenure) = tenure else {
        report.left_out.push("tenure run -- true: the program is not named".to_owned());
        return Ok(());
    };
    let stores = Stores::start(report, "tenure run -- true")?;
    let lock = stores.folder().join("lock");
    let mut flock = |times| {
        repeated(times, || {
            let mut command = Command::new("flock");
            command.arg(&lock).arg("true");
            command
        })
    };
    if let Err(error) = flock(1) {
        report.left_out.push(format!("tenure run -- true, beside flock: {error:#}"));
        return Ok(());
    }
    let limit = Some(Limit::Above { at_least: 25.0 });
    for (name, url) in stores.urls() {
        let mut ours = |times| {
            repeated(times, || {
                let mut command = Command::new(tenure);
                command.args(["run", "--lease", "bench/run", "--store", url, "--", "true"]);
                command
            })
        };
        let measured = in_turn(Rounds::at_least(RUNS, effort), &mut [&mut ours, &mut flock])?;
        let what = format!("tenure run -- true, uncontended, {name}");
        report.waits.push(Waited::beside(GROUP, &what, "flock FILE true", &measured[0], &measured[1], limit));
    }
    Ok(())
}

/// The milliseconds of each of this many runs.
fn repeated(times: usize, mut command: impl FnMut() -> Command) -> Result<Vec<f64>> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let mut command = command();
        let from = shared_ns();
        let status = command.stdin(Stdio::null()).status();
        let until = shared_ns();
        let status = status.with_context(|| format!("cannot start {:?}", command.get_program()))?;
        if !status.success() {
            bail!("{:?}: {status}", command.get_program());
        }
        took.push((until - from) as f64 / 1e6);
    }
    Ok(took)
}
