//! Two candidates that release one lease to each other, back and forth.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::contender::{Contender, PATIENCE};
use super::side::Side;
use crate::latency::Took;
use crate::servers::Access;

/// How long the other candidate waits before each release, at least; up to a third of a second longer, so that nobody's
/// polling or renewing falls into step.
const SETTLE: Duration = Duration::from_millis(400);

/// The milliseconds from the call that releases, or the signal that makes a program release, to the election of the other.
pub(super) fn measure(side: &Side, access: &Access, rounds: u32) -> Result<Took> {
    let key = side.key("release");
    let start = || Contender::start(side.manner, || (side.command)(access, &key));
    let (mut holder, mut other) = (start()?, start()?);
    holder.campaign()?;
    holder.elected(PATIENCE)?.context("nobody is elected")?;
    let mut took = Vec::new();
    // The first one warms up and is not counted.
    for round in 0..=rounds {
        other.campaign()?;
        std::thread::sleep(SETTLE + phase(round) / 3);
        let released = holder.release()?;
        let elected = other.elected(PATIENCE)?.context("nobody is elected after a release")?;
        ensure!(elected >= released, "elected before the release: two had it at a time");
        took.push((elected - released) as f64 / 1e6);
        std::mem::swap(&mut holder, &mut other);
    }
    Ok(Took::of(took.split_off(1)))
}

/// A part of a second that differs from round to round, spread evenly.
pub(super) fn phase(round: u32) -> Duration {
    Duration::from_millis(u64::from(round) * 617 % 1000)
}
