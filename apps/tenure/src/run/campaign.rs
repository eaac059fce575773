//! Waiting for leadership: of one key, or of any one of several slots.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rustix::process::Signal;
use tenure::{Attempt, Election, ElectionError, Event, Leadership, LeaseStore, Status};
use tenure_base_net::durations;
use tenure_core::{LeaseRecord, SlotKeys};
use tenure_store::{StoreError, StoreErrorKind};
use tenure_supervise::records_of;
use tokio::sync::watch;

use super::config::{Config, Wait};
use super::endpoints::RunView;
use super::events::RunEvent;
use super::forwarded_signals::ForwardedSignals;
use super::not_acquired::NotAcquired;
use super::notifier::Notifier;
use crate::exit::Exit;

/// How long a store may take to say who holds what was not acquired.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// How long where it has failed to answer until now.
const LAST_LOOK_TIMEOUT: Duration = Duration::from_millis(250);

/// The candidate. Its election lives as long as the run, so that no claim is ever made twice.
#[derive(Debug)]
pub(super) struct Candidate {
    store: Arc<dyn LeaseStore>,
    election: Arc<Election>,
    keys: SlotKeys,
    /// The process half of every nonce.
    process: u64,
}

/// How a campaign ended.
#[derive(Debug)]
pub(super) enum Campaign {
    /// With leadership.
    Won(Leadership),
    /// Somebody else holds the key, or holds all of them, and the time to wait is over; or the store does not answer any more.
    NotInTime(NotAcquired),
    /// The store has never given an answer, or none to the one claim.
    NoAnswer(String),
    /// A signal asked for an end.
    Asked(Signal),
}

impl Candidate {
    /// A candidate for the keys of the configuration.
    pub(super) fn new(config: &Config, process: u64, store: Arc<dyn LeaseStore>) -> Result<Candidate> {
        let election = config.start_election(Arc::clone(&store), process);
        let election = Arc::new(election.map_err(|error| Exit::usage(anyhow!(error)))?);
        Ok(Candidate { store, election, keys: config.keys.clone(), process })
    }

    /// The election, of one key or of all slots together.
    pub(super) fn election(&self) -> &Arc<Election> {
        &self.election
    }

    /// The name that the lease is held under.
    pub(super) fn holder(&self) -> String {
        self.election.holder().to_string()
    }

    /// The election's status.
    pub(super) fn observe(&self) -> watch::Receiver<Status> {
        self.election.observe()
    }

    /// What endpoints show.
    pub(super) fn view(&self, address: Option<String>) -> RunView {
        let (store, keys) = (Arc::clone(&self.store), self.keys.clone());
        RunView { store, keys, slots: self.election.observe_slots().to_vec(), address }
    }

    /// Campaigns until leadership, a signal, or the end of the time to wait, of which `rest` is left.
    pub(super) async fn campaign(
        &self,
        wait: Wait,
        rest: Option<Duration>,
        signals: &mut ForwardedSignals,
        notifier: &mut Notifier,
    ) -> Campaign {
        let mut events = self.election.events();
        let mut status = self.election.observe();
        let mut reported_failure = None;
        let campaign = async {
            match wait {
                Wait::No => self.election.try_campaign().await.map(Attempt::leadership),
                Wait::AtMost(span) => self.election.campaign_within(rest.unwrap_or(span)).await,
                Wait::Forever => self.election.campaign().await.map(Some),
            }
        };
        tokio::pin!(campaign);
        loop {
            tokio::select! {
                biased;
                ended = &mut campaign => return match ended {
                    Ok(Some(leadership)) => Campaign::Won(leadership),
                    Ok(None) => self.not_won(wait).await,
                    Err(ElectionError::Store(message)) => Campaign::NoAnswer(message),
                    Err(error) => Campaign::NoAnswer(error.to_string()),
                },
                signal = signals.next_end() => return Campaign::Asked(signal),
                // Of one claim its answer says all.
                Some(event) = events.next(), if wait != Wait::No => {
                    if let Some(waiting) = self.waiting(event) {
                        notifier.report(&waiting);
                    }
                }
                Ok(()) = status.changed(), if wait != Wait::No => {
                    let status = status.borrow_and_update().clone();
                    if let (Some(since), Some(message)) = (status.store_failing_since, status.store_failure)
                        && reported_failure.replace(since) != Some(since)
                    {
                        notifier.report(&RunEvent::StoreFailed { message });
                    }
                }
            }
        }
    }

    /// What is waited for, where the event says that somebody else has it.
    fn waiting(&self, event: Event) -> Option<RunEvent> {
        match (event, &**self.keys.all()) {
            (Event::LeaderChanged { leader: Some(leader), is_self: false, .. }, [key]) => {
                Some(RunEvent::Waiting { key: key.to_string(), holder: Some(leader) })
            }
            (Event::NoSlotFree, slots) => {
                let key = format!("{}/0..{}", self.keys.lease(), slots.len() - 1);
                Some(RunEvent::Waiting { key, holder: None })
            }
            _ => None,
        }
    }

    /// The campaign ended without leadership: because of others, or of the store, as far as a last look at it tells.
    async fn not_won(&self, wait: Wait) -> Campaign {
        let status = self.election.status();
        let is_failing = !status.store_answered || status.store_failure.is_some();
        let timeout = if is_failing { LAST_LOOK_TIMEOUT } else { LOOK_TIMEOUT };
        let look = tokio::time::timeout(timeout, self.held_by_others()).await;
        let look = look.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::TimedOut, "no answer")));
        let is_held = look.as_ref().is_ok_and(|records| records.len() == self.keys.all().len());
        let failure = status.store_failure.or_else(|| look.as_ref().err().map(ToString::to_string));
        if let Some(message) = failure.filter(|_| !status.store_answered && !is_held) {
            let waited = match wait {
                Wait::AtMost(span) => format!("; gave up after {}, in which it never answered", durations::show(span)),
                Wait::No | Wait::Forever => String::new(),
            };
            return Campaign::NoAnswer(format!("{message}{waited}"));
        }
        let seen: Vec<Status> = self.election.observe_slots().iter().map(|slot| slot.borrow().clone()).collect();
        Campaign::NotInTime(NotAcquired::new(&self.keys, wait, look.ok().as_deref(), &seen))
    }

    /// The leases that others hold now: a claim of this candidate that is granted too late is released, and in nobody's way.
    async fn held_by_others(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        let mut records = records_of(&*self.store, self.keys.all()).await?;
        records.retain(|record| match record.nonce {
            Some(nonce) => nonce.process != self.process,
            None => record.holder != *self.election.holder(),
        });
        Ok(records)
    }

    /// Ends the election, within this time. A claim that is under way is waited for, so that it leaves no lease behind; answers whether
    /// none can: every claim was answered, or what the store granted was found and released.
    pub(super) async fn stop(&self, within: Duration) -> bool {
        let has_ended = tokio::time::timeout(within, self.election.stop()).await.is_ok();
        has_ended && !self.election.status().unsettled
    }
}
