//! The settings of an election or a semaphore, and its beginning.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{HolderId, LeaseKey, NameError, Note, SlotKeys, Slots, SlotsConfig, Timing, TimingOptions};
use tenure_store::LeaseStore;

use crate::clock::Clock;
use crate::driver::Driver;
use crate::election::Election;
use crate::error::ElectionError;
use crate::frontend::Frontend;
use crate::identity;
use crate::overrun::OnOverrun;
use crate::semaphore::Semaphore;
use crate::watchdog::{self, Watch};

/// An [`Election`] that has not begun.
pub type ElectionBuilder = Builder<Election>;

/// A [`Semaphore`] that has not begun.
pub type SemaphoreBuilder = Builder<Semaphore>;

/// An election or a semaphore that has not begun. Every setting has a default; nothing is checked, and nothing happens,
/// before `start`.
#[derive(Debug)]
#[must_use = "it begins with `start`"]
pub struct Builder<Face> {
    store: Arc<dyn LeaseStore>,
    key: String,
    /// How many slots; `None` for an election.
    slots: Option<u32>,
    holder: Option<String>,
    timing: TimingOptions,
    note: String,
    hold_for: Duration,
    leave_lease: bool,
    on_overrun: OnOverrun,
    process: Option<u64>,
    silent: bool,
    face: PhantomData<fn() -> Face>,
}

impl Election {
    /// Prepares an election for `key` in `store`, with every setting at its default; [`ElectionBuilder::start`] begins it.
    ///
    /// A key is 1 to 512 bytes of UTF-8 without control characters.
    pub fn builder(store: Arc<dyn LeaseStore>, key: impl AsRef<str>) -> ElectionBuilder {
        Builder::new(store, key.as_ref(), None)
    }
}

impl Semaphore {
    /// Prepares a semaphore of `count` slots, 1 to 10,000, in `store`, with every setting at its default;
    /// [`SemaphoreBuilder::start`] begins it.
    ///
    /// The slots are the keys `NAME/0` to `NAME/COUNT-1`. All candidates must be given the same count.
    pub fn builder(store: Arc<dyn LeaseStore>, name: impl AsRef<str>, count: u32) -> SemaphoreBuilder {
        Builder::new(store, name.as_ref(), Some(count))
    }
}

impl<Face> Builder<Face> {
    fn new(store: Arc<dyn LeaseStore>, key: &str, slots: Option<u32>) -> Builder<Face> {
        Builder {
            store,
            key: key.to_owned(),
            slots,
            holder: None,
            timing: TimingOptions::default(),
            note: String::new(),
            hold_for: Duration::ZERO,
            leave_lease: false,
            on_overrun: OnOverrun::default(),
            process: None,
            silent: false,
            face: PhantomData,
        }
    }

    /// This candidate's name, for people to read: at most 256 bytes without control characters. By default host name,
    /// process id and a random suffix.
    pub fn holder(mut self, holder: impl AsRef<str>) -> Self {
        self.holder = Some(holder.as_ref().to_owned());
        self
    }

    // ---- durations -----------------------------------------------------------------------------------------------

    /// How long a lease lasts without renewal, 1 s to 24 h: how long everybody waits after a holder was lost without a
    /// trace. Default 15 s. What is not given below derives from it.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.timing.ttl = Some(ttl);
        self
    }

    /// How often the holder renews. Default ttl / 3.
    pub fn renew_interval(mut self, interval: Duration) -> Self {
        self.timing.renew_interval = Some(interval);
        self
    }

    /// How much earlier than the store the holder considers its lease over: it absorbs clock rates that differ by up to
    /// margin / ttl. Default ttl x 2/15, within 200 ms to 2 s.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.timing.margin = Some(margin);
        self
    }

    /// How long work gets to stop by itself. Default ttl / 3, at most 10 s.
    pub fn stop_timeout(mut self, timeout: Duration) -> Self {
        self.timing.stop_timeout = Some(timeout);
        self
    }

    /// How long to wait between attempts. Default ttl / 6, at most 2 s.
    pub fn retry_interval(mut self, interval: Duration) -> Self {
        self.timing.retry_interval = Some(interval);
        self
    }

    /// Shortens the holder's own deadline to renew interval + `period` where that is earlier; longer than the stop timeout.
    pub fn grace_period(mut self, period: Duration) -> Self {
        self.timing.grace_period = Some(period);
        self
    }

    /// Delays this candidate's claims by at most the ttl, so that others win. It never pre-empts.
    pub fn claim_delay(mut self, delay: Duration) -> Self {
        self.timing.claim_delay = Some(delay);
        self
    }

    /// All durations at once, in place of those given so far.
    pub fn timing(mut self, timing: TimingOptions) -> Self {
        self.timing = timing;
        self
    }

    // ---- the lease -----------------------------------------------------------------------------------------------

    /// The note to begin with: at most 16 KiB, written with the lease for others to read. Default none.
    pub fn note(mut self, note: impl AsRef<str>) -> Self {
        self.note = note.as_ref().to_owned();
        self
    }

    /// For how long a tenure of this key may be promised to its holder, where something keeps its lease beyond the ttl; all
    /// candidates of a key say the same. A store that comes back and may have forgotten a tenure waits for that long, not
    /// for the ttl alone, before it grants the key. Default none.
    pub fn hold_for(mut self, span: Duration) -> Self {
        self.hold_for = span;
        self
    }

    /// Whether a lease is left to run out once its work has ended, however it ended, rather than released. Nobody leads
    /// before that, this candidate neither: what the work had still under way elsewhere gets up to a ttl to arrive. A note
    /// that was set after the last renewal is not written. By default leases are released, always after the work.
    pub fn leave_lease(mut self, leave: bool) -> Self {
        self.leave_lease = leave;
        self
    }

    // ---- the process ---------------------------------------------------------------------------------------------

    /// What to do with work that outlives its deadline. Default [`OnOverrun::Report`].
    pub fn on_overrun(mut self, on_overrun: OnOverrun) -> Self {
        self.on_overrun = on_overrun;
        self
    }

    /// The first half of every nonce; by default random, drawn for each election. A supervisor that releases for a dead
    /// process hands it the number to use, so that it can recognise what the dead one held; elections that share a
    /// number must be for different keys.
    pub fn process(mut self, process: u64) -> Self {
        self.process = Some(process);
        self
    }

    /// No logs above debug and no metrics: for leases that announce something rather than elect a leader.
    pub fn silent(mut self, silent: bool) -> Self {
        self.silent = silent;
        self
    }

    // ---- the beginning -------------------------------------------------------------------------------------------

    fn begin(self) -> Result<Election, ElectionError> {
        let timing = self.timing.resolve()?;
        self.check_store(&timing)?;
        let keys = self.keys()?;
        let holder = match &self.holder {
            Some(holder) => HolderId::new(holder)?,
            None => identity::default_holder()?,
        };
        let slots = Slots::new(SlotsConfig {
            keys: keys.clone(),
            holder: holder.clone(),
            process: self.process.unwrap_or_else(identity::random),
            timing,
            hold: self.hold_for,
            note: Note::new(&self.note)?,
            leave_lease: self.leave_lease,
            hints: self.store.info().watch,
            seed: identity::random(),
        });
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ElectionError::Runtime)?;
        watchdog::start()?;
        let watch = Watch { kill_lead: timing.kill_lead(), on_overrun: self.on_overrun };
        let frontend = Frontend::new(keys, holder, self.silent, Clock::Boottime, Some(watch));
        let election = Election::served_by(&frontend);
        runtime.spawn(Driver::new(slots, timing, self.store, frontend).run());
        Ok(election)
    }

    fn keys(&self) -> Result<SlotKeys, NameError> {
        let key = LeaseKey::new(&self.key)?;
        match self.slots {
            Some(count) => SlotKeys::numbered(key, count),
            None => Ok(SlotKeys::one(key)),
        }
    }

    fn check_store(&self, timing: &Timing) -> Result<(), ElectionError> {
        let info = self.store.info();
        if timing.ttl() < info.min_ttl || timing.ttl() > info.max_ttl {
            let (scheme, min, max) = (info.scheme, info.min_ttl, info.max_ttl);
            return Err(ElectionError::StoreTtl { scheme, min, max, ttl: timing.ttl() });
        }
        Ok(())
    }
}

impl Builder<Election> {
    /// Checks the settings and begins the election on the current tokio runtime. It does not campaign by itself.
    ///
    /// # Errors
    /// [`ElectionError::Name`] where the key, the holder's name or the note is not valid, [`ElectionError::Timing`] where
    /// the durations conflict, [`ElectionError::StoreTtl`] where the store does not honour the ttl,
    /// [`ElectionError::Thread`] where the thread that enforces deadlines cannot be started, [`ElectionError::Runtime`]
    /// outside of a tokio runtime.
    pub fn start(self) -> Result<Election, ElectionError> {
        self.begin()
    }
}

impl Builder<Semaphore> {
    /// Checks the settings and begins the semaphore on the current tokio runtime. It does not campaign by itself.
    ///
    /// # Errors
    /// As [`ElectionBuilder::start`]; [`ElectionError::Name`] also for no slot at all or too many.
    pub fn start(self) -> Result<Semaphore, ElectionError> {
        Ok(Semaphore::new(self.begin()?))
    }
}
