//! A chat room: its name, its settings, who reads it.

use std::fmt;
use std::sync::Arc;

use crate::connection::Connection;
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
    /// Whether the room exists but cannot be joined.
    pub(crate) suspended: bool,
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
    pub(crate) fn new(name: RoomName, suspended: bool, crowd: usize) -> Self {
        let settings = RoomSettings::default();
        Room { name, settings, suspended, members: Vec::new(), crowd, pending: Vec::new(), membership_dropped: 0 }
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
