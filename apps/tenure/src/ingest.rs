//! `tenure ingest`: the chat daemon, as a small supervisor and a worker.

mod channels;
mod config;
mod http;
mod print_config;
mod service;
pub(crate) mod settings;
pub(crate) mod supervisor;
mod worker;
mod worker_environment;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};

use config::Config;
use settings::Settings;

use crate::host_settings::HostSettings;

/// Flags of `tenure ingest`. Each can also be given in the environment or in a TOML file (see --check for names).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Precedence: flag, environment, --config, ~/.config/tenure/config.toml, /etc/tenure/config.toml, default; `--check` shows \
each value with its source. Times and sizes have a unit: 15s, 1d, 64MB.

Examples:
  tenure ingest --channel my_channel --bus stdout:
  tenure ingest --print-config --channel my_channel > ingest.toml
  tenure ingest --config ingest.toml --http :8080
  TWITCH_CHANNELS=a,b tenure ingest -s sqlite:leases.db --bus sqlite:chat.db
  tenure ingest --config ingest.toml --check")]
pub(crate) struct Args {
    /// TOML file with settings; its keys are named as the flags are (--print-config writes one)
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// Channel to read, without #; may be repeated [env: TWITCH_CHANNELS, separated by commas]
    #[arg(long = "channel", value_name = "NAME")]
    channels: Vec<String>,
    #[arg(long, short, value_name = "URL", help = crate::store::store_help!())]
    store: Option<String>,
    /// Bus to publish to: sqlite:PATH, nats://HOST:PORT?stream=NAME or stdout: [env: TENURE_BUS, MESSAGE_BUS_DRIVER with
    /// NATS_URL] [default: sqlite: in the state folder]
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// Put before every subject [env: BUS_PREFIX]
    #[arg(long, value_name = "PREFIX")]
    bus_prefix: Option<String>,
    /// Where Twitch is: ircs:// or irc://HOST:PORT, or over WebSocket wss:// or ws:// [env: TENURE_IRC_URL] [default:
    /// Twitch]
    #[arg(long, value_name = "URL")]
    irc_url: Option<String>,
    /// PEM file with the authority that signed your own server's certificate [env: TENURE_IRC_CA]
    #[arg(long, value_name = "FILE")]
    irc_ca: Option<String>,
    /// Lease to contend for [env: TENURE_LEASE] [default: system/ircLeader]
    #[arg(long, short, value_name = "KEY")]
    lease: Option<String>,
    /// How long the lease lasts without renewal [env: TENURE_TTL] [default: 15s]
    #[arg(long, short, value_name = "DURATION")]
    ttl: Option<String>,
    /// Whether standbys read: warm or cold [env: TENURE_STANDBY] [default: warm]
    #[arg(long, value_name = "KIND")]
    standby: Option<String>,
    /// When /readyz says ready: all channels are joined, or all but those that cannot be, as suspended or renamed ones: all
    /// or possible [env: TENURE_READY] [default: all]
    #[arg(long, value_name = "WHICH")]
    ready: Option<String>,
    /// Endpoints for operators: HOST:PORT, or :PORT on loopback; :0 is any free one, which is told [env: TENURE_HTTP]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// This instance's name [env: TENURE_INSTANCE] [default: host and a random suffix]
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
    /// Development mode: no election [env: NODE_ENV=development]
    #[arg(long)]
    dev: bool,
    /// How long a message may be missing on the bus before a standby publishes it [env: TENURE_REPAIR_AFTER] [default:
    /// 5s]
    #[arg(long, value_name = "DURATION")]
    repair_after: Option<String>,
    /// The most bytes an instance holds for the bus [env: TENURE_RING_BYTES] [default: 64MiB]
    #[arg(long, value_name = "SIZE")]
    ring_bytes: Option<String>,
    /// The longest an instance holds a message for the bus [env: TENURE_RING_AGE] [default: 10m]
    #[arg(long, value_name = "DURATION")]
    ring_age: Option<String>,
    /// JOINs per time, COUNT/DURATION, for servers of one's own [env: TENURE_JOIN_BUDGET] [default: 20/10s]
    #[arg(long, value_name = "BUDGET")]
    join_budget: Option<String>,
    /// How long SIGTERM may take to publish what was read [env: TENURE_DRAIN_TIMEOUT] [default: 10s]
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// What is logged: off, error, warn, info, debug, trace, or TARGET=LEVEL [env: TENURE_LOG] [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// How: auto, json or text [env: TENURE_LOG_FORMAT] [default: auto]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Any other setting as KEY=VALUE, with the keys of the file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the effective configuration, without secrets, and exit
    #[arg(long)]
    check: bool,
    /// Print a complete, commented file for --config with what counts here, without secrets, and exit
    #[arg(long, conflicts_with = "check")]
    print_config: bool,
    /// With --check: as JSON
    #[arg(long, requires = "check")]
    json: bool,
}

/// Runs `tenure ingest`.
pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let supervised = std::env::var(worker_environment::SUPERVISED).ok();
    let process = match &supervised {
        Some(text) => Some(u64::from_str_radix(text, 16).context("TENURE_SUPERVISED is not a number")?),
        None => None,
    };
    let host = HostSettings::load()?;
    let mut settings = Settings::merge(args.flags()?, |name| std::env::var(name).ok(), args.config.as_deref(), host)?;
    if args.print_config {
        settings.fill("channels", || Ok(print_config::CHANNEL.to_owned()))?;
        // What could not be used is told rather than printed.
        Config::new(settings.clone(), process, None)?.check()?;
        crate::output::line(print_config::file(&settings).trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    let config = Config::new(settings, process, std::env::var(worker_environment::INSTANCE).ok())?;
    config.check()?;
    if args.check {
        if args.json {
            crate::output::line(config.settings.to_json())?;
        } else {
            crate::output::line(config.settings.to_toml().trim_end())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    crate::logs::start(config.settings.get("log"), config.log_format, "tenure-ingest");
    if supervised.is_some() {
        return worker::run(config, true).map(|()| ExitCode::SUCCESS);
    }
    supervisor::run(config)
}

impl Args {
    fn flags(&self) -> Result<BTreeMap<&'static str, String>> {
        let mut flags = BTreeMap::new();
        if !self.channels.is_empty() {
            flags.insert("channels", self.channels.join(","));
        }
        for (key, value) in [
            ("store", &self.store),
            ("bus", &self.bus),
            ("bus_prefix", &self.bus_prefix),
            ("irc_url", &self.irc_url),
            ("irc_ca", &self.irc_ca),
            ("lease", &self.lease),
            ("ttl", &self.ttl),
            ("standby", &self.standby),
            ("ready", &self.ready),
            ("http", &self.http),
            ("instance", &self.instance),
            ("repair_after", &self.repair_after),
            ("ring_bytes", &self.ring_bytes),
            ("ring_age", &self.ring_age),
            ("join_budget", &self.join_budget),
            ("drain_timeout", &self.drain_timeout),
            ("log", &self.log),
            ("log_format", &self.log_format),
        ] {
            if let Some(value) = value {
                flags.insert(key, value.clone());
            }
        }
        if self.dev {
            flags.insert("dev", "true".to_owned());
        }
        for pair in &self.set {
            let (key, value) = pair
                .split_once('=')
                .with_context(|| format!("--set {pair:?}: write KEY=VALUE"))
                .map_err(crate::exit::Exit::usage)?;
            let known = settings::known(key).map_err(crate::exit::Exit::usage)?;
            flags.insert(known, value.to_owned());
        }
        Ok(flags)
    }
}
