//! Which envelopes `tenure tail` prints: those from some moment on, of some channels and types.

use anyhow::{Result, bail};
use serde_json::Value;
use tenure_base_net::durations;
use tenure_bus::FollowFrom;

/// The types of chat that may be named in short, and what stands around the short name.
const SHORT: &[&str] = &["message", "notice", "moderation", "room", "gap"];
const AROUND: (&str, &str) = ("external.chat.", ".v1");

/// What is printed of what is on the bus.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    since: Option<jiff::Timestamp>,
    channels: Vec<String>,
    kinds: Vec<String>,
}

impl Selection {
    /// Of these channels and types; of all where there are none.
    pub(super) fn new(since: Option<jiff::Timestamp>, channels: Vec<String>, kinds: Vec<String>) -> Selection {
        Selection { since, channels, kinds }
    }

    /// Whether the envelope is to be printed. One without a time is: nobody knows that it is older.
    pub(super) fn has(&self, envelope: &Value) -> bool {
        let text = |pointer: &str| envelope.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        let at = || text("/timestamp").parse::<jiff::Timestamp>().ok();
        let any = |wanted: &[String], pointer| wanted.is_empty() || wanted.iter().any(|one| one == text(pointer));
        any(&self.channels, "/source/channel")
            && any(&self.kinds, "/type")
            && self.since.is_none_or(|since| at().is_none_or(|at| at >= since))
    }
}

/// Reads `--from`: where to begin on the bus, and from which time on to print. Times of the bus are those of the chat.
pub(super) fn parse_from(text: &str, now: jiff::Timestamp) -> Result<(FollowFrom, Option<jiff::Timestamp>)> {
    let ago = text.strip_prefix('-').and_then(|span| durations::parse(span).ok());
    Ok(match text {
        "start" => (FollowFrom::Start, None),
        "end" => (FollowFrom::End, None),
        _ => match (text.parse::<u64>(), ago) {
            (Ok(pos), _) => (FollowFrom::After(pos.saturating_sub(1)), None),
            // What is before all time is the beginning.
            (_, Some(ago)) => (FollowFrom::Start, now.checked_sub(ago).ok()),
            _ => match text.parse() {
                Ok(since) => (FollowFrom::Start, Some(since)),
                Err(_) => bail!(
                    "--from {text:?}: write start, end, a position such as 1042, a time such as 2026-01-31T12:00:00Z, \
                     or a while ago such as -10m"
                ),
            },
        },
    })
}

/// Reads `--channel`: with `#` or without, in any case.
pub(super) fn parse_channel(text: &str) -> Result<String, String> {
    let channel = text.trim().trim_start_matches('#').to_lowercase();
    if channel.is_empty() || channel.contains([',', ' ']) {
        return Err(format!("{text:?} is no channel: name one, and more with --channel again"));
    }
    Ok(channel)
}

/// Reads `--type`: a whole type, or the short name of one of chat.
pub(super) fn parse_kind(text: &str) -> Result<String, String> {
    match text {
        short if SHORT.contains(&short) => Ok(format!("{}{short}{}", AROUND.0, AROUND.1)),
        whole if whole.contains('.') => Ok(whole.to_owned()),
        other => Err(format!(
            "{other:?} is no type: write {}, or a whole type such as external.chat.message.v1",
            SHORT.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `--from` includes the message at the position, as people expect of "from", and counts back from now.
    #[test]
    fn from_takes_positions_times_and_spans() {
        let now: jiff::Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let from = |text| parse_from(text, now).unwrap();
        assert_eq!(from("7").0, FollowFrom::After(6));
        assert!(from("2026-01-31T12:00:00Z").1.is_some());
        assert_eq!(from("-10m"), (FollowFrom::Start, "2026-01-31T11:50:00Z".parse().ok()));
        for odd in ["yesterday", "-10", "10m", "-", ""] {
            assert!(parse_from(odd, now).unwrap_err().to_string().contains("-10m"), "{odd}");
        }
    }

    /// Channel, type and time must all be right; what has no time is not left out.
    #[test]
    fn envelopes_are_selected_by_channel_type_and_time() {
        let kinds = vec![parse_kind("message").unwrap(), parse_kind("a.b").unwrap()];
        let since = "2026-01-31T12:00:00Z".parse().ok();
        let selection = Selection::new(since, vec![parse_channel("#Two").unwrap()], kinds);
        let envelope = |channel: &str, kind: &str, at: &str| {
            selection.has(&json!({"source": {"channel": channel}, "type": kind, "timestamp": at}))
        };
        let message = "external.chat.message.v1";
        assert!(envelope("two", message, "2026-01-31T12:00:00Z") && envelope("two", "a.b", ""));
        assert!(!envelope("one", message, "2026-01-31T12:00:00Z"));
        assert!(!envelope("two", "external.chat.gap.v1", "2026-01-31T12:00:00Z"));
        assert!(!envelope("two", message, "2026-01-31T11:59:59.999Z"));
        assert!(Selection::default().has(&json!({})));
        assert!(parse_kind("massage").unwrap_err().contains("message, notice"));
        assert!(parse_channel("#").is_err() && parse_channel("a,b").is_err());
    }
}
