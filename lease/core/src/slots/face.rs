//! The face of the slots: what they are made from, and what comes out. What goes in is the elector's [`Input`].

use core::time::Duration;

use super::keys::SlotKeys;
use crate::{ElectorConfig, Event, HolderId, Note, Order, Request, RequestId, Timing};
#[cfg(doc)]
use crate::{Input, Nonce, Slots};

/// What [`Slots`] are made from; see [`ElectorConfig`], whose members these are.
#[derive(Clone, Debug)]
pub struct SlotsConfig {
    /// The keys, any one of which is enough.
    pub keys: SlotKeys,
    /// This candidate's name.
    pub holder: HolderId,
    /// Random, once per process start: [`Nonce::process`] of every claim.
    pub process: u64,
    /// The durations.
    pub timing: Timing,
    /// [`ElectorConfig::hold`] of every key.
    pub hold: Duration,
    /// Written with the lease until replaced by [`Input::Note`].
    pub note: Note,
    /// [`ElectorConfig::leave_lease`] of every key.
    pub leave_lease: bool,
    /// [`ElectorConfig::hints`] of every key.
    pub hints: bool,
    /// Seeds the jitter, and where the search for a free slot begins: candidates with different seeds meet less often.
    pub seed: u64,
}

/// What [`Slots`] want done: the elector's [`crate::Output`], with the slot that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotsOutput {
    /// Send this to the store and hand back the answer under the same id, as with [`crate::Output::Send`]. Ids are unique
    /// over all slots. One claim or list is waited for at a time; renewals and what is given back may be under way besides.
    Send(RequestId, Request),
    /// Start, keep or stop the work under the lease of this slot. No other slot has work meanwhile.
    Work(usize, Order),
    /// Tell whoever listens; of this slot, or of all of them together.
    Event(Option<usize>, Event),
}

impl SlotsConfig {
    /// The elector of this slot.
    pub(super) fn elector(&self, slot: usize) -> ElectorConfig {
        let alone = self.keys.all().len() == 1;
        ElectorConfig {
            key: self.keys.all()[slot].clone(),
            holder: self.holder.clone(),
            process: self.process,
            // Several slots are claimed one after the other: the delay comes once, before the first.
            timing: if alone { self.timing } else { self.timing.without_claim_delay() },
            hold: self.hold,
            note: self.note.clone(),
            leave_lease: self.leave_lease,
            hints: self.hints,
            seed: self.seed.wrapping_add(slot as u64),
        }
    }
}
