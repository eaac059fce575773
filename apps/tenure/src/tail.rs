//! `tenure tail`: prints the envelopes of a bus.

use std::io::Write;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use serde_json::Value;
use tenure_bus::{FollowFrom, Subjects};

use crate::exit::Exit;

/// Flags of `tenure tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tenure tail                                    follow the default bus from now on
  tenure tail --bus sqlite:chat.db --from start --json
  tenure tail --from 2026-01-31T12:00:00Z --json | jq .payload.text")]
pub(crate) struct Args {
    /// Bus to read: sqlite:PATH or nats://HOST:PORT [env: TENURE_BUS, MESSAGE_BUS_DRIVER with NATS_URL] [default: that of
    /// /etc/tenure/config.toml, else sqlite: in the state folder]
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// start, end, a position, or an RFC 3339 time
    #[arg(long, value_name = "WHERE", default_value = "end")]
    from: String,
    /// Put before every subject
    #[arg(long, value_name = "PREFIX", env = "BUS_PREFIX", hide_env_values = true, default_value = "")]
    bus_prefix: String,
    /// One envelope a line, its position added as _pos
    #[arg(long)]
    json: bool,
    /// End where the bus ends now, instead of waiting for more
    #[arg(long)]
    no_follow: bool,
    /// Read what went to the finalizer instead
    #[arg(long)]
    finalizer: bool,
}

/// Prints envelopes until interrupted; a closed pipe ends it quietly.
pub(crate) fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tail(args))
}

async fn tail(args: Args) -> Result<()> {
    let (url, _) = crate::bus::named(args.bus.as_deref())?;
    let subjects = Subjects::new(&args.bus_prefix);
    let bus = crate::bus::open_to_read(&url, &subjects).await?;
    if !bus.info().follow {
        return Err(Exit::usage(anyhow::anyhow!("the bus {} cannot be followed", tenure_bus_open::shown(&url))));
    }
    let (from, since) = parse_from(&args.from).map_err(Exit::usage)?;
    let subject = if args.finalizer { &subjects.finalize } else { &subjects.ingress };
    let mut stream =
        bus.follow(subject, from).await.with_context(|| format!("cannot follow {}", tenure_bus_open::shown(&url)))?;
    let mut out = std::io::stdout().lock();
    loop {
        let next = if args.no_follow {
            // Envelopes that are there already come at once; a pause means that the end was reached.
            match tokio::time::timeout(std::time::Duration::from_millis(300), stream.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(()),
            }
        } else {
            tokio::select! {
                next = stream.next() => next,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        };
        let Some(item) = next else { return Ok(()) };
        let followed = item.context("the bus ended")?;
        let mut envelope: Value = serde_json::from_slice(&followed.body)
            .with_context(|| format!("position {} holds no JSON", followed.pos))?;
        if since.is_some_and(|since| at(&envelope).is_some_and(|at| at < since)) {
            continue;
        }
        let written = if args.json {
            if let Value::Object(members) = &mut envelope {
                members.insert("_pos".into(), followed.pos.into());
            }
            writeln!(out, "{envelope}")
        } else {
            writeln!(out, "{}", line(&envelope))
        };
        if let Err(error) = written.and_then(|()| out.flush()) {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                return Ok(());
            }
            return Err(error.into());
        }
    }
}

fn parse_from(text: &str) -> Result<(FollowFrom, Option<jiff::Timestamp>)> {
    Ok(match text {
        "start" => (FollowFrom::Start, None),
        "end" => (FollowFrom::End, None),
        _ => match text.parse::<u64>() {
            Ok(pos) => (FollowFrom::After(pos.saturating_sub(1)), None),
            Err(_) => match text.parse() {
                Ok(since) => (FollowFrom::Start, Some(since)),
                Err(_) => bail!(
                    "--from {text:?}: write start, end, a position such as 1042, or a time such as 2026-01-31T12:00:00Z"
                ),
            },
        },
    })
}

fn at(envelope: &Value) -> Option<jiff::Timestamp> {
    envelope.get("timestamp")?.as_str()?.parse().ok()
}

/// A line for people: time, channel, who, what.
fn line(envelope: &Value) -> String {
    let text = |pointer: &str| envelope.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    let kind = text("/type");
    let what = match kind {
        "external.chat.message.v1" => format!("{}: {}", text("/user/displayName"), text("/payload/text")),
        _ => {
            let payload = envelope.get("payload").cloned().unwrap_or_default();
            let mut payload = payload;
            if let Value::Object(members) = &mut payload {
                members.remove("raw");
                members.remove("receivedAt");
            }
            format!("[{}] {payload}", kind.trim_start_matches("external.chat.").trim_end_matches(".v1"))
        }
    };
    // The text of a chat must not control the terminal.
    let what: String = what.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("{} #{} {what}", text("/timestamp"), text("/source/channel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `--from` includes the message at the position, as people expect of "from".
    #[test]
    fn from_takes_positions_and_times() {
        assert_eq!(parse_from("7").unwrap().0, FollowFrom::After(6));
        assert!(parse_from("2026-01-31T12:00:00Z").unwrap().1.is_some());
        assert!(parse_from("yesterday").is_err());
    }
}
