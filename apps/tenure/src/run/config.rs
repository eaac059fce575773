//! The settings of `tenure run`, checked once.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::Signal;
use tenure::{Builder, Election, ElectionError, HolderId, LeaseStore, Note, Semaphore, Timing, TimingOptions};
use tenure_core::{LeaseKey, NameError, SlotKeys};
use tenure_supervise::StopPlan;

use super::args::{Args, Restart, Sdnotify};
use super::health_check::HealthCheck;
use crate::exit::Exit;
use crate::{advertise, host_settings, timing as timing_rules};

/// The pause between two health checks, and how long one may take.
const HEALTH: Duration = Duration::from_secs(5);

/// How long a renewal has at least to be answered before the command is stopped. Electors wait so long for any answer: with less
/// the command would be stopped before any renewal could have failed.
const LEAST_ANSWER: Duration = Duration::from_millis(50);

/// What was asked for.
#[derive(Debug)]
pub(super) struct Config {
    /// The keys, any one of which is enough.
    pub(super) keys: SlotKeys,
    /// How many slots there are, where there are slots.
    pub(super) slots: Option<u32>,
    pub(super) store: String,
    pub(super) holder: Option<HolderId>,
    pub(super) note: Note,
    pub(super) options: TimingOptions,
    pub(super) timing: Timing,
    pub(super) wait: Wait,
    /// The exit code where the lease was not acquired.
    pub(super) conflict_exit_code: u8,
    /// Whether waiting is not told of.
    pub(super) quiet: bool,
    /// Whether the run around this one holds the same lease.
    pub(super) is_nested: bool,
    /// Whether what users are told is written as JSON.
    pub(super) json: bool,
    pub(super) hold_for: Duration,
    pub(super) restart: Option<Restart>,
    pub(super) stop_signal: Signal,
    pub(super) command: Vec<OsString>,
    pub(super) http: Option<SocketAddr>,
    /// What this instance advertises; the note says it too.
    pub(super) address: Option<String>,
    pub(super) on_elected: Option<String>,
    pub(super) on_lost: Option<String>,
    pub(super) health: Option<HealthCheck>,
    pub(super) ready_as_standby: bool,
    pub(super) sdnotify: Sdnotify,
    /// Sockets that a service manager handed to this process for the command.
    pub(super) descriptors: Range<RawFd>,
}

/// How long to wait for the lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until it is acquired.
    Forever,
    /// So long.
    AtMost(Duration),
    /// Not at all: one claim for each key.
    No,
}

/// The key itself, or `LEASE/0` to `LEASE/N-1`.
pub(super) fn slot_keys(lease: LeaseKey, slots: Option<u32>) -> Result<SlotKeys, NameError> {
    match slots {
        None => Ok(SlotKeys::one(lease)),
        Some(slots) => SlotKeys::numbered(lease, slots),
    }
}

impl Config {
    /// Checks what was asked for; the descriptors are what a service manager handed to this process.
    pub(super) fn new(args: Args, descriptors: Range<RawFd>) -> Result<Config> {
        let mut options = TimingOptions::default();
        (options.ttl, options.renew_interval) = (host_settings::ttl(args.ttl)?, args.renew);
        (options.margin, options.stop_timeout) = (args.margin, args.stop_timeout);
        let timing = options
            .resolve()
            .map_err(|error| timing_rules::told(error, ["--ttl", "--renew", "--stop-timeout", "--margin"]))?;
        let busy = timing.renew_interval() + timing.stop_timeout() + timing.margin();
        let answer = timing.ttl().saturating_sub(busy);
        if answer < LEAST_ANSWER {
            return Err(Exit::usage(anyhow!(
                "--ttl >= --renew + --stop-timeout + --margin + {LEAST_ANSWER:?} does not hold: a renewal would have only \
                 {answer:?} to be answered before the command is told to end; raise --ttl or lower one of the others"
            )));
        }
        let store = args.store.url()?;
        if tenure_open::is_private(&store) {
            return Err(Exit::usage(anyhow!(
                "a memory: store is this process's own: no other `tenure run` could see the lease; use sqlite:PATH on \
                 one machine, or a server's URL"
            )));
        }
        Ok(Config {
            keys: slot_keys(args.lease, args.slots).context("the keys of the slots").map_err(Exit::usage)?,
            slots: args.slots,
            store,
            holder: args.holder,
            note: advertise::note(args.advertise.as_deref(), args.note.unwrap_or_default())
                .context("--note and --advertise")
                .map_err(Exit::usage)?,
            options,
            timing,
            wait: match (args.wait, args.no_wait) {
                (_, true) => Wait::No,
                (Some(span), _) if span.is_zero() => Wait::No,
                (Some(span), _) => Wait::AtMost(span),
                (None, false) => Wait::Forever,
            },
            conflict_exit_code: args.conflict_exit_code,
            quiet: args.quiet,
            is_nested: false,
            json: false,
            hold_for: args.hold_for.unwrap_or_default(),
            restart: args.restart,
            stop_signal: args.stop_signal,
            command: match args.line {
                Some(line) => vec!["/bin/sh".into(), "-c".into(), line.into()],
                None => args.command,
            },
            http: args.http,
            address: args.advertise,
            on_elected: args.on_elected,
            on_lost: args.on_lost,
            health: args.health_cmd.map(|command| HealthCheck {
                command,
                interval: args.health_interval.unwrap_or(HEALTH),
                timeout: args.health_timeout.unwrap_or(HEALTH),
            }),
            ready_as_standby: args.ready_as_standby,
            sdnotify: args.sdnotify,
            descriptors,
        })
    }

    /// Starts the election for the key, or for any one of the slots.
    pub(super) fn start_election(&self, store: Arc<dyn LeaseStore>, process: u64) -> Result<Election, ElectionError> {
        let lease = self.keys.lease();
        match self.slots {
            None => self.configure(Election::builder(store, lease), process).start(),
            Some(slots) => self.configure(Semaphore::builder(store, lease, slots), process).start().map(Election::from),
        }
    }

    fn configure<Face>(&self, builder: Builder<Face>, process: u64) -> Builder<Face> {
        let builder = builder.timing(self.options).note(&self.note).hold_for(self.hold_for).process(process);
        match &self.holder {
            Some(holder) => builder.holder(holder),
            None => builder,
        }
    }

    /// Whether what was asked for is about several hosts: to be the only one, at a time or within a time, or one of a few.
    pub(super) fn speaks_of_hosts(&self) -> bool {
        self.wait == Wait::No || !self.hold_for.is_zero() || self.slots.is_some()
    }

    /// Whether the store is waited for where it cannot be reached at the start.
    pub(super) fn waits_for_store(&self) -> bool {
        match self.wait {
            Wait::No => false,
            Wait::AtMost(_) => true,
            Wait::Forever => self.restart.is_some(),
        }
    }

    /// How a command is stopped.
    pub(super) fn stop_plan(&self) -> StopPlan {
        StopPlan {
            signal: self.stop_signal.as_raw(),
            timeout: self.timing.stop_timeout(),
            kill_lead: self.kill_lead(),
            slack: self.slack(),
            renew_interval: self.timing.renew_interval(),
        }
    }

    /// How much earlier than usual stopping may begin before a renewal could have failed.
    fn slack(&self) -> Duration {
        let busy = self.timing.renew_interval() + self.timing.stop_timeout() + LEAST_ANSWER;
        self.timing.validity().saturating_sub(busy)
    }

    /// How long before the deadline everything is killed: never so short that a busy machine would be late.
    pub(super) fn kill_lead(&self) -> Duration {
        self.timing.kill_lead().max(Duration::from_millis(50))
    }
}
