//! `tenure tail`: prints the envelopes of a bus.

mod selection;

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value;
use tenure_bus::{FollowFrom, FollowStream, Followed, Subjects};

use selection::Selection;

use crate::exit::Exit;

/// Flags of `tenure tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With -n the last N of what is on the bus are printed, of those that are selected; that is the end, unless --follow asks for \
what comes then as well.

Examples:
  follow the default bus from now on:
  tenure tail

  the last 20 messages of one channel, and what comes then:
  tenure tail -n 20 --follow --channel my_channel --type message

  the last ten minutes:
  tenure tail --from -10m --no-follow

  for programs:
  tenure tail --bus sqlite:chat.db --from start --json
  tenure tail --from 2026-01-31T12:00:00Z --json | jq .payload.text")]
pub(crate) struct Args {
    /// Bus to read: sqlite:PATH or nats://HOST:PORT [env: TENURE_BUS, MESSAGE_BUS_DRIVER with NATS_URL] [default: that of
    /// /etc/tenure/config.toml, else sqlite: in the state folder]
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// start, end, a position, an RFC 3339 time, or a while ago such as -10m [default: end; with -n start]
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    from: Option<String>,
    /// Print the last N that are there, then end
    #[arg(short = 'n', long = "lines", value_name = "N", value_parser = clap::value_parser!(u32).range(0..=MOST_LINES))]
    lines: Option<u32>,
    /// Only of this channel; may be given more than once
    #[arg(long, value_name = "CHANNEL", value_parser = selection::parse_channel)]
    channel: Vec<String>,
    /// Only of this type: message, notice, moderation, room, gap or a whole name; may be given more than once
    #[arg(long = "type", value_name = "TYPE", value_parser = selection::parse_kind)]
    kind: Vec<String>,
    /// Put before every subject
    #[arg(long, value_name = "PREFIX", env = "BUS_PREFIX", hide_env_values = true, default_value = "")]
    bus_prefix: String,
    /// One envelope a line, its position added as _pos
    #[arg(long)]
    json: bool,
    /// End where the bus ends now, instead of waiting for more
    #[arg(long, conflicts_with = "follow")]
    no_follow: bool,
    /// Wait for more, with -n too
    #[arg(long, short = 'f')]
    follow: bool,
    /// Read what went to the finalizer instead
    #[arg(long)]
    finalizer: bool,
}

/// The most lines that -n keeps until the end is reached.
const MOST_LINES: i64 = 100_000;
/// Envelopes that are there already come at once; such a pause means that the end was reached.
const END_PAUSE: Duration = Duration::from_millis(300);

/// What is said where following has failed.
const ENDED: &str = "the bus ended";

/// Prints envelopes until interrupted; a closed pipe ends it quietly.
pub(crate) fn run(args: Args) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = async {
        tokio::select! {
            outcome = tail(args) => outcome,
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    };
    runtime.block_on(work.boxed_local())
}

async fn tail(args: Args) -> Result<()> {
    let (url, _) = crate::bus::named(args.bus.as_deref())?;
    let from = args.from.as_deref().unwrap_or(if args.lines.is_some() { "start" } else { "end" });
    let (from, since) = selection::parse_from(from, jiff::Timestamp::now()).map_err(Exit::usage)?;
    let subjects = Subjects::new(&args.bus_prefix);
    let bus = crate::bus::open_to_read(&url, &subjects).await?;
    if !bus.info().follow {
        return Err(Exit::usage(anyhow::anyhow!("the bus {} cannot be followed", tenure_bus_open::shown(&url))));
    }
    let subject = if args.finalizer { &subjects.finalize } else { &subjects.ingress };
    let cannot = || format!("cannot follow {}", tenure_bus_open::shown(&url));
    let follows = args.follow || (args.lines.is_none() && !args.no_follow);
    // Opened first: what it brings was not there yet.
    let newer = match follows && args.lines.is_none() {
        true => stream::pending().boxed(),
        false => bus.follow_ids(subject, FollowFrom::End).await.with_context(cannot)?,
    };
    let mut tail = Tail {
        stream: bus.follow(subject, from).await.with_context(cannot)?,
        newer,
        end: None,
        ahead: None,
        selection: Selection::new(since, args.channel, args.kind),
        json: args.json,
    };
    if let Some(lines) = args.lines {
        let lines = usize::try_from(lines).unwrap_or(usize::MAX);
        let mut last = VecDeque::new();
        while let Some(line) = tail.next_that_is_there().await? {
            last.push_back(line);
            if last.len() > lines {
                last.pop_front();
            }
        }
        for line in last {
            if !print(&line)? {
                return Ok(());
            }
        }
        if !follows {
            return Ok(());
        }
    }
    loop {
        let next = if follows { tail.next().await? } else { tail.next_that_is_there().await? };
        match next {
            Some(line) if print(&line)? => {}
            _ => return Ok(()),
        }
    }
}

/// What is on the bus, one line after the other.
struct Tail {
    stream: FollowStream,
    /// What is published from now on: on a bus that never rests it tells where the end was.
    newer: FollowStream,
    /// The position of the first message that was not there yet.
    end: Option<u64>,
    /// A message from behind the end, for those who go on.
    ahead: Option<Followed>,
    selection: Selection,
    json: bool,
}

impl Tail {
    /// The next line that is selected; `None` once the bus has ended.
    async fn next(&mut self) -> Result<Option<String>> {
        loop {
            let followed = match self.ahead.take() {
                Some(followed) => followed,
                None => match self.stream.next().await {
                    Some(followed) => followed.context(ENDED)?,
                    None => return Ok(None),
                },
            };
            if let Some(line) = self.line(&followed)? {
                return Ok(Some(line));
            }
        }
    }

    /// The same; `None` also where nothing more was there.
    async fn next_that_is_there(&mut self) -> Result<Option<String>> {
        while self.ahead.is_none() {
            let followed = tokio::select! {
                Some(followed) = self.stream.next() => followed.context(ENDED)?,
                Some(newer) = self.newer.next(), if self.end.is_none() => {
                    self.end = Some(newer.context(ENDED)?.pos);
                    continue;
                }
                () = tokio::time::sleep(END_PAUSE) => break,
            };
            if self.end.is_some_and(|end| followed.pos >= end) {
                self.ahead = Some(followed);
            } else if let Some(line) = self.line(&followed)? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    /// The line of a message; `None` where it is not selected.
    fn line(&self, followed: &Followed) -> Result<Option<String>> {
        let mut envelope: Value = serde_json::from_slice(&followed.body)
            .with_context(|| format!("position {} holds no JSON", followed.pos))?;
        if !self.selection.has(&envelope) {
            return Ok(None);
        }
        if !self.json {
            return Ok(Some(line(&envelope)));
        }
        if let Value::Object(members) = &mut envelope {
            members.insert("_pos".into(), followed.pos.into());
        }
        Ok(Some(envelope.to_string()))
    }
}

/// Prints a line; answers whether anybody still reads.
fn print(line: &str) -> io::Result<bool> {
    crate::output::line_if_read(line)
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
