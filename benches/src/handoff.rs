//! From the call that releases to the election in another process: ours beside a minimal implementation, and beside
//! other locks.

mod advisory;
pub(crate) mod bare;
mod candidate;
pub(crate) mod candidate_process;
pub(crate) mod ours;
mod pair;
pub(crate) mod rslock;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::latency::{Latencies, Rounds, in_turn};
use crate::pairs::Effort;
use crate::report::{Limit, Report, Waited};
use crate::servers;
use pair::Pair;

/// The name of the group.
pub(crate) const GROUP: &str = "handoff";
const WHAT_REDIS: &str = "release to elected in another process, Redis";
const WHAT_SQLITE: &str = "release to elected in another process, SQLite";
const KEY: &str = "bench/handoff";
/// How many handoffs each side does.
const HANDOFFS: usize = 200;

/// Measures on Redis and on SQLite. `python` is one that has python-redis-lock.
///
/// # Errors
/// Where a candidate fails.
pub(crate) fn measure(report: &mut Report, effort: Effort, python: Option<&Path>) -> Result<()> {
    let rounds = Rounds::at_least(HANDOFFS, effort);
    match servers::redis() {
        Ok(server) => on_redis(report, rounds, &server.url(), python)?,
        Err(error) => report.left_out.push(format!("{WHAT_REDIS}: {error:#}")),
    }
    on_sqlite(report, rounds)
}

fn on_redis(report: &mut Report, rounds: Rounds, url: &str, python: Option<&Path>) -> Result<()> {
    let mut ours = Pair::start(|| candidate_process::command("ours", url, KEY))?;
    let mut bare = Pair::start(|| candidate_process::command("bare", url, "bare"))?;
    let mut rslock = Pair::start(|| candidate_process::command("rslock", url, "rslock"))?;
    let mut redis_lock = match python {
        Some(python) => Some(Pair::start(|| {
            let mut command = Command::new(python);
            command.args(["-c", include_str!("../peers/redis_lock.py"), url, "redis-lock"]);
            Ok(command)
        })?),
        None => {
            report.left_out.push(format!("{WHAT_REDIS}, beside python-redis-lock: Python 3 with it is not there"));
            None
        }
    };
    let mut sides: Vec<&mut dyn FnMut(usize) -> Result<Vec<f64>>> = Vec::new();
    let (mut one, mut two, mut three) = (ours.blocks(), bare.blocks(), rslock.blocks());
    let mut four = redis_lock.as_mut().map(Pair::blocks);
    sides.extend([&mut one as &mut dyn FnMut(usize) -> _, &mut two, &mut three]);
    sides.extend(four.as_mut().map(|side| side as &mut dyn FnMut(usize) -> _));
    let measured = in_turn(rounds, &mut sides)?;
    let least = Some(Limit::Slower { goal: 2.0, at_least: 3.0 });
    let faster = Some(Limit::Faster { at_least: 5.0 });
    let peers = [
        ("bare release, publish, claim through redis-rs", least),
        ("rslock 0.10", faster),
        ("python-redis-lock 4.0", faster),
    ];
    for ((beside, limit), peer) in peers.into_iter().zip(measured.iter().skip(1)) {
        report.waits.push(row(WHAT_REDIS, beside, &measured[0], peer, limit));
    }
    report.notes.push(format!(
        "{WHAT_REDIS}: from the call to release in one process to the moment at which the other has it in hand, on the clock that both \
         read; the other waits already. All in turn on one server, in blocks; each peer with its own defaults, \
         python-redis-lock with its renewal switched on, without which it would be no lease"
    ));
    Ok(())
}

fn on_sqlite(report: &mut Report, rounds: Rounds) -> Result<()> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let url = format!("sqlite:{}", folder.path().join("leases.db").display());
    let mut ours = Pair::start(|| candidate_process::command("ours", &url, KEY))?;
    let limit = Some(Limit::Under { goal: None, at_least: 15.0 });
    let flock = Pair::start(|| {
        let mut command = Command::new("bash");
        command.args(["-c", include_str!("../peers/flock.sh"), "flock.sh"]).arg(folder.path().join("flock"));
        Ok(command)
    });
    let mut one = ours.blocks();
    match flock {
        Ok(mut flock) => {
            let mut two = flock.blocks();
            let measured = in_turn(rounds, &mut [&mut one, &mut two])?;
            report.waits.push(row(WHAT_SQLITE, "flock of util-linux, two shells", &measured[0], &measured[1], limit));
            report.notes.push(format!(
                "{WHAT_SQLITE}: claims and releases are synced to the disk, and a waiting candidate looks every 5 ms; `flock` waits in the \
                 kernel, keeps nothing, and knows no term and no time-out of a holder"
            ));
        }
        Err(error) => {
            report.left_out.push(format!("{WHAT_SQLITE}, beside flock: {error:#}"));
            let measured = in_turn(rounds, &mut [&mut one])?;
            report.waits.push(Waited::alone(GROUP, WHAT_SQLITE, measured[0].took(), limit));
        }
    }
    Ok(())
}

fn row(what: &str, beside: &str, ours: &Latencies, peer: &Latencies, limit: Option<Limit>) -> Waited {
    Waited::beside(GROUP, what, beside, ours, peer, limit)
}
