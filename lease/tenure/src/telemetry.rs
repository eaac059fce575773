//! Turns an election's events into logs and metrics. The election itself knows nothing of either.

use tenure_core::{Event, HolderId, LeaseKey, LossReason};

use crate::lasted::Lasted;

/// Logs and counts the events of one election, under names and in lines that operators of other electors know.
#[derive(Debug)]
pub(crate) struct Telemetry {
    lease: String,
    identity: String,
    silent: bool,
}

impl Telemetry {
    pub(crate) fn new(key: &LeaseKey, holder: &HolderId, silent: bool) -> Self {
        Telemetry { lease: key.to_string(), identity: holder.to_string(), silent }
    }

    /// Shows the metrics of a key that nothing has happened to yet.
    pub(crate) fn begin(&self) {
        if !self.silent {
            metrics::gauge!("tenure_is_leader", "lease" => self.lease.clone()).set(0.0);
            metrics::counter!("tenure_leader_transitions_total", "lease" => self.lease.clone()).absolute(0);
        }
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
                tracing::info!("Lease acquired: instance={identity} endpoint={lease}");
                tracing::info!(lease, identity, term = term.get(), "LeaderElection: Acquired leadership");
            }
            Event::Renewed => {
                metrics::counter!("tenure_renewals_total", "lease" => label()).increment(1);
                // Every few seconds: for whoever looks for it.
                tracing::debug!("Lease renewed: instance={identity} endpoint={lease}");
            }
            Event::LostLeadership { reason, led_for } => {
                metrics::gauge!("tenure_is_leader", "lease" => label()).set(0.0);
                let (code, time_as_leader) = (reason.code(), Lasted(*led_for));
                // Giving up by one's own will is no cause for alarm.
                if matches!(reason, LossReason::WorkEnded | LossReason::Resigned) {
                    tracing::info!(lease, identity, reason = %code, %time_as_leader, detail = %reason, "LeaderElection: Lost leadership");
                } else {
                    tracing::warn!(lease, identity, reason = %code, %time_as_leader, detail = %reason, "LeaderElection: Lost leadership");
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
            // Whoever asked for one try is told by the call; that slots are held is no news to log.
            Event::NotElected(_) | Event::NoSlotFree => {
                tracing::debug!(lease, identity, ?event, "LeaderElection: Not elected")
            }
            _ => {}
        }
    }

    /// The store has freed the lease of a tenure that had ended for this reason.
    pub(crate) fn released(&self, reason: &'static str) {
        let (lease, identity) = (self.lease.as_str(), self.identity.as_str());
        match self.silent {
            true => tracing::debug!(lease, identity, reason, "LeaderElection: lease of a silent election released"),
            false => tracing::info!("Lease released: instance={identity} endpoint={lease} reason={reason}"),
        }
    }
}
