//! The table of all settings of `tenure ingest`: key in a file, name in the environment, default.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};

use crate::config_file::{self, Source, Values, as_flag};
use crate::exit::Exit;
use crate::host_settings::HostSettings;

/// One setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Its key in a TOML file; its flag is the same with hyphens, as it may be written there too.
    pub(crate) key: &'static str,
    /// Its name in the environment.
    pub(crate) env: &'static str,
    /// Its default value; empty where it has none.
    pub(crate) default: &'static str,
}

const fn setting(key: &'static str, env: &'static str, default: &'static str) -> Setting {
    Setting { key, env, default }
}

/// All settings. If bots already use an established environment variable for one, it has that name.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("channels", "TWITCH_CHANNELS", ""),
    setting("store", "TENURE_STORE", ""),
    setting("bus", "TENURE_BUS", ""),
    setting("bus_prefix", "BUS_PREFIX", ""),
    setting("lease", "TENURE_LEASE", "system/ircLeader"),
    setting("ttl", "TENURE_TTL", "15s"),
    setting("renew_interval", "TENURE_RENEW_INTERVAL", ""),
    setting("margin", "TENURE_MARGIN", ""),
    setting("stop_timeout", "TENURE_STOP_TIMEOUT", ""),
    setting("retry_interval", "TENURE_RETRY_INTERVAL", ""),
    setting("grace_period", "TENURE_GRACE_PERIOD", ""),
    setting("claim_delay", "TENURE_CLAIM_DELAY", ""),
    setting("instance", "TENURE_INSTANCE", ""),
    setting("standby", "TENURE_STANDBY", "warm"),
    setting("ready", "TENURE_READY", "all"),
    setting("dev", "TENURE_DEV", "false"),
    setting("http", "TENURE_HTTP", ""),
    setting("irc_url", "TENURE_IRC_URL", "ircs://irc.chat.twitch.tv:6697"),
    setting("irc_ca", "TENURE_IRC_CA", ""),
    setting("irc_reconnect_initial_ms", "IRC_RECONNECT_INITIAL_MS", "1000"),
    setting("irc_reconnect_max_ms", "IRC_RECONNECT_MAX_MS", "30000"),
    setting("join_budget", "TENURE_JOIN_BUDGET", "20/10s"),
    setting("auth_budget", "TENURE_AUTH_BUDGET", "20/10s"),
    setting("channels_per_connection", "TENURE_CHANNELS_PER_CONNECTION", "90"),
    setting("publish_max_retries", "PUBLISH_MAX_RETRIES", "5"),
    setting("repair_after", "TENURE_REPAIR_AFTER", "5s"),
    setting("ring_bytes", "TENURE_RING_BYTES", "64MiB"),
    setting("ring_age", "TENURE_RING_AGE", "10m"),
    setting("drain_timeout", "TENURE_DRAIN_TIMEOUT", "10s"),
    setting("log", "TENURE_LOG", "info"),
    setting("log_format", "TENURE_LOG_FORMAT", "auto"),
];

/// The values of all settings, each with its source.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, (String, Source)>,
}

impl Settings {
    /// Merges flags over environment over file over what holds for the host over defaults. Unknown keys in the file are refused,
    /// with the nearest known one.
    pub(crate) fn merge(
        flags: BTreeMap<&'static str, String>,
        env: impl Fn(&str) -> Option<String>,
        file: Option<&str>,
        host: &HostSettings,
    ) -> Result<Settings> {
        let from_file = match file {
            Some(path) => config_file::read(Path::new(path), &keys()).map_err(Exit::usage)?,
            None => Values::new(),
        };
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            let environment = || env(setting.env).filter(|value| !value.is_empty());
            let value = if let Some(value) = flags.get(setting.key) {
                (value.clone(), Source::Flag)
            } else if let Some(value) = environment() {
                (value, Source::Environment(setting.env))
            } else if let Some(found) = fallback(setting.key, &env)? {
                found
            } else if let Some(found) = from_file.get(setting.key).or_else(|| host.get(setting.key)) {
                found.clone()
            } else {
                (setting.default.to_owned(), Source::Default)
            };
            values.insert(setting.key, value);
        }
        Ok(Settings { values })
    }

    /// The value of a setting; empty where it has none.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.values.get(key).map_or("", |(value, _)| value)
    }

    /// The value of a setting as it may be shown: without a password.
    pub(crate) fn shown(&self, key: &str) -> String {
        shown(key, self.get(key))
    }

    /// Replaces an empty value with a derived one; `derive` runs only where the value is empty.
    pub(crate) fn fill(&mut self, key: &'static str, derive: impl FnOnce() -> Result<String>) -> Result<()> {
        if let Some(entry) = self.values.get_mut(key)
            && entry.0.is_empty()
        {
            entry.0 = derive().with_context(|| as_flag(key)).map_err(Exit::usage)?;
        }
        Ok(())
    }

    /// Reads a setting with `read`; an error names the setting as its flag is named, and where its value came from.
    pub(crate) fn read<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T> {
        let (value, source) =
            self.values.get(key).map_or(("", &Source::Default), |(value, source)| (value.as_str(), source));
        read(value).map_err(|why| {
            let from = match source {
                // Nothing was given, so nothing of it has to be found.
                Source::Default => String::new(),
                source => format!(" (from {source})"),
            };
            Exit::usage(anyhow::anyhow!("{}: {why}{from}", as_flag(key)))
        })
    }

    /// Like [`Settings::read`]; nothing where the value is empty.
    pub(crate) fn read_some<T>(&self, key: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>> {
        if self.get(key).is_empty() { Ok(None) } else { self.read(key, read).map(Some) }
    }

    /// Adds to an error of a setting's value where that came from, unless it is the flag.
    pub(crate) fn blame<T>(&self, key: &str, checked: Result<T>) -> Result<T> {
        checked.map_err(|error| match self.values.get(key) {
            Some((_, Source::Flag)) | None => error,
            Some((_, source)) => crate::store::from(source, error),
        })
    }

    /// The effective configuration as TOML that reads back, each line with its source, keys named as flags are.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        for (key, (value, source)) in &self.values {
            let shown = toml::Value::String(shown(key, value)).to_string();
            text.push_str(&format!("{} = {shown}  # {source}\n", as_flag(key)));
        }
        text
    }

    /// The effective configuration as JSON: `{key: {value, source}}`, its members with underscores as all others are.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let entry = |(key, (value, source)): (&&str, &(String, Source))| {
            let entry = serde_json::json!({ "value": shown(key, value), "source": source.to_string() });
            ((*key).to_owned(), entry)
        };
        self.values.iter().map(entry).collect()
    }
}

/// Values that follow from other environment variables, such as [`DRIVER`].
fn fallback(key: &str, env: &impl Fn(&str) -> Option<String>) -> Result<Option<(String, Source)>> {
    let given = |name: &str| env(name).filter(|value| !value.is_empty());
    Ok(match key {
        "bus" => crate::bus::of_driver(env)?,
        "dev" => given("NODE_ENV")
            .filter(|value| value == "development")
            .map(|_| ("true".to_owned(), Source::Environment("NODE_ENV"))),
        _ => None,
    })
}

/// A setting's value without secrets.
fn shown(key: &str, value: &str) -> String {
    match key {
        "bus" => tenure_bus_open::shown(value),
        // A value that is no URL stays as it is.
        _ => tenure_open::shown(value),
    }
}

/// The setting of this name, written as its flag or with underscores; where there is none, the error names the nearest one.
pub(crate) fn known(key: &str) -> Result<&'static str> {
    config_file::known(key, &keys())
}

fn keys() -> Vec<&'static str> {
    SETTINGS.iter().map(|setting| setting.key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(flags: &[(&'static str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Result<Settings> {
        let env: BTreeMap<String, String> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let flags = flags.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        Settings::merge(flags, |name| env.get(name).cloned(), file, &HostSettings::default())
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    /// Flags win over the environment, that over the file, that over the default.
    #[test]
    fn precedence_is_flag_environment_file_default() {
        let file = file("ttl = \"3s\"\nlease = \"from/file\"\nchannel = [\"a\", \"b\"]\nrepair-after = \"7s\"");
        let path = file.path().to_str();
        let settings = merge(&[("ttl", "1s")], &[("TENURE_TTL", "2s"), ("BUS_PREFIX", "p.")], path).unwrap();
        assert_eq!(settings.get("ttl"), "1s");
        assert_eq!(settings.get("bus_prefix"), "p.");
        assert_eq!(settings.get("lease"), "from/file");
        assert_eq!(settings.get("channels"), "a,b");
        assert_eq!(settings.get("repair_after"), "7s");
        assert_eq!(settings.get("publish_max_retries"), "5");
        let settings = merge(&[], &[("TENURE_TTL", "2s")], path).unwrap();
        assert_eq!(settings.get("ttl"), "2s");
    }

    /// An unknown key is refused with the nearest known one.
    #[test]
    fn unknown_keys_are_refused_with_the_nearest_known_one() {
        let file = file("chanels = [\"a\"]");
        let error = merge(&[], &[], file.path().to_str()).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("\"chanels\"") && error.contains("\"channel\""), "{error}");
    }

    /// The names that bots' environments have already work.
    #[test]
    fn established_environment_names_work() {
        let env = [("TWITCH_CHANNELS", "x,y"), ("MESSAGE_BUS_DRIVER", "stdout"), ("NODE_ENV", "development")];
        let settings = merge(&[], &env, None).unwrap();
        assert_eq!((settings.get("channels"), settings.get("bus"), settings.get("dev")), ("x,y", "stdout:", "true"));
        assert!(merge(&[], &[("MESSAGE_BUS_DRIVER", "kafka")], None).is_err());
    }

    /// A shown configuration reads back, and holds no password.
    #[test]
    fn what_is_shown_has_no_secrets_and_reads_back() {
        let settings = merge(&[("store", "redis://me:hunter2@host/0")], &[], None).unwrap();
        let text = settings.to_toml();
        assert!(!text.contains("hunter2") && text.contains("redis://me:***@host/0"));
        let again = file(&text);
        assert!(merge(&[], &[], again.path().to_str()).is_ok());
    }
}
