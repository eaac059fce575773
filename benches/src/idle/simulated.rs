//! A holder in simulated time: the elector and a table, with a clock that jumps to the next deadline.

use std::time::Duration;

use anyhow::{Result, bail};
use tenure::{HolderId, LeaseKey, Note, TimingOptions};
use tenure_core::{Answer, Elector, ElectorConfig, Input, Output, Request, Standing, Time};
use tenure_store::LeaseTable;

use crate::clock::thread_cpu;
use crate::report::Idling;

pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// How long the simulated store takes to answer.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// Holds for this many hours.
///
/// # Errors
/// Where the lease is not held all the time.
pub(crate) fn hours(count: u32) -> Result<Idling> {
    let mut elector = Elector::new(ElectorConfig {
        key: LeaseKey::new("bench/idle")?,
        holder: HolderId::new("bench")?,
        process: 1,
        timing: TimingOptions::default().resolve()?,
        note: Note::default(),
        hold: Duration::ZERO,
        leave_lease: false,
        hints: true,
        seed: 1,
    });
    let mut table = LeaseTable::new();
    let (mut now, mut calls, mut wake_ups) = (Time::ZERO + HOUR, 0_u64, 0_u64);
    let end = now + HOUR * count;
    let from = thread_cpu();
    elector.handle(now, Input::Campaign);
    loop {
        let mut answered = None;
        while let Some(output) = elector.poll() {
            if let Output::Send(id, request) = output {
                calls += 1;
                answered = Some((id, answer(&mut table, now, &request)?));
            }
        }
        let input = if let Some((id, answer)) = answered {
            now = now + ROUND_TRIP;
            Input::Answer(id, answer)
        } else {
            match elector.poll_timeout() {
                Some(due) if due <= end => now = now.max(due),
                _ => break,
            }
            Input::Timeout
        };
        wake_ups += 1;
        elector.handle(now, input);
    }
    let cpu = thread_cpu().saturating_sub(from).as_secs_f64();
    if !matches!(elector.standing(), Standing::Leader { stopping: false, .. }) {
        bail!("the simulated holder does not lead any more");
    }
    let count = f64::from(count);
    Ok(Idling {
        what: "the elector alone, simulated time".to_owned(),
        seconds: HOUR.as_secs_f64() * count,
        calls: calls as f64 / count,
        wake_ups: wake_ups as f64 / count,
        cpu_seconds: cpu / count,
    })
}

fn answer(table: &mut LeaseTable, now: Time, request: &Request) -> Result<Answer> {
    Ok(match request {
        Request::Acquire(claim) => Answer::Claimed(table.acquire(now, now.as_nanos() / 1_000, claim)?),
        Request::Renew(held) => Answer::Renewed(table.renew(now, held)),
        Request::Release(held) => Answer::Released(table.release(now, held)),
        Request::Observe(_) | Request::List { .. } => bail!("an idle holder observes nothing"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A holder with a ttl of 15 s renews every 5 s and is woken for nothing else.
    #[test]
    fn a_holder_renews_and_does_nothing_else() {
        let idle = hours(1).unwrap();
        assert!((719.0..=722.0).contains(&idle.calls), "{idle:?}");
        assert!(idle.wake_ups <= 2.0 * idle.calls, "{idle:?}");
    }
}
