//! `tenure lease status`: asks the store what has become of the lease of a line.

use std::process::ExitCode;

use anyhow::{Result, anyhow};
use tenure::Time;
use tenure_core::LeaseRecord;

use super::detached_lease::{DetachedLease, State};
use super::source::SourceArgs;
use crate::exit::{Exit, LOST};
use crate::output;
use crate::store;
use crate::table::visible;

/// Flags of `tenure lease status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the line with state: held, until the deadline that the line says; expired, where that has passed or the ttl has run \
out; lost, where the lease was taken, released or removed. Nothing is renewed, and no file is changed. Where the line is of \
another machine, boot or time namespace, its deadline is told anew from what the store says is left.

Whether a lease is current at this moment can be told without asking the store: `tenure check --status-file FILE`.

Exit codes: 0 held; 64 called wrongly; 69 the store cannot be reached; 75 lost or expired.

Example:
  tenure lease status \"$file\" | jq -r .state")]
pub(super) struct Args {
    #[command(flatten)]
    source: SourceArgs,
}

/// Runs `tenure lease status`.
pub(super) fn run(args: Args) -> Result<ExitCode> {
    let lease = args.source.read()?.lease;
    if !args.source.is_expected(&lease) {
        return Ok(another_term(&lease));
    }
    store::block_on(async {
        // A mistyped path must not pass for a lease that is lost.
        let Some(store) = args.source.store.open_to_read().await? else {
            return Err(Exit::unreachable(anyhow!("{}", args.source.store.elsewhere())));
        };
        let sent = tenure::now();
        let record = store::record(&*store, &lease.key).await.map_err(Exit::unreachable)?;
        let (state, lease) = judge(lease, record.as_ref(), sent, tenure::now());
        if let (State::Lost, Some(record)) = (state, &record)
            && record.nonce != Some(lease.nonce)
        {
            let (key, holder) = (visible(lease.key.as_str()), visible(record.holder.as_str()));
            say!("tenure: {key} is held by {holder} now");
        }
        output::line(lease.status_line(state))?;
        Ok(ExitCode::from(if state == State::Held { 0 } else { LOST }))
    })
}

/// Says that the file has the line of another tenure by now.
pub(super) fn another_term(lease: &DetachedLease) -> ExitCode {
    say!("tenure: the line has term {}, so the tenure of the term that was given is over", lease.term);
    ExitCode::from(LOST)
}

/// What follows from the record that a question sent at `sent` was answered with.
fn judge(lease: DetachedLease, record: Option<&LeaseRecord>, sent: Time, now: Time) -> (State, DetachedLease) {
    let own = lease.own_deadline();
    let is_own = |record: &&LeaseRecord| record.nonce == Some(lease.nonce) && record.term == Some(lease.term);
    if lease.released {
        return (State::Lost, lease.over());
    }
    let Some(record) = record.filter(is_own) else {
        // An end that nobody brought about is told by the deadline; where that cannot be compared, by who is there.
        let has_passed = own.map_or(record.is_none(), |deadline| deadline <= now);
        let state = if record.is_none() && has_passed { State::Expired } else { State::Lost };
        return (state, lease.over());
    };
    // What was left when the store answered was left when it was asked; the margin is for clocks that differ.
    let told = record.remaining.map(|left| sent + left.saturating_sub(lease.timing.margin()));
    match own.into_iter().chain(told).max() {
        Some(deadline) if deadline > now => (State::Held, lease.until(deadline)),
        _ => (State::Expired, lease.over()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clock::ClockId;
    use super::super::detached_lease::tests::lease;
    use super::*;
    use tenure_core::{Nonce, RecordFormat, Term};

    fn record(lease: &DetachedLease, remaining: Duration) -> LeaseRecord {
        LeaseRecord {
            nonce: Some(lease.nonce),
            term: Some(lease.term),
            ttl: Some(lease.timing.ttl()),
            remaining: Some(remaining),
            note: lease.note.clone(),
            ..LeaseRecord::new(lease.key.clone(), lease.holder.clone(), RecordFormat::Tenure(1))
        }
    }

    /// Held is what the store has under this nonce and term before the deadline; all else is lost, or expired where only
    /// time has ended it.
    #[test]
    fn a_lease_is_held_lost_or_expired() {
        let (long, over) = (lease(Duration::from_secs(9)), lease(Duration::ZERO));
        let now = tenure::now();
        let left = Duration::from_secs(10);
        let state = |lease: &DetachedLease, record: Option<&LeaseRecord>| judge(lease.clone(), record, now, now);
        let held = record(&long, left);
        let (told, line) = state(&long, Some(&held));
        assert_eq!((told, line.deadline), (State::Held, long.deadline), "the later of the two deadlines");
        let other = LeaseRecord { nonce: Some(Nonce { process: 9, campaign: 1 }), ..held.clone() };
        let newer = LeaseRecord { term: Term::new(8), ..held.clone() };
        for lease in [&long, &over] {
            assert_eq!(state(lease, Some(&other)).0, State::Lost);
            assert_eq!(state(lease, Some(&newer)).0, State::Lost);
        }
        assert_eq!(state(&long, None).0, State::Lost, "removed before its time");
        assert_eq!(state(&over, None).0, State::Expired);
        // Within the margin the record is there, and nobody may act any more.
        assert_eq!(state(&over, Some(&record(&over, Duration::from_secs(1)))).0, State::Expired);
        assert_eq!(state(&DetachedLease { released: true, ..long.clone() }, Some(&held)).0, State::Lost);
    }

    /// A line of another machine is told its deadline on this clock, less the margin.
    #[test]
    fn a_line_of_another_clock_is_told_anew() {
        let now = tenure::now();
        let clock = ClockId { boot_id: Some("another".into()), time_namespace: None };
        let lease = DetachedLease { clock, ..lease(Duration::from_secs(900)) };
        let (state, told) = judge(lease.clone(), Some(&record(&lease, Duration::from_secs(10))), now, now);
        assert_eq!((state, told.deadline, told.clock), (State::Held, now + Duration::from_secs(8), ClockId::own()));
        let (state, told) = judge(lease.clone(), Some(&record(&lease, Duration::from_secs(1))), now, now);
        assert!(state == State::Expired && told.remaining().is_zero());
        assert_eq!(judge(lease, None, now, now).0, State::Expired);
    }
}
