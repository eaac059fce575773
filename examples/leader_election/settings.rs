//! The settings of the sample: flags, then the environment, then a JSON file, then defaults.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde::Deserialize;
use tenure::TimingOptions;

/// What the sample was told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) store: String,
    pub(crate) lock_key: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) timing: TimingOptions,
    pub(crate) checks: u32,
    pub(crate) check_interval: Duration,
}

/// An election from beginning to end: start it in several terminals, and only one of them leads.
#[derive(Debug, Parser)]
struct Args {
    /// JSON file with the sections Redis and LeaderElection, such as examples/appsettings.json
    #[arg(long)]
    settings: Option<PathBuf>,
    /// Store of the lease, such as sqlite:PATH or redis://HOST:PORT [default: sqlite: in the temporary folder]
    #[arg(long, env = "TENURE_STORE")]
    store: Option<String>,
    /// Redis to use instead: HOST:PORT or a URL
    #[arg(long, env = "Redis__ConnectionString")]
    redis_connection_string: Option<String>,
    #[command(flatten)]
    election: ElectionSettings,
    /// How many times to look at the status in the third demo
    #[arg(long, default_value_t = 5)]
    checks: u32,
    /// How long to wait between two looks
    #[arg(long, default_value_t = 2.0)]
    check_interval_seconds: f64,
}

/// The section LeaderElection, which the flags have too.
#[derive(Clone, Debug, Default, Deserialize, clap::Args)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ElectionSettings {
    /// What to contend for [default: myapp:leader]
    #[arg(long, env = "LeaderElection__LockKey")]
    lock_key: Option<String>,
    /// How long a lease lasts without renewal [default: 15]
    #[arg(long, env = "LeaderElection__LeaseDurationSeconds")]
    lease_duration_seconds: Option<f64>,
    /// How often the leader renews [default: a third of the lease]
    #[arg(long, env = "LeaderElection__RenewIntervalSeconds")]
    renew_interval_seconds: Option<f64>,
    /// How long after a missed renewal the leader stops by itself [default: until shortly before the lease ends]
    #[arg(long, env = "LeaderElection__GracePeriodSeconds")]
    grace_period_seconds: Option<f64>,
    /// This candidate's name [default: host, process id and a random suffix]
    #[arg(long, env = "LeaderElection__InstanceId")]
    instance_id: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    #[serde(default)]
    redis: Redis,
    #[serde(default)]
    leader_election: ElectionSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Redis {
    connection_string: Option<String>,
}

impl Settings {
    pub(crate) fn read() -> Result<Settings> {
        let args = Args::parse();
        let file = match &args.settings {
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                serde_json::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))?
            }
            None => File::default(),
        };
        let redis = |address: String| if address.contains("://") { address } else { format!("redis://{address}") };
        let (given, filed) = (args.election, file.leader_election);
        let mut timing = TimingOptions::default();
        timing.ttl = seconds(given.lease_duration_seconds.or(filed.lease_duration_seconds))?;
        timing.renew_interval = seconds(given.renew_interval_seconds.or(filed.renew_interval_seconds))?;
        timing.grace_period = seconds(given.grace_period_seconds.or(filed.grace_period_seconds))?;
        Ok(Settings {
            store: args
                .store
                .or(args.redis_connection_string.map(redis))
                .or(file.redis.connection_string.map(redis))
                .unwrap_or_else(tenure_examples::default_store),
            lock_key: given.lock_key.or(filed.lock_key).unwrap_or_else(|| "myapp:leader".to_owned()),
            instance_id: given.instance_id.or(filed.instance_id),
            timing,
            checks: args.checks,
            check_interval: Duration::try_from_secs_f64(args.check_interval_seconds)?,
        })
    }
}

fn seconds(given: Option<f64>) -> Result<Option<Duration>> {
    given.map(Duration::try_from_secs_f64).transpose().context("a duration is a number of seconds, such as 30 or 0.5")
}
