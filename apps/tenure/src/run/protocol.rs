//! What `tenure run` and its watchdog tell each other.
//!
//! Nothing of it (the store's URL above all) ever stands in an argument or the environment.

use std::ffi::OsString;
use std::ops::Range;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tenure_core::{LeaseKey, Time};
use tenure_supervise::{OpenStore, OwedLease, StopPlan};

use super::config::slot_keys;

/// The service that the logs of both name.
pub(super) const SERVICE: &str = "tenure-run";

/// What `tenure run` tells the watchdog.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum ToWatchdog {
    /// The first message: what a release would need if `tenure run` died.
    Configure(RunInfo),
    /// Start the command: this instance leads.
    Start(Box<StartCommand>),
    /// A renewal was answered: the tenure lasts until then.
    Extend {
        #[serde(with = "boottime_nanos")]
        deadline: Time,
    },
    /// Pass this signal on to the command.
    Signal { signal: i32 },
    /// Stop the command's process group, as Ctrl-Z would.
    Suspend,
    /// Continue it, unless its time is over.
    Resume,
    /// End the work: this signal now, SIGKILL after the stop timeout.
    Stop { signal: i32 },
    /// Kill everything now: the right to act has ended.
    Kill,
    /// Answer with [`FromWatchdog::Pong`].
    Ping,
    /// [`FromWatchdog::Ended`] has arrived: `tenure run` settles the lease.
    EndReceived,
    /// The lease is released, or left to last as long as it should: nothing is left to do for that tenure.
    Settled,
    /// Nothing is held and nothing is claimed: exit.
    Quit,
    /// `tenure run` gives up and exits, and the store has not said whether it granted a claim: look for so long, and release it.
    FindClaims { patience: Duration },
}

/// What the watchdog tells `tenure run`.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum FromWatchdog {
    /// The command's process was started, with the folders of its status file and of its control group.
    Started { pid: i32, status_folder: PathBuf, control_group: Option<PathBuf> },
    /// The answer to [`ToWatchdog::Ping`].
    Pong,
    /// The command's process could not be started.
    NotStarted { error: String },
    /// The command was stopped by this signal.
    Suspended { signal: i32 },
    /// The watchdog ends the work by itself: the deadline is near.
    Stopping,
    /// The command exited with this status, and nothing that it started is left.
    Ended { status: i32 },
}

/// What the watchdog needs to settle the lease of a dead `tenure run`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct RunInfo {
    /// The store's URL, with its secrets.
    pub(super) store: String,
    /// What is campaigned for: this key, or that many slots of it.
    pub(super) lease: String,
    pub(super) slots: Option<u32>,
    /// The process half of every nonce.
    pub(super) process: u64,
    pub(super) ttl: Duration,
    /// The process group of `tenure run`, which gets the terminal back; 0 where it has none in this PID namespace.
    pub(super) group: i32,
    /// Whether what users are told is written as JSON.
    pub(super) json: bool,
}

/// A tenure, and the command to run in it.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct StartCommand {
    pub(super) key: String,
    pub(super) nonce: String,
    pub(super) term: u64,
    pub(super) holder: String,
    pub(super) note: String,
    #[serde(with = "boottime_nanos")]
    pub(super) deadline: Time,
    pub(super) plan: StopPlan,
    /// Until when the lease is to last, whatever becomes of the command.
    #[serde(with = "boottime_nanos")]
    pub(super) keep_until: Time,
    pub(super) command: Vec<OsString>,
    /// What the shell runs beside it at the beginning.
    pub(super) on_elected: Option<String>,
    /// Whether the terminal is to be the command's at once.
    pub(super) foreground: bool,
    /// Whether the command speaks to the service manager that started `tenure run`.
    pub(super) notifies: bool,
    /// The descriptors that are the command's alone once it has them.
    pub(super) close: Range<RawFd>,
}

impl RunInfo {
    /// Opens the store.
    pub(super) fn open_store(&self) -> OpenStore {
        let url = self.store.clone();
        std::sync::Arc::new(move || {
            let url = url.clone();
            async move { crate::store::open(&url).await.ok() }.boxed()
        })
    }

    /// The leases that `tenure run` may have been granted and never told the watchdog of, for a store that is waited for so long.
    pub(super) fn claims(&self, patience: Duration) -> OwedLease {
        let keys = LeaseKey::new(&self.lease).and_then(|lease| slot_keys(lease, self.slots));
        // What is no key was not campaigned for.
        let keys = keys.map(|keys| keys.all().to_vec()).unwrap_or_default();
        OwedLease::Claims { keys, process: self.process, ttl: self.ttl, patience }
    }
}

/// A moment on the boottime clock, which is the same for every process of a machine.
mod boottime_nanos {
    use serde::{Deserialize, Deserializer, Serializer};
    use tenure_core::Time;

    pub(super) fn serialize<S: Serializer>(at: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(at.as_nanos())
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Time, D::Error> {
        u64::deserialize(deserializer).map(Time::from_nanos)
    }
}

/// A tenure of one second for tests.
#[cfg(test)]
pub(super) fn start_command(deadline: Time) -> StartCommand {
    StartCommand {
        key: "k".into(),
        nonce: "0".repeat(32),
        term: 7,
        holder: "h\"\n".into(),
        note: String::new(),
        deadline,
        plan: StopPlan {
            signal: 15,
            timeout: Duration::from_secs(1),
            kill_lead: Duration::from_millis(250),
            slack: Duration::ZERO,
            renew_interval: Duration::from_secs(1),
        },
        keep_until: Time::ZERO,
        command: vec!["true".into()],
        on_elected: None,
        foreground: false,
        notifies: true,
        close: 3..3,
    }
}
