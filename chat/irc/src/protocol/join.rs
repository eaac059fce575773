//! The channels of one connection: which are wanted, asked for, joined, refused.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use tenure_core::Time;

use super::timers::Timing;
use super::{Backoff, Budget};
use crate::Message;

/// Why a channel could not be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// The channel is suspended or closed (`msg_channel_suspended`, `tos_ban`).
    Suspended,
    /// This account is banned there (`msg_banned`).
    Banned,
    /// This account or its owner blocked (`msg_channel_blocked`).
    Blocked,
    /// The server says that there is no such channel (`msg_room_not_found`).
    NotFound,
    /// No answer came: no such channel, or the JOIN was dropped. Twitch answers nothing to either.
    Silent,
    /// The name is none, see [`is_channel_name`]. Not tried, not repeated.
    BadName,
    /// The connection has as many channels as it may. Not tried, not repeated.
    Full,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Suspended => "the channel is suspended",
            Verdict::Banned => "this account is banned there",
            Verdict::Blocked => "the channel is blocked",
            Verdict::NotFound => "there is no such channel",
            Verdict::Silent => "no answer came (there may be no such channel)",
            Verdict::BadName => "this is no channel name",
            Verdict::Full => "the connection is full",
        })
    }
}

/// Whether this can be the name of a Twitch channel: a login, in lower case and without `#`; one to 64 letters, digits
/// and underscores. (Logins end at 25 today.)
pub fn is_channel_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// What is known of one wanted channel.
#[derive(Clone, Debug)]
struct Wanted {
    state: State,
    silent: Backoff,
    refused: Backoff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// JOIN is to be sent, not before this moment.
    Waiting(Time),
    /// JOIN was sent; silence is a verdict from this moment on.
    Asked(Time),
    Joined,
}

/// The channels of one connection.
#[derive(Debug)]
pub(super) struct Channels {
    limit: usize,
    wanted: BTreeMap<String, Wanted>,
    seed: u64,
}

impl Channels {
    pub(super) fn new(limit: usize, seed: u64) -> Self {
        Channels { limit, wanted: BTreeMap::new(), seed }
    }

    /// Wants a channel from now on; asking twice changes nothing.
    pub(super) fn want(&mut self, channel: &str, timing: &Timing, now: Time) -> Result<(), Verdict> {
        if !is_channel_name(channel) {
            return Err(Verdict::BadName);
        }
        if self.wanted.contains_key(channel) {
            return Ok(());
        }
        if self.wanted.len() >= self.limit {
            return Err(Verdict::Full);
        }
        self.seed = self.seed.wrapping_add(2);
        let backoff = |bounds: (_, _), seed| Backoff::new(bounds.0, bounds.1, seed);
        let wanted = Wanted {
            state: State::Waiting(now),
            silent: backoff(timing.rejoin_silent, self.seed),
            refused: backoff(timing.rejoin_refused, self.seed.wrapping_add(1)),
        };
        self.wanted.insert(channel.to_string(), wanted);
        Ok(())
    }

    /// Wants it no longer; whether there is something to part from.
    pub(super) fn forget(&mut self, channel: &str) -> bool {
        let gone = self.wanted.remove(channel);
        gone.is_some_and(|wanted| !matches!(wanted.state, State::Waiting(_)))
    }

    pub(super) fn joined(&self) -> impl Iterator<Item = &str> {
        let joined = self.wanted.iter().filter(|(_, wanted)| wanted.state == State::Joined);
        joined.map(|(channel, _)| channel.as_str())
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Every wanted channel was joined or has had a verdict.
    pub(super) fn are_settled(&self) -> bool {
        self.wanted.values().all(|wanted| match wanted.state {
            State::Joined => true,
            State::Waiting(_) | State::Asked(_) => wanted.has_verdict(),
        })
    }

    /// The next channel to send JOIN for, if one is due and the budget has room.
    pub(super) fn next_join(&mut self, budget: &mut Budget, timing: &Timing, now: Time) -> Result<&str, Option<Time>> {
        let due = |wanted: &Wanted| match wanted.state {
            State::Waiting(at) => Some(at),
            State::Asked(_) | State::Joined => None,
        };
        // The one that has waited longest comes first; of those that were wanted together, the first by name.
        let next = self.wanted.iter_mut().filter_map(|(name, wanted)| Some((due(wanted)?, name, wanted)));
        let Some((at, name, wanted)) = next.min_by_key(|(at, ..)| *at) else { return Err(None) };
        if at > now {
            return Err(Some(at));
        }
        budget.take(now).map_err(Some)?;
        wanted.state = State::Asked(now + timing.join_within);
        Ok(name)
    }

    /// When the next unanswered JOIN becomes a verdict.
    pub(super) fn next_silence(&self) -> Option<Time> {
        let asked = self.wanted.values().filter_map(|wanted| match wanted.state {
            State::Asked(until) => Some(until),
            State::Waiting(_) | State::Joined => None,
        });
        asked.min()
    }

    /// The channels whose JOIN met silence; they wait for their next turn.
    pub(super) fn silent(&mut self, now: Time) -> Vec<String> {
        let silent = self.wanted.iter_mut().filter(|(_, wanted)| matches!(wanted.state, State::Asked(at) if at <= now));
        silent
            .map(|(channel, wanted)| {
                wanted.state = State::Waiting(now + pause(&mut wanted.silent));
                channel.clone()
            })
            .collect()
    }

    /// The channel that this line confirms, if it was asked for: our own JOIN, the end of names, or the room's state.
    pub(super) fn confirmed(&mut self, message: &Message<'_>, nick: &[u8]) -> Option<String> {
        let channel = match message.command() {
            b"JOIN" if message.prefix()?.name == nick => message.channel()?,
            b"366" => message.params().nth(1)?.get(..)?,
            b"ROOMSTATE" => message.channel()?,
            _ => return None,
        };
        let (name, wanted) = self.entry(channel)?;
        // A JOIN whose confirmation comes after its time is still a JOIN.
        if wanted.state == State::Joined {
            return None;
        }
        wanted.state = State::Joined;
        wanted.silent.reset();
        wanted.refused.reset();
        Some(name)
    }

    /// The channel that this NOTICE refuses, if its answer was awaited.
    pub(super) fn refused(&mut self, message: &Message<'_>, now: Time) -> Option<(String, Verdict)> {
        let verdict = match message.tags().get(b"msg-id")? {
            b"msg_channel_suspended" | b"tos_ban" => Verdict::Suspended,
            b"msg_banned" => Verdict::Banned,
            b"msg_channel_blocked" => Verdict::Blocked,
            b"msg_room_not_found" => Verdict::NotFound,
            _ => return None,
        };
        let (name, wanted) = self.entry(message.channel()?)?;
        if !matches!(wanted.state, State::Asked(_)) {
            return None;
        }
        wanted.state = State::Waiting(now + pause(&mut wanted.refused));
        Some((name, verdict))
    }

    /// The channel that we were put out of by this PART.
    pub(super) fn put_out(&mut self, message: &Message<'_>, nick: &[u8], now: Time) -> Option<String> {
        if message.prefix()?.name != nick {
            return None;
        }
        let (name, wanted) = self.entry(message.channel()?)?;
        if wanted.state != State::Joined {
            return None;
        }
        wanted.state = State::Waiting(now + pause(&mut wanted.refused));
        Some(name)
    }

    fn entry(&mut self, channel: &[u8]) -> Option<(String, &mut Wanted)> {
        let name = core::str::from_utf8(channel.strip_prefix(b"#")?).ok()?;
        let wanted = self.wanted.get_mut(name)?;
        Some((name.to_string(), wanted))
    }
}

impl Wanted {
    /// Whether a verdict was given since the last success: a backoff was drawn from.
    fn has_verdict(&self) -> bool {
        self.silent.has_waited() || self.refused.has_waited()
    }
}

/// A wait of at least half its bound: a channel that refused us is not asked again at once.
fn pause(backoff: &mut Backoff) -> Duration {
    let half = backoff.bound() / 2;
    half + backoff.wait() / 2
}
