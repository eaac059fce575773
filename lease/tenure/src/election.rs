//! An election: the face that programs use.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use tenure_core::{Elector, ElectorConfig, Event, HolderId, LeaseKey, Note, Term};
use tenure_store::LeaseStore;
use tokio::sync::{Mutex, broadcast, oneshot, watch};

use crate::control::Control;
use crate::driver::Driver;
use crate::events::CAPACITY;
use crate::identity;
use crate::telemetry::Telemetry;
use crate::watchdog;
use crate::{ElectionConfig, ElectionError, Events, Leadership, Status};

/// An election that has not been started yet.
#[derive(Debug)]
pub struct ElectionBuilder {
    store: Arc<dyn LeaseStore>,
    elector: ElectorConfig,
    config: ElectionConfig,
}

/// One candidate in the election for one key. Dropping it resigns and ends its background task.
///
/// It does not campaign by itself: [`Election::campaign`] or [`Election::lead`] does. Meanwhile it answers who leads.
#[derive(Debug)]
pub struct Election {
    key: LeaseKey,
    holder: HolderId,
    control: Arc<Control>,
    status: watch::Receiver<Status>,
    events: broadcast::Sender<Event>,
    campaigning: Mutex<()>,
}

impl Election {
    /// Prepares an election for `key` in `store`; [`ElectionBuilder::start`] begins it.
    ///
    /// Fails where the key, the holder's name or the durations are not valid, the store does not honour the ttl, or the
    /// thread that enforces deadlines cannot be started.
    #[expect(clippy::new_ret_no_self, reason = "reads as `Election::new(store, key, config)?.start()`")]
    pub fn new(
        store: Arc<dyn LeaseStore>,
        key: impl AsRef<str>,
        config: ElectionConfig,
    ) -> Result<ElectionBuilder, ElectionError> {
        let timing = config.timing.resolve()?;
        watchdog::start()?;
        let info = store.info();
        if timing.ttl() < info.min_ttl || timing.ttl() > info.max_ttl {
            let (scheme, min, max) = (info.scheme, info.min_ttl, info.max_ttl);
            return Err(ElectionError::StoreTtl { scheme, min, max, ttl: timing.ttl() });
        }
        let holder = match &config.holder {
            Some(holder) => holder.clone(),
            None => identity::default_holder()?,
        };
        let elector = ElectorConfig {
            key: LeaseKey::new(key)?,
            holder,
            process: config.process.unwrap_or_else(identity::random),
            timing,
            hold: config.hold_for,
            note: config.note.clone(),
            leave_lease: config.leave_lease,
            seed: identity::random(),
        };
        Ok(ElectionBuilder { store, elector, config })
    }

    /// What is contended for.
    pub fn key(&self) -> &LeaseKey {
        &self.key
    }

    /// This candidate's name.
    pub fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// Waits for leadership. Cancel-safe: a dropped call gives the campaign up, and a lease that was granted too late
    /// for it is released.
    ///
    /// A second call waits for the first, and a call while this candidate leads waits for the end of that tenure. Fails
    /// with [`ElectionError::Stopped`] when the election was stopped, or [`Election::resign`] was called meanwhile.
    pub async fn campaign(&self) -> Result<Leadership, ElectionError> {
        let _turn = self.campaigning.lock().await;
        let (reply, leadership) = oneshot::channel();
        let mut give_up = GiveUp { control: &self.control, armed: true };
        self.control.wish(|wishes| {
            wishes.campaign = Some(reply);
            wishes.give_up = false;
        });
        let leadership = leadership.await.map_err(|_| ElectionError::Stopped);
        give_up.armed = false;
        leadership
    }

    /// Campaigns, then runs `work` while leading, and releases after it has ended.
    ///
    /// The tenure lasts until the work's future is gone, whether it has captured the [`Leadership`] or not: returned,
    /// dropped together with this call, or unwound by a panic. A leadership that outlives the future (in a task that it has
    /// spawned) keeps the lease further; [`Leadership::resign`] alone ends it before, as it says that the work has ended.
    ///
    /// Work that has to stop sees it at [`Leadership::lost`]; what still runs when the right to act ends is dropped, and
    /// the answer is [`ElectionError::Lost`]. Dropping cannot end code that does not yield, nor tasks and threads that the
    /// work has started: see [`crate::OnOverrun`].
    pub async fn lead<F, T>(&self, work: impl FnOnce(Leadership) -> F) -> Result<T, ElectionError>
    where
        F: Future<Output = T>,
    {
        let leadership = self.campaign().await?;
        // Before the work, so that it is dropped after it.
        let hold = leadership.hold();
        let mut work = pin!(work(leadership));
        tokio::select! {
            biased;
            () = hold.tenure.killed() => {
                Err(ElectionError::Lost(hold.tenure.reason().unwrap_or(tenure_core::LossReason::Expired)))
            }
            output = &mut work => Ok(output),
        }
    }

    /// Gives up: a campaign ends, a leader is told to stop, drains and releases. Candidates may campaign again.
    pub fn resign(&self) {
        self.control.wish(|wishes| {
            // Wishes are kept in their order: a campaign that is asked for later goes on, an earlier one has ended.
            wishes.campaign = None;
            wishes.resign = true;
        });
    }

    /// Opens or closes the health gate: while closed this candidate does not campaign, and a leader hands over.
    pub fn set_healthy(&self, healthy: bool) {
        self.control.wish(|wishes| wishes.health = Some(healthy));
    }

    /// Replaces the note; written with the next claim, renewal or release.
    pub fn set_note(&self, note: Note) {
        self.control.wish(|wishes| wishes.note = Some(note));
    }

    /// Says that a sink has admitted `seen`: later claims ask for a higher term.
    pub fn seen(&self, seen: Term) {
        self.control.wish(|wishes| wishes.fenced = wishes.fenced.max(Some(seen)));
    }

    /// The events from now on.
    pub fn events(&self) -> Events {
        Events::new(self.events.subscribe())
    }

    /// Where this election stands: the latest only; what changed in between is not repeated.
    pub fn observe(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Where this election stands now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Resigns, waits until the lease is released (or has ended anyway), and ends the election. A claim that is under
    /// way is waited for, within the timing's request timeouts, so that it leaves no lease behind.
    ///
    /// The release comes after the work: while a [`Leadership`] of this election is alive, this waits.
    pub async fn stop(self) {
        let mut status = self.status.clone();
        drop(self);
        // The sender is dropped when the driver has ended.
        while status.changed().await.is_ok() {}
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.control.wish(|wishes| wishes.stop = true);
    }
}

impl ElectionBuilder {
    /// Begins the election on the current tokio runtime.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(self) -> Election {
        let ElectionBuilder { store, elector, config } = self;
        let (key, holder) = (elector.key.clone(), elector.holder.clone());
        let control = Arc::new(Control::default());
        let (events, _) = broadcast::channel(CAPACITY);
        let telemetry = Telemetry::new(&key, &holder, config.silent);
        let timing = elector.timing;
        let (status_sender, status) = watch::channel(Status {
            key: key.clone(),
            holder: holder.clone(),
            standing: tenure_core::Standing::Idle,
            leader: None,
            term: None,
            healthy: true,
            tenures: 0,
            transitions: 0,
            led_since: None,
            led_before: std::time::Duration::ZERO,
            current: false,
        });
        let driver = Driver::new(
            Elector::new(elector),
            timing,
            store,
            Arc::clone(&control),
            status_sender,
            events.clone(),
            telemetry,
            config.on_overrun,
        );
        tokio::spawn(driver.run());
        Election { key, holder, control, status, events, campaigning: Mutex::new(()) }
    }
}

/// Gives a campaign up when its waiter goes away.
struct GiveUp<'a> {
    control: &'a Control,
    armed: bool,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.control.wish(|wishes| {
                wishes.campaign = None;
                wishes.give_up = true;
            });
        }
    }
}
