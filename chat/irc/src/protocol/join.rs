//! The channels of one connection: which are wanted, asked for, joined, refused.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use tenure_core::Time;

use super::timers::Timing;
use super::{Attempt, Budget, backoff};
use crate::Message;

/// Why a channel could not be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JoinFailure {
    /// The channel is suspended or closed (`msg_channel_suspended`, `tos_ban`).
    Suspended,
    /// This account is banned there (`msg_banned`).
    Banned,
    /// This account or its owner blocked (`msg_channel_blocked`).
    Blocked,
    /// The server says that there is no such channel (`msg_room_not_found`).
    NotFound,
    /// The account is in as many channels as it may be (`msg_concurrent_channel_limit_reached`). Another connection
    /// does not help; a channel that was left may still count for minutes.
    RoomLimit,
    /// No answer came: the channel does not exist, or the JOIN was dropped. Twitch answers neither.
    Silent,
    /// The name cannot be that of a channel, see [`is_channel_name`]. Not tried, not repeated.
    BadName,
    /// The connection has as many channels as it may have. Not tried, not repeated.
    Full,
}

impl JoinFailure {
    /// Each of them.
    pub const ALL: [JoinFailure; 8] = [
        JoinFailure::Suspended,
        JoinFailure::Banned,
        JoinFailure::Blocked,
        JoinFailure::NotFound,
        JoinFailure::RoomLimit,
        JoinFailure::Silent,
        JoinFailure::BadName,
        JoinFailure::Full,
    ];

    /// A short name that does not change, for pages and logs.
    pub fn code(self) -> &'static str {
        match self {
            JoinFailure::Suspended => "suspended",
            JoinFailure::Banned => "banned",
            JoinFailure::Blocked => "blocked",
            JoinFailure::NotFound => "not_found",
            JoinFailure::RoomLimit => "room_limit",
            JoinFailure::Silent => "no_answer",
            JoinFailure::BadName => "bad_name",
            JoinFailure::Full => "connection_full",
        }
    }
}

impl fmt::Display for JoinFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JoinFailure::Suspended => "the channel is suspended",
            JoinFailure::Banned => "this account is banned there",
            JoinFailure::Blocked => "the channel is blocked",
            JoinFailure::NotFound => "there is no such channel",
            JoinFailure::RoomLimit => "this account is in as many channels as it may be",
            JoinFailure::Silent => "no answer came (there may be no such channel)",
            JoinFailure::BadName => "this is no channel name",
            JoinFailure::Full => "the connection is full",
        })
    }
}

/// Whether this can be the name of a Twitch channel: a login, in lower case and without `#`; one to 64 letters, digits
/// and underscores. (Logins end at 25 today.)
pub fn is_channel_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The state of one wanted channel.
#[derive(Debug)]
struct Wanted {
    name: Box<str>,
    state: State,
    /// How many JOINs in a row were not answered, and how many were refused.
    silences: u8,
    refusals: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// JOIN is due, but not before this moment.
    Waiting(Time),
    /// JOIN was sent. From this moment on it counts as unanswered.
    Asked(Time, Attempt),
    Joined,
}

/// The channels of one connection. They are few, and are looked up only for lines about joining.
#[derive(Debug)]
pub(super) struct Channels {
    limit: usize,
    /// Sorted by name.
    wanted: Vec<Wanted>,
    /// The JOINs that were answered and that the budget does not know of yet; at most one for each channel.
    answered: Vec<Attempt>,
    random: u64,
}

impl Channels {
    pub(super) fn new(limit: usize, seed: u64) -> Self {
        Channels { limit, wanted: Vec::new(), answered: Vec::new(), random: seed }
    }

    /// Adds a wanted channel; adding it twice changes nothing.
    pub(super) fn want(&mut self, channel: &str, now: Time) -> Result<(), JoinFailure> {
        if !is_channel_name(channel) {
            return Err(JoinFailure::BadName);
        }
        let Err(at) = self.find(channel.as_bytes()) else { return Ok(()) };
        if self.wanted.len() >= self.limit {
            return Err(JoinFailure::Full);
        }
        let wanted = Wanted { name: channel.into(), state: State::Waiting(now), silences: 0, refusals: 0 };
        self.wanted.insert(at, wanted);
        Ok(())
    }

    /// Removes a wanted channel, and returns whether a PART has to be sent.
    pub(super) fn forget(&mut self, channel: &str) -> bool {
        match self.find(channel.as_bytes()) {
            Ok(at) => !matches!(self.wanted.remove(at).state, State::Waiting(_)),
            Err(_) => false,
        }
    }

    pub(super) fn joined(&self) -> impl Iterator<Item = &str> {
        self.wanted.iter().filter(|wanted| wanted.state == State::Joined).map(|wanted| &*wanted.name)
    }

    pub(super) fn wanted(&self) -> usize {
        self.wanted.len()
    }

    /// Whether every wanted channel is joined or has failed at least once.
    pub(super) fn are_settled(&self) -> bool {
        self.wanted.iter().all(|wanted| wanted.state == State::Joined || wanted.silences + wanted.refusals > 0)
    }

    /// The next channel to send JOIN for, if one is due and the budget has room; otherwise when to ask again.
    pub(super) fn next_join(&mut self, budget: &mut Budget, timing: &Timing, now: Time) -> Result<&str, Option<Time>> {
        let waiting = self.wanted.iter_mut().filter_map(|wanted| match wanted.state {
            State::Waiting(at) => Some((at, wanted)),
            State::Asked(..) | State::Joined => None,
        });
        // The one that has waited longest comes first; of those that were wanted together, the first by name.
        let Some((at, wanted)) = waiting.min_by_key(|(at, _)| *at) else { return Err(None) };
        if at > now {
            return Err(Some(at));
        }
        let attempt = budget.take(now).map_err(Some)?;
        wanted.state = State::Asked(now + timing.join_within, attempt);
        Ok(&wanted.name)
    }

    /// When the next JOIN counts as unanswered.
    pub(super) fn next_silence(&self) -> Option<Time> {
        let asked = self.wanted.iter().filter_map(|wanted| match wanted.state {
            State::Asked(until, _) => Some(until),
            State::Waiting(_) | State::Joined => None,
        });
        asked.min()
    }

    /// Takes the JOINs that were answered since the last call.
    pub(super) fn take_answered(&mut self) -> impl Iterator<Item = Attempt> {
        self.answered.drain(..)
    }

    /// How many JOINs wait for their answer.
    pub(super) fn awaited(&self) -> usize {
        self.wanted.iter().filter(|wanted| matches!(wanted.state, State::Asked(..))).count()
    }

    /// Whether the channel that the line names waits for its answer; if the line names none, whether any channel does.
    pub(super) fn is_awaited(&self, message: &Message<'_>) -> bool {
        let Some(channel) = message.channel() else { return self.awaited() > 0 };
        let at = channel.strip_prefix(b"#").and_then(|channel| self.find(channel).ok());
        at.is_some_and(|at| matches!(self.wanted[at].state, State::Asked(..)))
    }

    /// The channels whose JOIN stayed unanswered; they wait for their next turn.
    pub(super) fn silent(&mut self, timing: &Timing, now: Time) -> Vec<String> {
        let mut silent = Vec::new();
        for wanted in &mut self.wanted {
            if matches!(wanted.state, State::Asked(until, _) if until <= now) {
                let pause = pause(timing.rejoin_silent, &mut wanted.silences, &mut self.random);
                wanted.state = State::Waiting(now + pause);
                silent.push(wanted.name.to_string());
            }
        }
        silent
    }

    /// The channel that this line confirms as newly joined: by our own JOIN, the end of names, or the room's state. A
    /// confirmation that comes after the JOIN was given up counts too.
    pub(super) fn confirmed(&mut self, message: &Message<'_>, nick: &[u8]) -> Option<String> {
        let channel = match message.command() {
            b"JOIN" if message.prefix()?.name == nick => message.channel()?,
            b"366" => message.params().nth(1)?,
            b"ROOMSTATE" => message.channel()?,
            _ => return None,
        };
        let at = self.find(channel.strip_prefix(b"#")?).ok()?;
        let wanted = &mut self.wanted[at];
        if wanted.state == State::Joined {
            return None;
        }
        if let State::Asked(_, attempt) = wanted.state {
            self.answered.push(attempt);
        }
        wanted.state = State::Joined;
        (wanted.silences, wanted.refusals) = (0, 0);
        Some(wanted.name.to_string())
    }

    /// The channel that this NOTICE refuses, if it waited for its answer.
    pub(super) fn refused(
        &mut self,
        message: &Message<'_>,
        timing: &Timing,
        now: Time,
    ) -> Option<(String, JoinFailure)> {
        let failure = match message.tags().get(b"msg-id")? {
            b"msg_channel_suspended" | b"tos_ban" => JoinFailure::Suspended,
            b"msg_banned" => JoinFailure::Banned,
            b"msg_channel_blocked" => JoinFailure::Blocked,
            b"msg_room_not_found" => JoinFailure::NotFound,
            b"msg_concurrent_channel_limit_reached" => JoinFailure::RoomLimit,
            _ => return None,
        };
        let wait = if failure == JoinFailure::RoomLimit { timing.rejoin_room_limit } else { timing.rejoin_refused };
        let awaited = |state: State| matches!(state, State::Asked(..));
        Some((self.refuse(message, wait, now, awaited)?, failure))
    }

    /// The channel that this PART has removed us from. The server does not say why, so the channel is soon asked for again: the
    /// answer to that does.
    pub(super) fn put_out(&mut self, message: &Message<'_>, nick: &[u8], timing: &Timing, now: Time) -> Option<String> {
        if message.prefix()?.name != nick {
            return None;
        }
        self.refuse(message, timing.rejoin_silent, now, |state| state == State::Joined)
    }

    fn refuse(
        &mut self,
        message: &Message<'_>,
        wait: (Duration, Duration),
        now: Time,
        concerns: impl Fn(State) -> bool,
    ) -> Option<String> {
        let at = self.find(message.channel()?.strip_prefix(b"#")?).ok()?;
        let wanted = &mut self.wanted[at];
        if !concerns(wanted.state) {
            return None;
        }
        if let State::Asked(_, attempt) = wanted.state {
            self.answered.push(attempt);
        }
        let pause = pause(wait, &mut wanted.refusals, &mut self.random);
        wanted.state = State::Waiting(now + pause);
        Some(wanted.name.to_string())
    }

    /// The index of the channel, or the index where it would be inserted.
    fn find(&self, channel: &[u8]) -> Result<usize, usize> {
        self.wanted.binary_search_by(|wanted| wanted.name.as_bytes().cmp(channel))
    }
}

/// The wait before the next JOIN, after one more that failed: at least half its bound, so that a channel that refused us
/// is not asked again at once.
fn pause(bounds: (Duration, Duration), failures: &mut u8, random: &mut u64) -> Duration {
    let half = backoff::bound(bounds, u32::from(*failures)) / 2;
    // Beyond some dozen doublings the bound has long reached its maximum; the cap keeps both counts together within
    // their type.
    *failures = (*failures + 1).min(100);
    half + backoff::draw(half, random)
}
