//! The settings of an election, and its beginning.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Elector, ElectorConfig, HolderId, LeaseKey, Note, Timing, TimingOptions};
use tenure_store::LeaseStore;

use crate::clock::Clock;
use crate::driver::Driver;
use crate::election::Election;
use crate::error::ElectionError;
use crate::identity;
use crate::overrun::OnOverrun;
use crate::telemetry::Telemetry;
use crate::watchdog::{self, Watch};

/// An election that has not begun. Every setting has a default; nothing is checked, and nothing happens, before
/// [`ElectionBuilder::start`].
#[derive(Clone, Debug)]
#[must_use = "an election begins with `start`"]
pub struct ElectionBuilder {
    store: Arc<dyn LeaseStore>,
    key: String,
    holder: Option<String>,
    timing: TimingOptions,
    note: String,
    hold_for: Duration,
    leave_lease: bool,
    on_overrun: OnOverrun,
    process: Option<u64>,
    silent: bool,
}

impl Election {
    /// Prepares an election for `key` in `store`, with every setting at its default; [`ElectionBuilder::start`] begins it.
    ///
    /// A key is 1 to 512 bytes of UTF-8 without control characters.
    pub fn builder(store: Arc<dyn LeaseStore>, key: impl AsRef<str>) -> ElectionBuilder {
        ElectionBuilder::new(store, key.as_ref())
    }
}

impl ElectionBuilder {
    fn new(store: Arc<dyn LeaseStore>, key: &str) -> ElectionBuilder {
        ElectionBuilder {
            store,
            key: key.to_owned(),
            holder: None,
            timing: TimingOptions::default(),
            note: String::new(),
            hold_for: Duration::ZERO,
            leave_lease: false,
            on_overrun: OnOverrun::default(),
            process: None,
            silent: false,
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

    /// Checks the settings and begins the election on the current tokio runtime. It does not campaign by itself.
    ///
    /// # Errors
    /// [`ElectionError::Name`] where the key, the holder's name or the note is not valid, [`ElectionError::Timing`] where
    /// the durations conflict, [`ElectionError::StoreTtl`] where the store does not honour the ttl,
    /// [`ElectionError::Thread`] where the thread that enforces deadlines cannot be started, [`ElectionError::Runtime`]
    /// outside of a tokio runtime.
    pub fn start(self) -> Result<Election, ElectionError> {
        let timing = self.timing.resolve()?;
        self.check_store(&timing)?;
        let key = LeaseKey::new(&self.key)?;
        let holder = match &self.holder {
            Some(holder) => HolderId::new(holder)?,
            None => identity::default_holder()?,
        };
        let elector = Elector::new(ElectorConfig {
            key: key.clone(),
            holder: holder.clone(),
            process: self.process.unwrap_or_else(identity::random),
            timing,
            hold: self.hold_for,
            note: Note::new(&self.note)?,
            leave_lease: self.leave_lease,
            seed: identity::random(),
        });
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ElectionError::Runtime)?;
        watchdog::start()?;
        let telemetry = Telemetry::new(&key, &holder, self.silent);
        let watch = Watch { kill_lead: timing.kill_lead(), on_overrun: self.on_overrun };
        let (election, frontend) = Election::with_frontend(key, holder, telemetry, Some(watch), Clock::Boottime);
        runtime.spawn(Driver::new(elector, timing, self.store, frontend).run());
        Ok(election)
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
