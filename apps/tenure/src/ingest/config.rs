//! Turns settings into a checked configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tenure::{HolderId, LeaseKey, TimingOptions};
use tenure_base_net::tls::ClientTls;
use tenure_base_net::{durations, sizes};
use tenure_bus::Subjects;
use tenure_ingest::{IngestConfig, Ready, RingLimits, Standby};
use tenure_twitch::{Credentials, IrcUrl, ReaderConfig};

use super::settings::Settings;
use crate::{exit::Exit, identity, logs, places};

/// The configuration of the daemon's process.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) settings: Settings,
    pub(crate) store: String,
    pub(crate) bus: String,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) ingest: IngestConfig,
    pub(crate) log_format: logs::Format,
}

impl Config {
    /// Reads the settings; every error names the setting, its value and its source.
    pub(crate) fn new(mut settings: Settings, process: Option<u64>, instance: Option<String>) -> Result<Config> {
        settings.fill("store", places::default_store)?;
        settings.fill("bus", places::default_bus)?;
        settings.fill("instance", || Ok(instance.unwrap_or_else(identity::instance)))?;
        let channels = settings.read("channels", channels)?;
        let development = settings.read("dev", boolean)?;
        let mut timing = TimingOptions::with_ttl(settings.read("ttl", durations::parse)?);
        timing.renew_interval = settings.read_some("renew_interval", durations::parse)?;
        timing.margin = settings.read_some("margin", durations::parse)?;
        timing.stop_timeout = settings.read_some("stop_timeout", durations::parse)?;
        timing.retry_interval = settings.read_some("retry_interval", durations::parse)?;
        timing.grace_period = settings.read_some("grace_period", durations::parse)?;
        timing.claim_delay = settings.read_some("claim_delay", durations::parse)?;
        timing
            .resolve()
            .map_err(|error| crate::timing::told(error, ["ttl", "renew-interval", "stop-timeout", "margin"]))?;
        let url: IrcUrl = settings.read("irc_url", |text| text.parse().map_err(|why| format!("{why}")))?;
        let mut reader = ReaderConfig { url, channels, seed: identity::random(), ..ReaderConfig::default() };
        reader.ca_file = settings.read_some("irc_ca", |text| Ok(PathBuf::from(text)))?;
        reader.credentials = Credentials::Anonymous;
        reader.join_budget = settings.read("join_budget", budget)?;
        reader.auth_budget = settings.read("auth_budget", budget)?;
        reader.backoff_initial = settings.read("irc_reconnect_initial_ms", durations::parse_millis)?;
        reader.backoff_max = settings.read("irc_reconnect_max_ms", durations::parse_millis)?;
        if reader.backoff_initial.is_zero() || reader.backoff_initial > reader.backoff_max {
            return Err(Exit::usage(anyhow::anyhow!(
                "irc-reconnect-initial-ms must lie between 1 and irc-reconnect-max-ms"
            )));
        }
        reader.channels_per_connection = settings.read("channels_per_connection", |text| match number(text)? {
            per @ 1..=100 => Ok(usize::try_from(per).unwrap_or(90)),
            other => Err(format!("{other} is not within 1 to 100")),
        })?;
        let ingest = IngestConfig {
            lease: settings.read("lease", |text| LeaseKey::new(text).map_err(|why| why.to_string()))?,
            instance: settings.read("instance", |text| HolderId::new(text).map_err(|why| why.to_string()))?,
            timing,
            process,
            standby: settings.read("standby", |text| match text {
                "warm" => Ok(Standby::Warm),
                "cold" => Ok(Standby::Cold),
                other => Err(format!("{other:?} is neither \"warm\" nor \"cold\"")),
            })?,
            ready: settings.read("ready", |text| match text {
                "all" => Ok(Ready::All),
                "possible" => Ok(Ready::Possible),
                other => Err(format!("{other:?} is neither \"all\" nor \"possible\"")),
            })?,
            development,
            reader,
            subjects: Subjects::new(settings.get("bus_prefix")),
            repair_after: settings.read("repair_after", durations::parse)?,
            ring: RingLimits {
                bytes: settings.read("ring_bytes", ring_bytes)?,
                age: settings.read("ring_age", durations::parse)?,
            },
            max_retries: u32::try_from(settings.read("publish_max_retries", number)?).unwrap_or(u32::MAX),
            drain_timeout: settings.read("drain_timeout", durations::parse)?,
        };
        let http = settings.read_some("http", crate::http::parse_address)?;
        let store = crate::command_store::with_login(settings.get("store").to_owned());
        let bus = settings.get("bus").to_owned();
        settings.read("log", logs::check_filter)?;
        let log_format = settings.read("log_format", str::parse)?;
        Ok(Config { store, bus, http, ingest, log_format, settings })
    }

    /// Checks what depends on this binary and on this machine.
    pub(crate) fn check(&self) -> Result<()> {
        self.settings.blame("store", crate::store::check(&self.store))?;
        self.settings.blame("bus", crate::bus::check(&self.bus))?;
        self.settings.read_some("irc_ca", |path| {
            let tls = ClientTls { ca_file: Some(PathBuf::from(path)), identity: None };
            tls.config().map(drop).map_err(|error| error.to_string())
        })?;
        Ok(())
    }
}

/// Channel logins, separated by commas; `#` and case do not matter.
fn channels(text: &str) -> Result<Vec<String>, String> {
    let mut channels = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let login = name.trim_start_matches('#').to_ascii_lowercase();
        let valid = (1..=50).contains(&login.len()) && login.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !valid {
            return Err(format!("{name:?} is not a channel: a login has 1 to 50 letters, digits or underscores"));
        }
        if !channels.contains(&login) {
            channels.push(login);
        }
    }
    if channels.is_empty() {
        return Err("no channel is given: use --channel NAME, TWITCH_CHANNELS or channel = [..] in the file".into());
    }
    Ok(channels)
}

fn number(text: &str) -> Result<u64, String> {
    text.replace('_', "").parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// A ring must hold at least a few of the longest lines.
fn ring_bytes(text: &str) -> Result<usize, String> {
    let bytes = sizes::parse(text).ok_or_else(|| format!("{text:?} is not a size: {}", sizes::HINT))?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    if bytes < MIN_RING_BYTES { Err(format!("{bytes} bytes are too little: at least 256KiB")) } else { Ok(bytes) }
}

/// The smallest ring: four lines of 16 KiB, as envelopes.
const MIN_RING_BYTES: usize = 256 * 1024;

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" | "" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A budget: `COUNT/DURATION`.
fn budget(text: &str) -> Result<(u32, Duration), String> {
    let wrong = || format!("{text:?} is not a budget: write COUNT/DURATION, as 20/10s");
    let (count, window) = text.split_once('/').ok_or_else(wrong)?;
    let count = count.parse().ok().filter(|count| *count > 0).ok_or_else(wrong)?;
    let window = durations::parse(window).ok().filter(|window| !window.is_zero()).ok_or_else(wrong)?;
    Ok((count, window))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channel names are cleaned, checked and counted once.
    #[test]
    fn channels_are_cleaned_and_checked() {
        assert_eq!(channels("#One, two,one,").unwrap(), ["one", "two"]);
        assert!(channels(" , ").unwrap_err().contains("--channel"));
        assert!(channels("a b").is_err());
    }

    /// A ring's size has a unit, or is of bytes.
    #[test]
    fn a_ring_has_a_size() {
        assert_eq!((ring_bytes("64MB"), ring_bytes("300000")), (Ok(64_000_000), Ok(300_000)));
        assert!(ring_bytes("64X").unwrap_err().contains("a bare number is of bytes"));
        assert!(ring_bytes("1KB").unwrap_err().contains("at least 256KiB"));
    }

    /// Budgets are counts over durations.
    #[test]
    fn budgets_are_counts_over_durations() {
        assert_eq!(budget("20/10s").unwrap(), (20, Duration::from_secs(10)));
        assert!(budget("20").is_err() && budget("0/10s").is_err() && budget("5/0s").is_err());
    }
}
