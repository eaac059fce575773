//! Waiting for leadership: of one key, or of any one of several slots.

use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::StreamExt;
use rustix::process::Signal;
use tenure::{Election, Event, Events, KeyPrefix, Leadership, LeaseKey, LeaseStore, Status, Time};
use tenure_core::LeaseRecord;
use tenure_store::{StoreError, WakeChange};
use tenure_supervise::records_of;
use tokio::sync::watch;
use tokio::time::Instant;

use super::config::{Config, Wait};
use super::endpoints::RunView;
use super::events::RunEvent;
use super::forwarded_signals::ForwardedSignals;
use super::keys::Keys;
use super::not_acquired::NotAcquired;
use super::notifier::Notifier;
use crate::exit::Exit;
use crate::identity;

/// How long a store may take to say who holds what was not to be had.
const WORD: Duration = Duration::from_secs(1);

/// The candidate: one election for each key, which live as long as this, so that no claim is ever made twice.
#[derive(Debug)]
pub(super) struct Candidate {
    store: Arc<dyn LeaseStore>,
    elections: Vec<Arc<Election>>,
    keys: Keys,
    /// The process half of every nonce.
    process: u64,
    retry: Duration,
    answer: Duration,
    /// Where the search for a free slot begins; differs from process to process.
    first: usize,
    /// The slot that is left to others, as this candidate was asked to give it up, and until when.
    left: Option<(LeaseKey, Time)>,
    stand_back: Duration,
}

/// How a campaign ended.
#[derive(Debug)]
pub(super) enum Campaign {
    /// With leadership, and the events of its election.
    Won(Leadership, Events),
    /// Somebody else holds the key, or holds all of them, and the time to wait is over.
    NotInTime,
    /// The store gave no answer in that time.
    NoAnswer(String),
    /// A signal asked for an end.
    Asked(Signal),
}

/// How one claim ended.
#[derive(Debug)]
enum Claim {
    Won(Leadership, Events),
    Held,
    Failed(String),
}

impl Candidate {
    /// A candidate for every key of the configuration.
    pub(super) fn new(config: &Config, process: u64, store: Arc<dyn LeaseStore>) -> Result<Candidate> {
        let election = |key: &tenure::LeaseKey| -> Result<Arc<Election>> {
            let election = Election::new(Arc::clone(&store), key.as_str(), config.election(process));
            Ok(Arc::new(election.map_err(|error| Exit::usage(anyhow!(error)))?.start()))
        };
        let elections: Vec<Arc<Election>> = config.keys.all().iter().map(election).collect::<Result<_>>()?;
        Ok(Candidate {
            elections,
            store,
            keys: config.keys.clone(),
            process,
            retry: config.timing.retry_interval(),
            answer: config.timing.request_timeout() * 2,
            first: usize::try_from(identity::random() >> 32).unwrap_or(0) % config.keys.all().len(),
            left: None,
            stand_back: config.timing.stand_back(),
        })
    }

    /// The name that the leases are held under.
    pub(super) fn holder(&self) -> String {
        self.elections[0].holder().to_string()
    }

    /// Where the election for this key stands.
    pub(super) fn observe(&self, key: &LeaseKey) -> watch::Receiver<Status> {
        // Only keys of these elections are ever asked for.
        self.elections.iter().find(|election| election.key() == key).unwrap_or(&self.elections[0]).observe()
    }

    /// This candidate was asked to give that key up. Its election leaves it to others for a while; meanwhile another slot
    /// is as good.
    pub(super) fn stand_back(&mut self, key: &LeaseKey) {
        self.left = Some((key.clone(), tenure::now() + self.stand_back));
    }

    /// The elections, for their health.
    pub(super) fn elections(&self) -> Vec<Weak<Election>> {
        self.elections.iter().map(Arc::downgrade).collect()
    }

    /// What endpoints show.
    pub(super) fn view(&self, address: Option<String>) -> RunView {
        RunView {
            store: Arc::clone(&self.store),
            keys: self.keys.clone(),
            elections: self.elections.iter().map(|election| election.observe()).collect(),
            address,
        }
    }

    /// Campaigns until leadership, a signal, or the end of wait.
    pub(super) async fn campaign(
        &mut self,
        wait: Wait,
        signals: &mut ForwardedSignals,
        notifier: &mut Notifier,
    ) -> Campaign {
        let mut failed = None;
        let until = match wait {
            Wait::AtMost(span) => Some(Instant::now() + span),
            Wait::Forever | Wait::No => None,
        };
        let campaign = async {
            match (self.elections.len(), wait) {
                (_, Wait::No) => self.try_each().await,
                (1, _) => self.wait_for_one(&mut failed, notifier).await,
                _ => self.wait_for_any(&mut failed, notifier).await,
            }
        };
        let over = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            campaign = campaign => return campaign,
            signal = signals.next_end() => return Campaign::Asked(signal),
            () = over => {}
        }
        // The last answer counts: one that was held keeps its holder, whatever failed before.
        match failed {
            Some(message) if !self.is_held().await => Campaign::NoAnswer(message),
            _ => Campaign::NotInTime,
        }
    }

    /// Whether the store says, in time, that others hold every key. A key that looks free is one that could not be claimed.
    async fn is_held(&self) -> bool {
        let records = tokio::time::timeout(WORD, self.others()).await;
        records.is_ok_and(|records| records.is_ok_and(|records| records.len() == self.keys.all().len()))
    }

    /// The leases that others hold now: a claim that is granted too late is released, and is nobody's obstacle.
    async fn others(&self) -> Result<Vec<LeaseRecord>, StoreError> {
        let mut records = records_of(&*self.store, self.keys.all()).await?;
        records.retain(|record| !self.is_own(record));
        Ok(records)
    }

    fn prefix(&self) -> KeyPrefix {
        KeyPrefix::new(format!("{}/", self.keys.lease())).unwrap_or_default()
    }

    fn is_own(&self, record: &LeaseRecord) -> bool {
        match record.nonce {
            Some(nonce) => nonce.process == self.process,
            None => record.holder == *self.elections[0].holder(),
        }
    }

    /// Why the last campaign was in vain. Waits a moment for the store.
    pub(super) async fn not_acquired(&self, wait: Wait) -> NotAcquired {
        let records = tokio::time::timeout(WORD, self.others()).await;
        let records = records.ok().and_then(Result::ok);
        let seen: Vec<Status> = self.elections.iter().map(|election| election.status()).collect();
        NotAcquired::new(&self.keys, wait, records.as_deref(), &seen)
    }

    /// Ends every election. A claim that is under way is waited for, so that it leaves nothing behind.
    pub(super) async fn stop(self) {
        futures_util::future::join_all(self.elections.iter().map(|election| election.stop())).await;
    }

    /// The elections that may claim now, in the order in which they do.
    fn slots(&self) -> impl Iterator<Item = &Arc<Election>> {
        let (before, after) = self.elections.split_at(self.first);
        let now = tenure::now();
        let left = move |key: &LeaseKey| self.left.as_ref().is_some_and(|(left, until)| left == key && now < *until);
        after.iter().chain(before).filter(move |election| !left(election.key()))
    }

    /// One claim for each key, until one is granted.
    async fn try_each(&self) -> Campaign {
        let mut failed = None;
        for election in self.slots() {
            match claim(election, self.answer).await {
                Claim::Won(leadership, events) => return Campaign::Won(leadership, events),
                Claim::Held => {}
                Claim::Failed(message) => failed = Some(message),
            }
        }
        failed.map_or(Campaign::NotInTime, Campaign::NoAnswer)
    }

    async fn wait_for_one(&self, failed: &mut Option<String>, notifier: &mut Notifier) -> Campaign {
        let election = &self.elections[0];
        let mut events = election.events();
        let campaign = election.campaign();
        tokio::pin!(campaign);
        // Being refused by the same holder as before is no event: after a failure only silence tells that the store is back.
        // While it is away, claims fail more often than this.
        let silence = self.answer + self.retry * 2;
        let mut look_at = Instant::now();
        loop {
            let back = async {
                tokio::time::sleep_until(look_at).await;
                tokio::time::timeout(WORD, self.others()).await.ok().and_then(Result::ok)
            };
            tokio::select! {
                biased;
                leadership = &mut campaign => return match leadership {
                    Ok(leadership) => Campaign::Won(leadership, events),
                    Err(error) => Campaign::NoAnswer(error.to_string()),
                },
                event = events.next() => match event {
                    Some(Event::LeaderChanged { leader: Some(leader), is_self: false, .. }) => {
                        *failed = None;
                        notifier.report(&RunEvent::Waiting { key: election.key().to_string(), holder: Some(leader) });
                    }
                    Some(Event::StoreFailed { message, .. }) => {
                        look_at = Instant::now() + silence;
                        *failed = Some(message.clone());
                        notifier.report(&RunEvent::StoreFailed { message });
                    }
                    Some(_) => {}
                    None => return Campaign::NoAnswer("the election has ended".to_owned()),
                },
                records = back, if failed.is_some() => {
                    look_at = Instant::now() + silence;
                    if let Some(record) = records.and_then(|mut records| records.pop()) {
                        *failed = None;
                        notifier.report(&RunEvent::Waiting { key: election.key().to_string(), holder: Some(record.holder) });
                    }
                }
            }
        }
    }

    /// Claims whatever slot looks free, one at a time, so that two are never held; else waits for a hint, or for the first
    /// lease to run out.
    async fn wait_for_any(&mut self, failed: &mut Option<String>, notifier: &mut Notifier) -> Campaign {
        let mut wakes = futures_util::stream::pending().boxed();
        let mut subscribe = self.store.info().watch;
        loop {
            let mut pause = self.retry;
            if subscribe && let Ok(stream) = self.store.watch(&self.prefix()).await {
                // Before looking, so that nothing happens in between unseen.
                subscribe = false;
                // A slot that somebody took is no reason to look.
                wakes = stream.filter(|wake| std::future::ready(wake.change != WakeChange::Taken)).boxed();
            }
            match records_of(&*self.store, self.keys.all()).await {
                Ok(records) => {
                    *failed = None;
                    self.left.take_if(|(key, _)| records.iter().any(|record| record.key == *key));
                    for election in self.slots() {
                        if records.iter().any(|record| record.key == *election.key()) {
                            continue;
                        }
                        match claim(election, self.answer).await {
                            Claim::Won(leadership, events) => return Campaign::Won(leadership, events),
                            Claim::Held => {}
                            Claim::Failed(message) => {
                                notifier.report(&RunEvent::StoreFailed { message: message.clone() });
                                *failed = Some(message);
                            }
                        }
                    }
                    let key = format!("{}/0..{}", self.keys.lease(), self.elections.len() - 1);
                    notifier.report(&RunEvent::Waiting { key, holder: None });
                    let remaining = records.iter().filter_map(|record| record.remaining).min();
                    pause = remaining.map_or(self.retry, |remaining| remaining.max(self.retry));
                    if let Some((_, until)) = &self.left {
                        // Nobody tells when it is over.
                        pause = pause.min(until.since(tenure::now()).max(self.retry));
                    }
                }
                Err(error) => {
                    notifier.report(&RunEvent::StoreFailed { message: error.to_string() });
                    *failed = Some(error.to_string());
                }
            }
            // Waiting processes should not all look at the same moment.
            let pause = pause + self.retry.mul_f64((identity::random() % 128) as f64 / 1024.0);
            let least = tokio::time::sleep(self.retry / 64);
            tokio::select! {
                wake = wakes.next() => {
                    if wake.is_none() {
                        wakes = futures_util::stream::pending().boxed();
                        subscribe = true;
                    }
                }
                () = tokio::time::sleep(pause) => {}
            }
            // However many hints a store has.
            least.await;
        }
    }
}

/// One claim. Its campaign is given up where somebody else holds the key; a claim that is granted after that is released
/// by the election.
async fn claim(election: &Election, answer: Duration) -> Claim {
    let mut events = election.events();
    let campaign = election.campaign();
    tokio::pin!(campaign);
    let unanswered = tokio::time::sleep(answer);
    tokio::pin!(unanswered);
    loop {
        tokio::select! {
            biased;
            leadership = &mut campaign => return match leadership {
                Ok(leadership) => Claim::Won(leadership, events),
                Err(error) => Claim::Failed(error.to_string()),
            },
            event = events.next() => match event {
                Some(Event::LeaderChanged { leader: Some(_), is_self: false, .. }) => return Claim::Held,
                Some(Event::StoreFailed { message, .. }) => return Claim::Failed(message),
                Some(_) => {}
                None => return Claim::Failed("the election has ended".to_owned()),
            },
            // Held by whom it was held before, which is no event.
            () = &mut unanswered => return Claim::Held,
        }
    }
}
