//! Two candidates that release one lease to each other, back and forth.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::contender::{Contender, PATIENCE};
use super::round_trip;
use super::side::Side;
use super::site::Site;
use crate::latency::Took;
use crate::servers::Access;

/// How long the other candidate waits before each release, at least; up to a third of a second longer, so that nobody's
/// polling or renewing falls into step.
const SETTLE: Duration = Duration::from_millis(400);

/// So many hand-overs make a block, in which nobody else is measured on this server.
const BLOCK: u32 = 5;

/// What one server's sides took, and what bare writes took meanwhile.
pub(super) struct Releases {
    /// By side, in their order.
    pub(super) sides: Vec<Result<Took>>,
    pub(super) round_trip: Took,
}

/// The milliseconds from the call that releases, or the signal that makes a program release, to the election of the other. The
/// sides take turns, forwards and backwards, with bare writes between them, so that other load on the machine falls on all.
///
/// # Errors
/// Where the server does not take a bare write.
pub(super) fn measure(site: &Site, sides: &[Side], rounds: u32) -> Result<Releases> {
    let mut took: Vec<Result<Vec<f64>>> = sides.iter().map(|_| Ok(Vec::new())).collect();
    let mut trips = Vec::new();
    for block in 0..rounds.div_ceil(BLOCK) {
        trips.extend(round_trip::measure(site, block)?);
        let times = BLOCK.min(rounds - block * BLOCK);
        let mut turns: Vec<_> = sides.iter().zip(&mut took).collect();
        if block % 2 == 1 {
            turns.reverse();
        }
        for (side, all) in turns {
            if let Ok(so_far) = all {
                match hand_over(side, &site.access(), block, times) {
                    Ok(more) => so_far.extend(more),
                    Err(error) => *all = Err(error),
                }
            }
        }
    }
    Ok(Releases { sides: took.into_iter().map(|all| all.map(Took::of)).collect(), round_trip: Took::of(trips) })
}

fn hand_over(side: &Side, access: &Access, block: u32, times: u32) -> Result<Vec<f64>> {
    let key = side.key(&format!("release-{block}"));
    let start = || Contender::start(side.manner, || (side.command)(access, &key));
    let (mut holder, mut other) = (start()?, start()?);
    holder.campaign()?;
    holder.elected(PATIENCE)?.context("nobody is elected")?;
    let mut took = Vec::new();
    // The first one warms up and is not counted.
    for round in 0..=times {
        other.campaign()?;
        std::thread::sleep(SETTLE + phase(block * BLOCK + round) / 3);
        let released = holder.release()?;
        let elected = other.elected(PATIENCE)?.context("nobody is elected after a release")?;
        ensure!(elected >= released, "elected before the release: two had it at a time");
        took.push((elected - released) as f64 / 1e6);
        std::mem::swap(&mut holder, &mut other);
    }
    Ok(took.split_off(1))
}

/// A part of a second that differs from round to round, spread evenly.
pub(super) fn phase(round: u32) -> Duration {
    Duration::from_millis(u64::from(round) * 617 % 1000)
}
