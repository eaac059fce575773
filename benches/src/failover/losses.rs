//! A holder that is lost while another candidate waits: each time with a key and two candidates of its own, some beside each
//! other, for these are waits of seconds.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use rustix::process::Signal;
use tenure_test_servers::Cut;

use super::contender::{Contender, PATIENCE};
use super::release::phase;
use super::side::Side;
use super::site::Site;
use super::table::Cell;
use super::ttl::TTL;
use crate::clock::shared_ns;
use crate::latency::Took;

/// How a holder is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its process is killed: SIGKILL.
    Killed,
    /// Its host: the process stands still for good, and its connections stay open.
    Host,
    /// Its network: a proxy lets nothing pass, and tells nobody.
    Network,
}

/// How long it takes until the other candidate is elected, so many times.
pub(super) fn measure(site: &Site, side: &Side, loss: Loss, rounds: u32) -> Result<Cell> {
    let open = Mutex::new((0..rounds).collect::<VecDeque<_>>());
    let next = || open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let lane = || {
        let mut took = Vec::new();
        while let Some(round) = next() {
            took.push(once(site, side, loss, round)?);
        }
        Ok(took)
    };
    let lanes: Vec<Result<Vec<Option<f64>>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..side.lanes.min(rounds)).map(|_| scope.spawn(lane)).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a measuring thread has failed")))
        };
        threads.into_iter().map(ended).collect()
    });
    let all =
        lanes.into_iter().collect::<Result<Vec<_>>>().with_context(|| format!("{}, {loss:?}", side.name))?.concat();
    let took: Vec<f64> = all.iter().flatten().copied().collect();
    let never = all.len() - took.len();
    let within_s = side.patience.as_secs();
    Ok(match never {
        0 => Cell::Took(Took::of(took)),
        _ => Cell::NotTaken { never, times: all.len(), within_s },
    })
}

fn once(site: &Site, side: &Side, loss: Loss, round: u32) -> Result<Option<f64>> {
    let key = side.key(&format!("{loss:?}-{round}"));
    let (direct, way) = (site.access(), if loss == Loss::Network { site.way()? } else { None });
    let own = way.as_ref().map_or(&direct, |way| &way.access);
    let mut holder = Contender::start(side.manner, || (side.command)(own, &key))?;
    holder.campaign()?;
    holder.elected(PATIENCE)?.context("nobody is elected")?;
    let mut other = Contender::start(side.manner, || (side.command)(&direct, &key))?;
    other.campaign()?;
    // Until it has seen a renewal, and then to some moment between two of them.
    std::thread::sleep(TTL / 2 + phase(round));
    let at = shared_ns();
    let cut = match loss {
        Loss::Killed => holder.signal(Signal::KILL).map(|()| None)?,
        Loss::Host => holder.signal(Signal::STOP).map(|()| None)?,
        Loss::Network => way.as_ref().map(|way| way.cut(Cut::Silent)),
    };
    let elected = other.elected(side.patience)?;
    drop((holder, cut));
    Ok(elected.map(|elected| elected.saturating_sub(at) as f64 / 1e6))
}
