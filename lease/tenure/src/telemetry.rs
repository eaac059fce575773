//! Turns an election's events into logs and metrics. The election itself knows nothing of either.

use std::fmt;
use std::time::Duration;

use tenure_core::{Event, HolderId, LeaseKey, LossReason};

/// Logs and counts the events of one election, under names and in lines that operators of other electors know.
#[derive(Debug)]
pub(crate) struct Telemetry {
    lease: String,
    identity: String,
    silent: bool,
}

impl Telemetry {
    pub(crate) fn new(key: &LeaseKey, holder: &HolderId, silent: bool) -> Self {
        let telemetry = Telemetry { lease: key.to_string(), identity: holder.to_string(), silent };
        if silent {
            return telemetry;
        }
        metrics::gauge!("tenure_is_leader", "lease" => telemetry.lease.clone()).set(0.0);
        metrics::counter!("tenure_leader_transitions_total", "lease" => telemetry.lease.clone()).absolute(0);
        telemetry
    }

    pub(crate) fn tell(&self, event: &Event) {
        let (lease, identity) = (self.lease.as_str(), self.identity.as_str());
        let label = || self.lease.clone();
        if self.silent {
            tracing::debug!(lease, identity, ?event, "LeaderElection: event of a silent election");
            return;
        }
        match event {
            Event::LeaderElectionStarted => {
                tracing::info!(lease, identity, "LeaderElection: Starting leader election loop");
            }
            Event::BecameLeader { term } => {
                metrics::gauge!("tenure_is_leader", "lease" => label()).set(1.0);
                tracing::info!(lease, identity, term = term.get(), "LeaderElection: Acquired leadership");
            }
            Event::Renewed => {
                metrics::counter!("tenure_renewals_total", "lease" => label()).increment(1);
                tracing::trace!(lease, identity, "LeaderElection: Renewed");
            }
            Event::LostLeadership { reason, led_for } => {
                metrics::gauge!("tenure_is_leader", "lease" => label()).set(0.0);
                // Giving up by one's own will is no cause for alarm.
                if matches!(reason, LossReason::WorkEnded | LossReason::Resigned) {
                    tracing::info!(lease, identity, %reason, time_as_leader = %Lasted(*led_for), "LeaderElection: Lost leadership");
                } else {
                    tracing::warn!(lease, identity, %reason, time_as_leader = %Lasted(*led_for), "LeaderElection: Lost leadership");
                }
            }
            Event::LeaderChanged { leader, term, is_self } => {
                metrics::counter!("tenure_leader_transitions_total", "lease" => label()).increment(1);
                let term = term.map(|term| term.get());
                match leader.as_ref().map(HolderId::as_str) {
                    Some(new_leader) => {
                        tracing::info!(
                            lease,
                            identity,
                            new_leader,
                            term,
                            is_self,
                            "LeaderElection: New leader observed"
                        );
                    }
                    None => tracing::info!(lease, identity, "LeaderElection: No leader observed"),
                }
            }
            Event::StoreFailed { verb, message, outcome_unknown } => {
                metrics::counter!("tenure_store_failures_total", "lease" => label(), "verb" => *verb).increment(1);
                tracing::warn!(lease, identity, verb, outcome_unknown, error = %message, "LeaderElection: Store failed");
            }
            _ => {}
        }
    }
}

/// How long something has lasted, in whole seconds: `32s`, `45m32s`, `2h0m5s`.
struct Lasted(Duration);

impl fmt::Display for Lasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds >= 3_600 {
            write!(f, "{}h", seconds / 3_600)?;
        }
        if seconds >= 60 {
            write!(f, "{}m", seconds / 60 % 60)?;
        }
        write!(f, "{}s", seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hours and minutes are shown where there are any; parts of a second are not.
    #[test]
    fn what_lasted_is_in_hours_minutes_and_seconds() {
        for (millis, shown) in
            [(400, "0s"), (32_999, "32s"), (332_000, "5m32s"), (2_732_000, "45m32s"), (7_205_000, "2h0m5s")]
        {
            assert_eq!(Lasted(Duration::from_millis(millis)).to_string(), shown);
        }
    }
}
