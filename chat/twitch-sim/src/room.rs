//! A chat room: its name, its settings, who reads it.

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
use crate::fault::Closed;
use crate::random::Rng;

/// A room's login and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomName {
    pub(crate) name: String,
    pub(crate) id: u64,
}

impl RoomName {
    /// A room of this login. Its number follows from the login, so that it is the same in every run.
    pub(crate) fn new(name: &str) -> Self {
        RoomName { name: name.to_owned(), id: 100_000_000 + user_number(name) % 400_000_000 }
    }
}

/// A number that follows from a login.
pub(crate) fn user_number(login: &str) -> u64 {
    let seed = login
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    Rng::new(seed).next_u64() >> 1
}

/// The settings that moderators can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomSettings {
    pub(crate) emote_only: bool,
    pub(crate) followers_only: i64,
    pub(crate) r9k: bool,
    pub(crate) slow: u32,
    pub(crate) subs_only: bool,
}

impl Default for RoomSettings {
    fn default() -> Self {
        RoomSettings { emote_only: false, followers_only: -1, r9k: false, slow: 0, subs_only: false }
    }
}

/// One setting that changed; displayed as the tag that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomChange {
    Slow(u32),
    SubsOnly(bool),
    EmoteOnly(bool),
    FollowersOnly(i64),
}

impl fmt::Display for RoomChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoomChange::Slow(seconds) => write!(f, "slow={seconds}"),
            RoomChange::SubsOnly(on) => write!(f, "subs-only={}", u8::from(*on)),
            RoomChange::EmoteOnly(on) => write!(f, "emote-only={}", u8::from(*on)),
            RoomChange::FollowersOnly(minutes) => write!(f, "followers-only={minutes}"),
        }
    }
}

/// A room and its readers.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) settings: RoomSettings,
    /// How the room meets a JOIN, where it cannot be joined; and how it did at the start.
    pub(crate) closed: Option<Closed>,
    closed_at_start: Option<Closed>,
    /// How often it was closed, so that the end of one closure does not end a later one.
    closures: u64,
    pub(crate) members: Vec<Arc<Connection>>,
    /// How many made-up people are in the room besides the connections.
    pub(crate) crowd: usize,
    /// The JOINs and PARTs for the next batch.
    pub(crate) pending: Vec<MembershipChange>,
    /// How many JOINs and PARTs were dropped because too many waited.
    pub(crate) membership_dropped: u64,
}

/// A JOIN or PART of somebody.
#[derive(Clone, Debug)]
pub(crate) struct MembershipChange {
    pub(crate) login: String,
    pub(crate) joined: bool,
    /// The connection that joined or left; it was told at once and is not told again.
    pub(crate) by: u64,
}

impl MembershipChange {
    /// The JOIN or PART that tells the other members, with its line end.
    pub(crate) fn line(&self, room: &str) -> String {
        let (login, verb) = (&self.login, if self.joined { "JOIN" } else { "PART" });
        format!(":{login}!{login}@{login}.tmi.twitch.tv {verb} #{room}\r\n")
    }
}

/// Above this many people in a room Twitch sends no JOINs and PARTs of others.
pub(crate) const MEMBERSHIP_LIMIT: usize = 1_000;

const PENDING_LIMIT: usize = 1_000;

impl Room {
    /// An empty room.
    pub(crate) fn new(name: RoomName, closed: Option<Closed>, crowd: usize) -> Self {
        Room {
            name,
            settings: RoomSettings::default(),
            closed,
            closed_at_start: closed,
            closures: 0,
            members: Vec::new(),
            crowd,
            pending: Vec::new(),
            membership_dropped: 0,
        }
    }

    /// Closes the room to JOINs, and answers the closure's number.
    pub(crate) fn close(&mut self, how: Closed) -> u64 {
        self.closed = Some(how);
        self.closures += 1;
        self.closures
    }

    /// Ends this closure, unless a later one has taken its place.
    pub(crate) fn end_closure(&mut self, number: u64) {
        if self.closures == number {
            self.closed = self.closed_at_start;
        }
    }

    /// Ends what faults have made of it.
    pub(crate) fn heal(&mut self) {
        self.closed = self.closed_at_start;
    }

    /// Whether this room sends JOINs and PARTs of others.
    pub(crate) fn tells_membership(&self) -> bool {
        self.crowd + self.members.len() <= MEMBERSHIP_LIMIT
    }

    /// Queues a JOIN or PART for the next batch.
    pub(crate) fn tell(&mut self, change: MembershipChange) {
        if !self.tells_membership() {
            return;
        }
        if self.pending.len() >= PENDING_LIMIT {
            self.membership_dropped += 1;
            return;
        }
        self.pending.push(change);
    }

    /// Applies a partial update.
    pub(crate) fn apply(&mut self, change: RoomChange) {
        match change {
            RoomChange::Slow(seconds) => self.settings.slow = seconds,
            RoomChange::SubsOnly(on) => self.settings.subs_only = on,
            RoomChange::EmoteOnly(on) => self.settings.emote_only = on,
            RoomChange::FollowersOnly(minutes) => self.settings.followers_only = minutes,
        }
    }

    /// The tags of the full ROOMSTATE that answers a JOIN.
    pub(crate) fn state_tags(&self) -> String {
        let RoomSettings { emote_only, followers_only, r9k, slow, subs_only } = &self.settings;
        format!(
            "emote-only={};followers-only={followers_only};r9k={};room-id={};slow={slow};subs-only={}",
            u8::from(*emote_only),
            u8::from(*r9k),
            self.name.id,
            u8::from(*subs_only)
        )
    }
}
