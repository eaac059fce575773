//! Why a lease was not acquired: the one line that a job leaves behind which did not run.

use std::fmt;
use std::time::Duration;

use tenure::{LeaseKey, Status};
use tenure_core::{LeaseRecord, SlotKeys};

use super::config::Wait;
use tenure_base_net::durations;

/// A campaign without leadership, and what stood in its way.
#[derive(Debug)]
pub(super) struct NotAcquired {
    lease: LeaseKey,
    obstacle: Obstacle,
    /// How the store has failed since it last answered, and for how long.
    failure: Option<(String, Duration)>,
    /// Whether the run around this one is the holder.
    is_nested: bool,
    wait: Wait,
}

#[derive(Debug)]
enum Obstacle {
    /// The only key is held, or was.
    Held(String),
    /// Of the slots so many are held.
    Slots { held: usize, of: usize, first: Option<Duration>, another: Option<String> },
    /// The health check fails.
    Unhealthy,
    /// Nobody is known to hold the key.
    Unknown,
}

impl NotAcquired {
    /// Explains it from the leases of others that the store shows now, where it does in time, and from the status of each election.
    pub(super) fn new(keys: &SlotKeys, wait: Wait, records: Option<&[LeaseRecord]>, seen: &[Status]) -> NotAcquired {
        let held = |status: &&Status| status.leader.as_ref().is_some_and(|leader| *leader != status.holder);
        let slots = (keys.all()[0] != *keys.lease()).then(|| keys.all().len());
        let obstacle = match (records, slots) {
            (Some([]), _) if seen.iter().any(|status| !status.healthy) => Obstacle::Unhealthy,
            (Some(records), Some(of)) => {
                let is_gone = |status: &&Status| records.iter().all(|record| record.key != status.key);
                Obstacle::Slots {
                    held: records.len(),
                    of,
                    first: records.iter().filter_map(|record| record.remaining).min(),
                    another: seen.iter().filter(held).find(is_gone).map(was_held),
                }
            }
            (Some([record, ..]), None) => Obstacle::Held(is_held(record)),
            _ => seen.iter().find(held).map_or(Obstacle::Unknown, |status| Obstacle::Held(was_held(status))),
        };
        // Where others hold every key, the store is in nobody's way.
        let is_held = records.is_some_and(|records| records.len() == keys.all().len());
        let failing = seen.iter().filter(|_| !is_held).find(|status| status.store_failure.is_some());
        let failure = failing.and_then(|status| {
            let since = status.store_failing_since?;
            Some((status.store_failure.clone()?, tenure::now().since(since)))
        });
        NotAcquired { lease: keys.lease().clone(), obstacle, failure, is_nested: false, wait }
    }

    /// Says as well whether this runs under the lease itself.
    pub(super) fn nested(self, is_nested: bool) -> NotAcquired {
        NotAcquired { is_nested, ..self }
    }
}

fn is_held(record: &LeaseRecord) -> String {
    let term = record.term.map(|term| format!(" (term {term})")).unwrap_or_default();
    format!("{} is held by {}{term}{}", record.key, record.holder, unless_renewed(record.remaining))
}

/// Of a holder that was seen when the claim was refused, and is not there any more.
fn was_held(status: &Status) -> String {
    let leader = status.leader.as_ref().map_or("somebody", |leader| leader.as_str());
    format!("{} was held by {leader}", status.key)
}

fn unless_renewed(remaining: Option<Duration>) -> String {
    remaining.map(|left| format!(", for another {} unless it is renewed", durations::short(left))).unwrap_or_default()
}

impl fmt::Display for NotAcquired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = &self.lease;
        match &self.obstacle {
            Obstacle::Held(text) => write!(f, "{text}")?,
            Obstacle::Slots { held, of, first, .. } if held == of => {
                match of {
                    1 => write!(f, "the one slot of {lease} is held")?,
                    _ => write!(f, "all {of} slots of {lease} are held, the first of them")?,
                }
                write!(f, "{}", first.map(|left| unless_renewed(Some(left))).unwrap_or_default())?;
            }
            Obstacle::Slots { held, of, another, .. } => {
                write!(f, "{held} of {of} slots of {lease} are held")?;
                match another {
                    Some(another) => write!(f, ", and {another}")?,
                    None => write!(f, ", and no other was to be had")?,
                }
            }
            Obstacle::Unhealthy => write!(f, "{lease} was not campaigned for: the health command does not say yes")?,
            Obstacle::Unknown if self.failure.is_some() => write!(f, "{lease} was not granted")?,
            Obstacle::Unknown => write!(f, "{lease} was not granted, though nobody is seen to hold it")?,
        }
        if self.is_nested {
            f.write_str("; this runs under it already (TENURE_KEY), and would wait for itself")?;
        }
        if let Some((message, span)) = &self.failure {
            write!(f, "; the store has failed for {}: {message}", durations::short(*span))?;
        }
        match self.wait {
            Wait::AtMost(span) => write!(f, "; gave up after {}", durations::show(span)),
            Wait::No | Wait::Forever => write!(f, "; not waiting"),
        }
    }
}
