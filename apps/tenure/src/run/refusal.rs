//! Why a lease was not to be had: the one line that a job leaves behind which did not run.

use std::fmt;
use std::time::Duration;

use tenure::{LeaseKey, Status};
use tenure_core::LeaseRecord;

use super::config::Patience;
use super::keys::Keys;
use tenure_base_net::durations;

/// A campaign without leadership, and what stood in its way.
#[derive(Debug)]
pub(super) struct Refusal {
    lease: LeaseKey,
    obstacle: Obstacle,
    patience: Patience,
}

#[derive(Debug)]
enum Obstacle {
    /// Somebody holds the only key.
    Holder(String),
    /// So many slots of so many are held.
    Slots { held: usize, of: usize, first: Option<Duration>, another: Option<String> },
    /// The health command does not say yes.
    Unfit,
    /// Nobody who is known.
    Unknown,
}

impl Refusal {
    /// What is known of it: the leases of others that the store shows now, where it does in time, and where each election
    /// stands.
    pub(super) fn new(keys: &Keys, patience: Patience, records: Option<&[LeaseRecord]>, seen: &[Status]) -> Refusal {
        let held = |status: &&Status| status.leader.as_ref().is_some_and(|leader| *leader != status.holder);
        let obstacle = match (records, keys.slots()) {
            (Some([]), _) if seen.iter().any(|status| !status.healthy) => Obstacle::Unfit,
            (Some(records), Some(of)) => {
                let is_gone = |status: &&Status| records.iter().all(|record| record.key != status.key);
                Obstacle::Slots {
                    held: records.len(),
                    of,
                    first: records.iter().filter_map(|record| record.remaining).min(),
                    another: seen.iter().filter(held).find(is_gone).map(was_held),
                }
            }
            (Some([record, ..]), None) => Obstacle::Holder(is_held(record)),
            _ => seen.iter().find(held).map_or(Obstacle::Unknown, |status| Obstacle::Holder(was_held(status))),
        };
        Refusal { lease: keys.lease().clone(), obstacle, patience }
    }
}

fn is_held(record: &LeaseRecord) -> String {
    let term = record.term.map(|term| format!(" (term {term})")).unwrap_or_default();
    format!("{} is held by {}{term}{}", record.key, record.holder, unless_renewed(record.remaining))
}

/// What was seen when the claim was refused, and is not there any more: or never was, where a store only waits.
fn was_held(status: &Status) -> String {
    let leader = status.leader.as_ref().map_or("somebody", |leader| leader.as_str());
    format!("{} was held by {leader}", status.key)
}

fn unless_renewed(remaining: Option<Duration>) -> String {
    remaining.map(|left| format!(", for another {} unless it is renewed", durations::short(left))).unwrap_or_default()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lease = &self.lease;
        match &self.obstacle {
            Obstacle::Holder(text) => write!(f, "{text}")?,
            Obstacle::Slots { held, of, first, .. } if held == of => {
                let first = first.map(|left| format!(", the first of them{}", unless_renewed(Some(left))));
                write!(f, "all {of} slots of {lease} are held{}", first.unwrap_or_default())?;
            }
            Obstacle::Slots { held, of, another, .. } => {
                write!(f, "{held} of {of} slots of {lease} are held")?;
                match another {
                    Some(another) => write!(f, ", and {another}")?,
                    None => write!(f, ", and no other was to be had")?,
                }
            }
            Obstacle::Unfit => write!(f, "{lease} was not campaigned for: the health command does not say yes")?,
            Obstacle::Unknown => write!(f, "{lease} was not granted, though nobody is seen to hold it")?,
        }
        match self.patience {
            Patience::For(span) => write!(f, "; gave up after {}", durations::show(span)),
            Patience::None | Patience::Endless => write!(f, "; not waiting"),
        }
    }
}
