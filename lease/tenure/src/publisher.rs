//! The status of one key, or of several together, and the telemetry of what happens to it.

use tenure_core::{Event, HolderId, LeaseKey, Observed, Standing};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::status::Status;
use crate::telemetry::Telemetry;

/// Where a candidate stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) standing: Standing,
    /// Whether it leads and may act.
    pub(crate) current: bool,
    pub(crate) observed: Observed,
}

/// Publishes what becomes of one key, or of the slots of a semaphore together.
#[derive(Debug)]
pub(crate) struct Publisher {
    status: watch::Sender<Status>,
    telemetry: Telemetry,
}

impl Publisher {
    pub(crate) fn new(key: &LeaseKey, holder: &HolderId, clock: &Clock, telemetry: Telemetry) -> Publisher {
        let (status, _) = watch::channel(Status::new(key.clone(), holder.clone(), clock.clone()));
        Publisher { status, telemetry }
    }

    pub(crate) fn observe(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Logs and counts an event, and keeps in the status what follows from it.
    pub(crate) fn tell(&self, event: &Event) {
        self.note(event);
        self.telemetry.tell(event);
    }

    /// Logs that the lease of a tenure was released, and why that tenure had ended.
    pub(crate) fn released(&self, reason: &'static str) {
        self.telemetry.released(reason);
    }

    /// Keeps in the status what follows from an event.
    pub(crate) fn note(&self, event: &Event) {
        match event {
            Event::BecameLeader { .. } => self.status.send_modify(|status| {
                status.tenures += 1;
                status.led_since = Some(status.clock.now());
            }),
            Event::LostLeadership { led_for, .. } => self.status.send_modify(|status| {
                status.led_since = None;
                status.led_before += *led_for;
            }),
            Event::LeaderChanged { .. } => self.status.send_modify(|status| status.transitions += 1),
            Event::StoreFailed { message, .. } => self.status.send_modify(|status| {
                let now = status.clock.now();
                status.store_failing_since.get_or_insert(now);
                status.store_failure = Some(message.clone());
            }),
            _ => {}
        }
    }

    /// The store has answered, whatever it said.
    pub(crate) fn store_answered(&self) {
        self.status.send_if_modified(|status| {
            status.store_failure = None;
            let first = !std::mem::replace(&mut status.store_answered, true);
            status.store_failing_since.take().is_some() || first
        });
    }

    /// Whether a claim of the stopped election may have been granted without its knowing.
    pub(crate) fn set_unsettled(&self, unsettled: bool) {
        self.status.send_if_modified(|status| std::mem::replace(&mut status.unsettled, unsettled) != unsettled);
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.status.send_modify(|status| status.healthy = healthy);
    }

    /// Publishes where the candidate stands, where that has changed.
    pub(crate) fn publish(&self, position: &Position) {
        let Position { standing, current, observed } = position;
        self.status.send_if_modified(|status| {
            let same = status.standing == *standing
                && status.current == *current
                && status.leader == observed.leader
                && status.term == observed.term;
            if !same {
                status.standing = standing.clone();
                status.current = *current;
                status.leader.clone_from(&observed.leader);
                status.term = observed.term;
            }
            !same
        });
    }
}
