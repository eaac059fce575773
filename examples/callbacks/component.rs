//! An election as a component: a configuration in the words of Kubernetes' client, callbacks, and an event for each change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tenure::{
    Election, Event, Events, Lasted, Leadership, LeaseStore, LossReason, Mandate, MemoryStore, Time, TimingOptions,
};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// How the component takes part.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Without an election this instance leads from the start: for a single replica.
    pub(crate) enabled: bool,
    pub(crate) identity: String,
    pub(crate) lease_name: String,
    pub(crate) lease_namespace: String,
    /// Whether the store keeps the leases of that namespace alone, so that the name by itself is the key.
    pub(crate) within_namespace: bool,
    /// How long others wait for a leader that has vanished.
    pub(crate) lease_duration: Duration,
    /// How long a leader acts without an answered renewal.
    pub(crate) renew_deadline: Duration,
    /// How often a leader renews, and a candidate tries.
    pub(crate) retry_period: Duration,
    /// Whether the lease is released once the work has ended, and never before, or runs out by itself.
    pub(crate) release_on_cancel: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            enabled: true,
            identity: String::new(),
            lease_name: "my-app-leader".to_owned(),
            lease_namespace: "default".to_owned(),
            within_namespace: false,
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
            release_on_cancel: true,
        }
    }
}

/// What the component publishes, each before the callback that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    LeaderElectionStarted {
        identity: String,
        lease_name: String,
        lease_namespace: String,
    },
    BecameLeader {
        identity: String,
    },
    /// `reason` is a code, see [`LossReason::code`]; `detail` the sentence.
    LostLeadership {
        identity: String,
        reason: &'static str,
        detail: String,
        time_as_leader: Duration,
    },
    NewLeaderObserved {
        new_leader_identity: String,
        is_self: bool,
    },
}

/// What a program does when leadership changes.
pub(crate) struct Callbacks {
    /// The leader's work. It ends soon after [`Mandate::lost`] has answered; the lease is released after it.
    pub(crate) on_started_leading: Box<dyn Fn(Mandate) -> BoxFuture<'static, ()> + Send + Sync>,
    pub(crate) on_stopped_leading: Box<dyn Fn() + Send + Sync>,
    pub(crate) on_new_leader: Box<dyn Fn(&str) + Send + Sync>,
}

/// The component.
pub(crate) struct Component {
    config: Config,
    election: Election,
    callbacks: Callbacks,
    bus: broadcast::Sender<Observation>,
    /// Set while the callbacks have been told that this instance leads.
    leading_since: Mutex<Option<Time>>,
}

impl Component {
    /// Checks the configuration and prepares to take part; [`Component::run`] does it.
    pub(crate) fn new(
        config: Config,
        store: Arc<dyn LeaseStore>,
        bus: broadcast::Sender<Observation>,
        callbacks: Callbacks,
    ) -> Result<Component> {
        ensure!(
            config.renew_deadline > config.retry_period,
            "renew_deadline ({:?}) must be longer than retry_period ({:?})",
            config.renew_deadline,
            config.retry_period
        );
        let mut timing = TimingOptions::with_ttl(config.lease_duration);
        timing.renew_interval = Some(config.retry_period);
        timing.retry_interval = Some(config.retry_period);
        timing.grace_period = Some(config.renew_deadline - config.retry_period);
        let key = match config.within_namespace {
            true => config.lease_name.clone(),
            false => format!("{}/{}", config.lease_namespace, config.lease_name),
        };
        // A store of one's own has one candidate, who leads at once.
        let store = if config.enabled { store } else { Arc::new(MemoryStore::new()) };
        // Silent, because this component has logs and metrics of its own.
        let builder = Election::builder(store, key).timing(timing).leave_lease(!config.release_on_cancel).silent(true);
        let builder = if config.identity.is_empty() { builder } else { builder.holder(&config.identity) };
        let election = builder.start()?;
        Ok(Component { config, election, callbacks, bus, leading_since: Mutex::default() })
    }

    /// Takes part until `cancel`; then the work drains and the lease is released.
    pub(crate) async fn run(&self, cancel: &CancellationToken) -> Result<()> {
        let events = self.election.events();
        self.publish(Observation::LeaderElectionStarted {
            identity: self.identity(),
            lease_name: self.config.lease_name.clone(),
            lease_namespace: self.config.lease_namespace.clone(),
        });
        let leading = self.election.run_until(cancel.cancelled(), |leadership| self.tenure(leadership));
        // The events end with the election.
        tokio::join!(leading, self.watch_leaders(events)).0
    }

    /// Whether this instance leads, and may act, at this moment.
    pub(crate) fn is_leader(&self) -> bool {
        self.election.status().is_leader()
    }

    /// Who leads; empty where nobody was seen to.
    pub(crate) fn get_leader(&self) -> String {
        self.election.status().leader.map(|leader| leader.to_string()).unwrap_or_default()
    }

    /// This instance's name.
    pub(crate) fn identity(&self) -> String {
        self.election.holder().to_string()
    }

    /// The component's state, for a page of variables.
    pub(crate) fn variables(&self) -> Value {
        let status = self.election.status();
        json!({
            "enabled": self.config.enabled,
            "is_leader": self.is_leader(),
            "identity": self.identity(),
            "lease_holder": self.get_leader(),
            "time_as_leader": Lasted(status.led_in_all()).to_string(),
            "transitions": status.transitions,
        })
    }

    /// What only a reading can bring up to date.
    pub(crate) fn refresh_metrics(&self) {
        metrics::gauge!("controller_is_leader").set(if self.is_leader() { 1.0 } else { 0.0 });
        let status = self.election.status();
        metrics::counter!("controller_leader_transitions_total").absolute(status.transitions);
        metrics::counter!("controller_time_as_leader_seconds").absolute(status.led_in_all().as_secs());
    }

    async fn tenure(&self, leadership: Leadership) -> Result<()> {
        self.publish(Observation::BecameLeader { identity: self.identity() });
        *self.leading_since() = Some(tenure::now());
        // Work that does not stop is cut off, perhaps before it could be told.
        let _told = Told { component: self, mandate: leadership.mandate() };
        let work = (self.callbacks.on_started_leading)(leadership.mandate());
        let told = async {
            let reason = leadership.lost().await;
            self.stopped(&reason);
        };
        // Work that has nothing more to do does not end the tenure; a tenure that ends waits for its work. The lease is
        // released when both are through.
        tokio::join!(work, told);
        Ok(())
    }

    fn stopped(&self, reason: &LossReason) {
        let Some(since) = self.leading_since().take() else { return };
        self.publish(Observation::LostLeadership {
            identity: self.identity(),
            reason: reason.code(),
            detail: reason.to_string(),
            time_as_leader: tenure::now().since(since),
        });
        (self.callbacks.on_stopped_leading)();
    }

    async fn watch_leaders(&self, mut events: Events) {
        while let Some(event) = events.next().await {
            if let Event::LeaderChanged { leader: Some(leader), is_self, .. } = event {
                self.publish(Observation::NewLeaderObserved { new_leader_identity: leader.to_string(), is_self });
                (self.callbacks.on_new_leader)(leader.as_str());
            }
        }
    }

    fn publish(&self, observed: Observation) {
        // Nobody listening is no error.
        let _ = self.bus.send(observed);
    }

    fn leading_since(&self) -> MutexGuard<'_, Option<Time>> {
        self.leading_since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells that leadership was lost when the work is gone, where nobody has told it before.
struct Told<'a> {
    component: &'a Component,
    mandate: Mandate,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let reason = self.mandate.lost().now_or_never();
        self.component.stopped(&reason.unwrap_or(LossReason::WorkEnded));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each event is on the bus before its callback is called, a tenure's work ends before its release, and what the
    /// component tells of itself agrees.
    #[tokio::test]
    async fn events_come_before_their_callbacks() {
        let (bus, mut observed) = broadcast::channel(64);
        let calls = Arc::new(Mutex::new(Vec::new()));
        // Each callback notes its name, and how many events were on the bus by then.
        let call = |name: &'static str| {
            let (calls, bus) = (Arc::clone(&calls), bus.clone());
            move || calls.lock().unwrap().push((name, bus.len()))
        };
        let (started, ended, stopped, new_leader) =
            (call("started"), Arc::new(call("ended")), call("stopped"), call("new leader"));
        let callbacks = Callbacks {
            on_started_leading: Box::new(move |mandate| {
                started();
                let ended = Arc::clone(&ended);
                async move {
                    mandate.lost().await;
                    ended();
                }
                .boxed()
            }),
            on_stopped_leading: Box::new(stopped),
            on_new_leader: Box::new(move |_| new_leader()),
        };
        let config = Config { identity: "pod-1".to_owned(), ..Config::default() };
        let component = Component::new(config, Arc::new(MemoryStore::new()), bus.clone(), callbacks).unwrap();
        let cancel = CancellationToken::new();
        let canceller = async {
            component.election.observe().wait_for(|status| status.leader.is_some()).await.unwrap();
            while calls.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
            assert!(component.is_leader());
            assert_eq!(component.get_leader(), "pod-1");
            assert_eq!(component.variables()["lease_holder"], "pod-1");
            cancel.cancel();
        };
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(component.run(&cancel), canceller).0 })
            .await
            .unwrap()
            .unwrap();
        assert!(!component.is_leader());

        let mut names = Vec::new();
        while let Ok(observed) = observed.try_recv() {
            names.push(match observed {
                Observation::LeaderElectionStarted { .. } => "election",
                Observation::BecameLeader { .. } => "started",
                Observation::LostLeadership { .. } => "stopped",
                Observation::NewLeaderObserved { is_self, .. } => {
                    assert!(is_self);
                    "new leader"
                }
            });
        }
        assert_eq!(names.iter().filter(|name| **name == "stopped").count(), 1, "{names:?}");
        let calls = calls.lock().unwrap();
        for (name, on_the_bus) in calls.iter().filter(|(name, _)| *name != "ended") {
            let event = names.iter().position(|event| event == name).unwrap();
            assert!(event < *on_the_bus, "{name} was called before its event: {calls:?}, {names:?}");
        }
        assert!(calls.iter().any(|(name, _)| *name == "ended"));
    }

    /// Without an election the only replica leads at once, and never asks the store.
    #[tokio::test]
    async fn without_an_election_this_instance_leads() {
        let store = Arc::new(MemoryStore::new());
        let other = Election::builder(store.clone(), "default/my-app-leader").start().unwrap();
        let _held = other.campaign().await.unwrap();
        let callbacks = Callbacks {
            on_started_leading: Box::new(|_| async {}.boxed()),
            on_stopped_leading: Box::new(|| {}),
            on_new_leader: Box::new(|_| {}),
        };
        let config = Config { enabled: false, ..Config::default() };
        let component = Component::new(config, store, broadcast::channel(64).0, callbacks).unwrap();
        let cancel = CancellationToken::new();
        let mut status = component.election.observe();
        let leads = async {
            status.wait_for(|status| status.is_leader()).await.unwrap();
            cancel.cancel();
        };
        tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(component.run(&cancel), leads).0 })
            .await
            .unwrap()
            .unwrap();
    }

    /// A deadline that leaves no time between two renewals is refused by name.
    #[tokio::test]
    async fn a_deadline_within_the_retry_period_is_refused() {
        let config = Config { renew_deadline: Duration::from_secs(2), ..Config::default() };
        let callbacks = Callbacks {
            on_started_leading: Box::new(|_| async {}.boxed()),
            on_stopped_leading: Box::new(|| {}),
            on_new_leader: Box::new(|_| {}),
        };
        let store = Arc::new(MemoryStore::new());
        let Err(error) = Component::new(config, store, broadcast::channel(1).0, callbacks) else {
            panic!("accepted a deadline of one retry period")
        };
        assert!(error.to_string().contains("renew_deadline"), "{error}");
    }
}
