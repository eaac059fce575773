//! An election: the face that programs use.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{HolderId, LeaseKey, NotElected, Note, SlotKeys, Term};
use tokio::sync::{Mutex, broadcast, oneshot, watch};

use crate::attempt::Attempt;
use crate::control::{Control, Wishes};
use crate::error::ElectionError;
use crate::events::{Events, SlotEvent};
use crate::frontend::Frontend;
use crate::hold::Hold;
use crate::leadership::Leadership;
use crate::status::Status;
use crate::waiter::{Obstacle, Outcome, Waiter};

/// One candidate in the election for one key. Dropping it resigns and ends its background task.
///
/// It does not campaign by itself: [`Election::run_until`], [`Election::lead`] and [`Election::campaign`] do. Meanwhile it
/// answers who leads.
#[derive(Debug)]
pub struct Election {
    keys: SlotKeys,
    holder: HolderId,
    control: Arc<Control>,
    status: watch::Receiver<Status>,
    slots: Vec<watch::Receiver<Status>>,
    events: broadcast::WeakSender<SlotEvent>,
    campaigning: Mutex<()>,
}

impl Election {
    /// The election that is served by this front end.
    pub(crate) fn served_by(frontend: &Frontend) -> Election {
        Election {
            keys: frontend.keys().clone(),
            holder: frontend.holder().clone(),
            control: Arc::clone(frontend.control()),
            status: frontend.observe(),
            slots: frontend.observe_slots(),
            events: frontend.events().downgrade(),
            campaigning: Mutex::new(()),
        }
    }

    /// What is contended for; of a [`crate::Semaphore`] its name, without the number of a slot.
    pub fn key(&self) -> &LeaseKey {
        self.keys.lease()
    }

    /// The keys any one of which is enough: the key itself, or one for each slot of a [`crate::Semaphore`].
    pub fn keys(&self) -> &SlotKeys {
        &self.keys
    }

    /// This candidate's name.
    pub fn holder(&self) -> &HolderId {
        &self.holder
    }

    // ---- campaigns -----------------------------------------------------------------------------------------------

    /// Waits for leadership, for as long as it takes, whatever the store does meanwhile.
    ///
    /// Cancel-safe: a dropped call gives the campaign up, and a lease that was granted too late for it is released. A
    /// second call waits for the first, and a call while this candidate leads waits for the end of that tenure.
    ///
    /// # Errors
    /// [`ElectionError::Stopped`] when the election was stopped, or [`Election::resign`] was called meanwhile.
    pub async fn campaign(&self) -> Result<Leadership, ElectionError> {
        match self.wait(false).await? {
            Outcome::Granted(hold) => Ok(self.leadership(hold)),
            // Not told to whoever waits for as long as it takes.
            Outcome::NotElected(..) => Err(ElectionError::Stopped),
        }
    }

    /// Waits for leadership for so long at most; `None` where it did not come in time. Whether others hold the key, or the
    /// store does not answer, is in [`Election::status`].
    ///
    /// # Errors
    /// As [`Election::campaign`].
    pub async fn campaign_within(&self, most: Duration) -> Result<Option<Leadership>, ElectionError> {
        tokio::time::timeout(most, self.campaign()).await.ok().transpose()
    }

    /// Claims the key once, or each slot of a [`crate::Semaphore`], and answers what the store says.
    ///
    /// It takes as long as the store, at most the timing's request timeout for each claim, and before it what must be over
    /// first: a release that is under way, a campaign of this election that somebody else waits for, the claim delay where
    /// there is one. Cancel-safe, as [`Election::campaign`].
    ///
    /// # Errors
    /// [`ElectionError::Store`] where the store failed; a claim that was granted all the same is released.
    /// [`ElectionError::Stopped`] as for [`Election::campaign`].
    pub async fn try_campaign(&self) -> Result<Attempt, ElectionError> {
        match self.wait(true).await? {
            Outcome::Granted(hold) => Ok(Attempt::Leading(self.leadership(hold))),
            Outcome::NotElected(NotElected::Held, Obstacle { holder: Some((by, term, remaining)), .. }) => {
                Ok(Attempt::Held { by, term, remaining })
            }
            Outcome::NotElected(NotElected::MayNotClaim, _) => Ok(Attempt::StoodBack),
            Outcome::NotElected(_, obstacle) => {
                Err(ElectionError::Store(obstacle.failure.unwrap_or_else(|| "the grant came too late".to_owned())))
            }
        }
    }

    async fn wait(&self, once: bool) -> Result<Outcome, ElectionError> {
        let _turn = self.campaigning.lock().await;
        let (reply, outcome) = oneshot::channel();
        let mut give_up = GiveUp { control: &self.control, armed: true };
        self.control.wish(|wishes| {
            wishes.campaign = Some(Waiter { reply, once });
            // A campaign goes on for whoever waits next for as long as it takes; one try begins anew.
            wishes.give_up &= once;
        });
        let outcome = outcome.await.map_err(|_| ElectionError::Stopped);
        give_up.armed = false;
        outcome
    }

    fn leadership(&self, hold: Hold) -> Leadership {
        Leadership::new(hold, Arc::clone(&self.control), self.status.clone())
    }

    // ---- while it lasts ------------------------------------------------------------------------------------------

    /// Gives up: a campaign ends, a leader is told to stop, drains and releases. Candidates may campaign again.
    pub fn resign(&self) {
        self.control.wish_end(|wishes| {
            // Wishes are kept in their order: a campaign that is asked for later goes on, an earlier one has ended.
            wishes.campaign = None;
            wishes.resign = true;
        });
    }

    /// Opens or closes the health gate: while closed this candidate does not campaign, and a leader hands over.
    pub fn set_healthy(&self, healthy: bool) {
        let change = |wishes: &mut Wishes| wishes.health = Some(healthy);
        if healthy { self.control.wish(change) } else { self.control.wish_end(change) }
    }

    /// Replaces the note; written with the next claim, renewal or release.
    pub fn set_note(&self, note: Note) {
        self.control.wish(|wishes| wishes.note = Some(note));
    }

    /// Says that a sink has admitted `seen`: later claims ask for a higher term. Of a [`crate::Semaphore`] a slot that is led goes on,
    /// for terms of two slots say nothing about each other; its own sink's refusal goes to [`crate::Leadership::fenced`].
    pub fn seen(&self, seen: Term) {
        self.control.wish(|wishes| wishes.shown_term(None, seen));
    }

    // ---- what is to be seen --------------------------------------------------------------------------------------

    /// The events from now on, in order. A subscriber that falls behind is told how many it missed.
    pub fn events(&self) -> Events {
        match self.events.upgrade() {
            Some(sender) => Events::new(sender.subscribe()),
            // The election has ended: its sender is gone, and so is this one.
            None => Events::new(broadcast::channel(1).1),
        }
    }

    /// Where this election stands: the latest only; what changed in between is not repeated.
    pub fn observe(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Where this election stands now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Where the candidate for each of [`Election::keys`] stands; what belongs to one key alone, such as who leads there, is
    /// told here for each slot of a [`crate::Semaphore`].
    pub fn observe_slots(&self) -> &[watch::Receiver<Status>] {
        &self.slots
    }

    // ---- the end -------------------------------------------------------------------------------------------------

    /// Resigns, waits until the lease is released (or has ended anyway), and ends the election: campaigns fail from now
    /// on, those that somebody waits for too. A claim that is under way is waited for, within the timing's request
    /// timeouts, so that it leaves no lease behind.
    ///
    /// The release comes after the work: while a [`Leadership`] of this election is alive, this waits. It may be called
    /// any number of times, also at the same time; each call returns once the election has ended. A call that is dropped
    /// does not take the wish back.
    pub async fn stop(&self) {
        self.control.stop();
        let mut status = self.status.clone();
        // The sender is dropped when the driver has ended.
        while status.changed().await.is_ok() {}
    }

    /// How often somebody has asked for an end of the tenure, by [`Election::resign`] and the like.
    pub(crate) fn ends_wished(&self) -> u64 {
        self.control.ends()
    }

    /// Whether the end was asked for, or has come.
    pub(crate) fn is_stopped(&self) -> bool {
        self.control.is_stopped()
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.control.stop();
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
