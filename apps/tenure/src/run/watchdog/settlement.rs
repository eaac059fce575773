//! What the watchdog does with the lease once everything is dead and nobody else will: releases it, or has it last.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use tenure_core::{Held, LeaseKey, LeaseRecord, Time};
use tenure_store::{LeaseStore, Renewed, StoreError};
use tokio::runtime::Runtime;

use crate::run::keys::Keys;
use crate::run::link::Charge;

/// The pause between two tries grows from the first to the second.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// When a campaign's claims are looked for after the candidate's death: one may be on its way to the store still.
const LOOKS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(500), Duration::from_millis(1500)];

/// How long a request may be under way whose sender has ended.
const AFTERSHOCK: Duration = Duration::from_millis(100);

/// What a dead `tenure run` left behind.
#[derive(Clone, Debug)]
pub(in crate::run) enum Estate {
    /// A tenure whose work has ended.
    Tenure {
        /// The tenure.
        held: Held,
        /// Until when its lease is to last.
        keep_until: Time,
        /// By then the lease has ended by itself.
        ended_by: Time,
    },
    /// Perhaps a lease that was granted and never used.
    Campaign,
}

/// The thread that settles. It is there from the start, as there may be none to be had at the end.
#[derive(Debug)]
pub(super) struct Settlement {
    tasks: Sender<Task>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Task {
    /// Open the store, for there will be something to settle: meanwhile the dying die.
    Prepare(Charge),
    Settle(Charge, Estate),
}

impl Settlement {
    /// Starts it. It waits.
    pub(super) fn start() -> io::Result<Settlement> {
        let (tasks, given) = channel::<Task>();
        let work = move || {
            let mut settler = Settler::default();
            while let Ok(task) = given.recv() {
                match task {
                    Task::Prepare(charge) => settler.prepare(&charge),
                    Task::Settle(charge, estate) => settler.settle(&charge, &estate),
                }
            }
        };
        let thread = std::thread::Builder::new().name("settlement".into()).spawn(work)?;
        Ok(Settlement { tasks, thread })
    }

    /// There will be something to settle.
    pub(super) fn prepare(&self, charge: &Charge) {
        // The thread lives as long as this.
        let _ = self.tasks.send(Task::Prepare(charge.clone()));
    }

    /// Settles this, everything of which is dead.
    pub(super) fn inherit(&self, charge: &Charge, estate: Estate) {
        let _ = self.tasks.send(Task::Settle(charge.clone(), estate));
    }

    /// Waits until all is settled.
    pub(super) fn finish(self) {
        drop(self.tasks);
        let _ = self.thread.join();
    }
}

/// Settles this on the thread that calls it; returns when that is done, or when the lease has ended by itself.
pub(in crate::run) fn settle(charge: &Charge, estate: &Estate) {
    Settler::default().settle(charge, estate);
}

/// A runtime and a store, once they could be made. A machine at its limit makes neither for a while: it is tried again until
/// the lease has ended by itself.
#[derive(Debug, Default)]
struct Settler {
    runtime: Option<Runtime>,
    store: Option<Arc<dyn LeaseStore>>,
}

impl Settler {
    fn prepare(&mut self, charge: &Charge) {
        if self.runtime.is_none() {
            self.runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok();
        }
        if let (Some(runtime), None) = (&self.runtime, &self.store) {
            self.store = runtime.block_on(open(charge)).ok();
        }
    }

    fn settle(&mut self, charge: &Charge, estate: &Estate) {
        let mut pause = RETRY.0;
        let until = match estate {
            Estate::Tenure { ended_by, .. } => *ended_by,
            Estate::Campaign => tenure::now() + charge.ttl,
        };
        loop {
            self.prepare(charge);
            if let (Some(runtime), Some(store)) = (&self.runtime, &self.store) {
                let acted = async {
                    // A store that needs a thread and gets none may panic.
                    let act = AssertUnwindSafe(act(charge, store, estate)).catch_unwind();
                    matches!(tokio::time::timeout(PATIENCE, act).await, Ok(Ok(Ok(()))))
                };
                if runtime.block_on(acted) {
                    return;
                }
            }
            if tenure::now() + pause > until {
                return;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(RETRY.1);
        }
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        self.store = None;
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(100));
        }
    }
}

async fn open(charge: &Charge) -> anyhow::Result<Arc<dyn LeaseStore>> {
    let opening = AssertUnwindSafe(crate::store::open(&charge.store)).catch_unwind();
    match tokio::time::timeout(PATIENCE, opening).await? {
        Ok(opened) => opened,
        Err(_) => Err(anyhow::anyhow!("opening the store panicked")),
    }
}

async fn act(charge: &Charge, store: &Arc<dyn LeaseStore>, estate: &Estate) -> Result<(), StoreError> {
    match estate {
        Estate::Tenure { held, keep_until, .. } => leave(&**store, held, *keep_until).await,
        Estate::Campaign => {
            // What is no key was not campaigned for.
            let Ok(keys) = LeaseKey::new(&charge.lease).and_then(|lease| Keys::new(&lease, charge.slots)) else {
                return Ok(());
            };
            for pause in LOOKS {
                tokio::time::sleep(pause).await;
                drop_claims(&**store, &keys, charge).await?;
            }
            Ok(())
        }
    }
}

/// Releases whatever the dead process was granted.
async fn drop_claims(store: &dyn LeaseStore, keys: &Keys, charge: &Charge) -> Result<(), StoreError> {
    let granted = |record: LeaseRecord| {
        let nonce = record.nonce.filter(|nonce| nonce.process == charge.process)?;
        Some(Held { key: record.key, nonce, term: record.term?, ttl: charge.ttl, note: record.note })
    };
    let held: Vec<Held> = keys.records(store).await?.into_iter().filter_map(granted).collect();
    if !held.is_empty() {
        for answer in store.release(&held).await? {
            answer?;
        }
    }
    Ok(())
}

/// Ends a tenure whose work has ended: its lease is released, or lasts until `keep_until` where that is still to come.
/// A tenure that the store has given up already is no error.
async fn leave(store: &dyn LeaseStore, held: &Held, keep_until: Time) -> Result<(), StoreError> {
    let info = store.info();
    loop {
        let rest = keep_until.since(tenure::now());
        if rest.is_zero() {
            for answer in store.release(std::slice::from_ref(held)).await? {
                answer?;
            }
            return Ok(());
        }
        let ttl = rest.max(info.min_ttl).min(info.max_ttl);
        for answer in store.renew(&[Held { ttl, ..held.clone() }]).await? {
            if matches!(answer?, Renewed::Lost { .. }) {
                return Ok(());
            }
        }
        // A renewal for the usual ttl may have been under way when its sender ended; then it has arrived by now.
        tokio::time::sleep(AFTERSHOCK).await;
        let ours = store.record(&held.key).await?.filter(|record| record.nonce == Some(held.nonce));
        let shortened = |record: LeaseRecord| {
            record.ttl.is_some_and(|kept| kept < ttl)
                && record.remaining.is_some_and(|left| left < keep_until.since(tenure::now()))
        };
        if !ours.is_some_and(shortened) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_core::{HolderId, KeyPrefix, Nonce, Note, Term};
    use tenure_store::{Claim, Claimed};

    async fn granted(store: &dyn LeaseStore) -> Held {
        let (key, nonce) = (LeaseKey::new("k").unwrap(), Nonce { process: 1, campaign: 1 });
        let ttl = Duration::from_secs(10);
        let holder = HolderId::new("h").unwrap();
        let claim =
            Claim { key: key.clone(), holder, nonce, ttl, hold: Duration::ZERO, above: None, note: Note::default() };
        let Claimed::Granted { term, .. } = store.acquire(&[claim]).await.unwrap().remove(0).unwrap() else {
            panic!("not granted");
        };
        Held { key, nonce, term, ttl, note: Note::default() }
    }

    /// A lease that is to be kept lasts for the rest of that time; any other is free at once.
    #[tokio::test]
    async fn a_lease_is_released_or_kept() {
        let store = tenure_open::open("memory:leave").await.unwrap();
        let held = granted(&*store).await;
        let all = KeyPrefix::default();
        leave(&*store, &held, tenure::now() + Duration::from_secs(100)).await.unwrap();
        let records = store.list(&all).await.unwrap();
        let left = records[0].remaining.unwrap();
        assert!(left > Duration::from_secs(90) && left <= Duration::from_secs(100), "{left:?}");
        // Somebody else's is not touched.
        let other = Held { term: Term::new(1).unwrap(), ..held.clone() };
        leave(&*store, &other, Time::ZERO).await.unwrap();
        assert_eq!(store.list(&all).await.unwrap().len(), 1);
        leave(&*store, &held, Time::ZERO).await.unwrap();
        assert!(store.list(&all).await.unwrap().is_empty());
    }
}
