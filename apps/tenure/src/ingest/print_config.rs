//! The complete, commented file that `tenure ingest --print-config` prints: what counts here, and what else could be said. Given back
//! with `--config` it means the same.

use super::settings::{SETTINGS, Settings};
use crate::config_file::as_flag;

/// What each setting is for, and what to write where it has no value. In the order of [`SETTINGS`].
const COMMENTS: &[(&str, &str, &str)] = &[
    ("channels", "What to read, without #.", "[\"my_channel\"]"),
    (
        "store",
        "Where the lease is: `tenure stores` lists them. Passwords belong into the environment.",
        "\"redis://db.internal:6379\"",
    ),
    (
        "bus",
        "Where envelopes go: sqlite:PATH, nats://HOST:PORT?stream=NAME or stdout:.",
        "\"nats://bus.internal:4222\"",
    ),
    ("bus_prefix", "Put before every subject.", "\"staging.\""),
    ("lease", "The lease to contend for.", ""),
    ("ttl", "How long the lease lasts without renewal.", ""),
    ("renew_interval", "How often it is renewed; a third of the ttl.", "\"5s\""),
    ("margin", "How much earlier than at the store leadership ends here; 2/15 of the ttl, from 200ms to 2s.", "\"2s\""),
    (
        "stop_timeout",
        "How long the work may take to end when leadership is lost; a third of the ttl, at most 10s.",
        "\"5s\"",
    ),
    ("retry_interval", "The pause between claims where the store says nothing.", "\"2s\""),
    (
        "grace_period",
        "How long renewals may fail before leadership is given up; until shortly before the lease ends.",
        "\"8s\"",
    ),
    ("claim_delay", "How much later than others this instance claims.", "\"1s\""),
    ("instance", "This instance's name; the host's and a random suffix.", "\"reader-1\""),
    ("standby", "Whether standbys read: warm or cold.", ""),
    ("ready", "When /readyz says ready: all channels are joined, or all but those that cannot be (possible).", ""),
    ("dev", "No election: one instance alone.", ""),
    ("http", "Endpoints for operators: HOST:PORT, or :PORT on loopback; :0 is any free one.", "\":8080\""),
    ("irc_url", "Where Twitch is: ircs:// or irc://HOST:PORT, wss:// or ws://.", ""),
    ("irc_ca", "PEM file with the authority of a server of your own.", "\"/etc/tenure/ca.pem\""),
    (
        "irc_reconnect_initial_ms",
        "The first pause before a lost connection is made again, in milliseconds or with a unit.",
        "",
    ),
    ("irc_reconnect_max_ms", "The longest one.", ""),
    ("join_budget", "JOINs per time.", ""),
    ("auth_budget", "Logins per time.", ""),
    ("channels_per_connection", "Channels on one connection, from 1 to 100.", ""),
    (
        "publish_max_retries",
        "How often a message that the bus refuses is tried again before the finalizer gets it.",
        "",
    ),
    ("repair_after", "How long a message may be missing on the bus before a standby publishes it.", ""),
    ("ring_bytes", "The most that an instance holds for the bus.", ""),
    ("ring_age", "The longest that it holds a message for the bus.", ""),
    ("drain_timeout", "How long SIGTERM may take to publish what was read.", ""),
    ("log", "What is logged: a level, or TARGET=LEVEL.", ""),
    ("log_format", "How: auto, json or text.", ""),
];

/// What [`Settings`] have instead of no channel, which nobody could start with.
pub(super) const CHANNEL: &str = "my_channel";

/// The file. A value that holds a password is not printed: its line is a comment.
pub(super) fn file(settings: &Settings) -> String {
    let mut file = String::from(
        "# Settings of `tenure ingest --config FILE`. A flag or a variable of the environment comes before what stands here;\n\
         # a line that is left out means its default. Keys are named as flags are; `_` is taken for `-`.\n",
    );
    for setting in SETTINGS {
        let (comment, example) = COMMENTS
            .iter()
            .find(|(key, ..)| *key == setting.key)
            .map_or(("", "\"\""), |(_, comment, example)| (*comment, *example));
        let name = as_flag(setting.key);
        let value = settings.get(setting.key);
        file.push_str(&format!("\n# {comment} [env: {}]\n", setting.env));
        file.push_str(&match settings.shown(setting.key) {
            shown if shown.is_empty() => format!("# {name} = {example}\n"),
            shown if shown != value => {
                format!("# {name} = {}  # the password is not printed\n", literal(setting.key, &shown))
            }
            shown => format!("{name} = {}\n", literal(setting.key, &shown)),
        });
    }
    file
}

/// The value as TOML: a list, a number, true or false, or a text.
fn literal(key: &str, value: &str) -> String {
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    match value {
        _ if key == "channels" => {
            format!("[{}]", value.split(',').map(str::trim).map(text).collect::<Vec<_>>().join(", "))
        }
        "true" | "false" => value.to_owned(),
        _ if value.parse::<u32>().is_ok_and(|number| number.to_string() == value) => value.to_owned(),
        _ => text(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every setting has its comment, in the same order, and an example where it may have no value.
    #[test]
    fn every_setting_is_explained() {
        let settings: Vec<_> = SETTINGS.iter().map(|setting| setting.key).collect();
        assert_eq!(COMMENTS.iter().map(|(key, ..)| *key).collect::<Vec<_>>(), settings);
        for ((key, _, example), setting) in COMMENTS.iter().zip(SETTINGS) {
            assert!(!example.is_empty() || !setting.default.is_empty(), "{key} has neither a default nor an example");
        }
    }

    /// Values are written as TOML writers would write them.
    #[test]
    fn values_are_toml() {
        assert_eq!(literal("channels", "a, b"), "[\"a\", \"b\"]");
        assert_eq!((literal("dev", "false"), literal("publish_max_retries", "5")), ("false".into(), "5".into()));
        assert_eq!((literal("ttl", "15s"), literal("instance", "007")), ("\"15s\"".into(), "\"007\"".into()));
    }
}
