//! The state that connections share: rooms, members, accounts, standing faults. One lock guards it, and nothing here
//! waits.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::chat::ChatLine;
use crate::config::SimConfig;
use crate::connection::{COMMANDS, Connection, MEMBERSHIP, Signal, TAGS};
use crate::fault::{Effects, Fault, Select};
use crate::ledger::{LedgerFull, Origin, Recorder};
use crate::limits::{SendBuckets, SendVerdict, Window};
use crate::outbox::Close;
use crate::random::Rng;
use crate::room::{MembershipChange, Room, RoomName};

/// The current time on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Time since the simulator started; the budgets use it.
    pub(crate) monotonic_ms: u64,
    /// Wall-clock time, for what clients see.
    pub(crate) unix_ms: i64,
}

/// The shared state.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) config: Arc<SimConfig>,
    pub(crate) rooms: Vec<Room>,
    /// Logins that no longer work.
    pub(crate) expired_logins: HashSet<String>,
    /// The clock skew of `tmi-sent-ts`.
    pub(crate) skew_ms: i64,
    recorder: Arc<Recorder>,
    by_name: HashMap<String, u32>,
    channels: Vec<Arc<str>>,
    members: BTreeMap<u64, Member>,
    accounts: HashMap<String, Account>,
    standing: Vec<Standing>,
    next_standing: u64,
    crowd: Vec<String>,
    rng: Rng,
}

#[derive(Debug)]
struct Member {
    connection: Arc<Connection>,
    rooms: BTreeSet<u32>,
    /// The account's nick; `None` where the connection is anonymous.
    account: Option<String>,
    joins: Window,
    joins_asked: u32,
}

/// The budgets of one nick over all its connections.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) auth: Window,
    joins: Window,
    send: SendBuckets,
    used_ms: u64,
}

#[derive(Debug)]
struct Standing {
    id: u64,
    select: Select,
    fault: Fault,
}

/// How many nicks are remembered; beyond that only those of the last hour.
const ACCOUNTS_LIMIT: usize = 100_000;

impl World {
    /// A world with these rooms and nobody in it.
    pub(crate) fn new(config: Arc<SimConfig>, rooms: &[RoomName], recorder: Arc<Recorder>) -> Self {
        let closed = config.closed_rooms().map(|(name, how)| (RoomName::new(name), Some(how)));
        let open = rooms.iter().map(|name| (name.clone(), None));
        let rooms: Vec<_> =
            open.chain(closed).map(|(name, closed)| Room::new(name, closed, config.room_crowd)).collect();
        let crowd = crate::chat::vocabulary::chatters(config.seed, config.room_crowd.min(200));
        World {
            by_name: rooms.iter().zip(0..).map(|(room, at)| (room.name.name.clone(), at)).collect(),
            channels: rooms.iter().map(|room| Arc::from(room.name.name.as_str())).collect(),
            rng: Rng::fork(config.seed, 4),
            crowd: crowd.into_iter().map(|chatter| chatter.login).collect(),
            config,
            rooms,
            recorder,
            expired_logins: HashSet::new(),
            skew_ms: 0,
            members: BTreeMap::new(),
            accounts: HashMap::new(),
            standing: Vec::new(),
            next_standing: 0,
        }
    }

    // -------------------------------------------------------------------------------------------- connections

    /// Registers a new connection.
    pub(crate) fn connect(&mut self, connection: &Arc<Connection>) {
        let member = Member {
            connection: connection.clone(),
            rooms: BTreeSet::new(),
            account: None,
            joins: Window::default(),
            joins_asked: 0,
        };
        self.members.insert(connection.id, member);
        self.refresh_effects(connection);
    }

    /// Removes a connection that ended.
    pub(crate) fn disconnect(&mut self, connection: &Connection) {
        let Some(member) = self.members.get(&connection.id) else { return };
        for room in member.rooms.clone() {
            self.leave_room(connection, room);
        }
        self.members.remove(&connection.id);
    }

    /// Records the connection's nick, and whether it is anonymous.
    pub(crate) fn logged_in(&mut self, connection: &Connection, nick: &str, anonymous: bool) {
        connection.registered.store(true, Ordering::Relaxed);
        if let Some(member) = self.members.get_mut(&connection.id) {
            member.account = (!anonymous).then(|| nick.to_owned());
        }
    }

    /// The open connections that a fault's selection includes.
    pub(crate) fn selected(&self, select: &Select) -> Vec<Arc<Connection>> {
        let all = self.members.values().map(|member| &member.connection);
        all.filter(|connection| connection.matches(select)).cloned().collect()
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.members.len()
    }

    /// The names of the rooms that a connection is in.
    pub(crate) fn rooms_of(&self, connection: u64) -> Vec<String> {
        let rooms = self.members.get(&connection).into_iter().flat_map(|member| &member.rooms);
        rooms.map(|room| self.rooms[*room as usize].name.name.clone()).collect()
    }

    // --------------------------------------------------------------------------------------------------- rooms

    pub(crate) fn room_number(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    /// The number of a room that a fault names.
    pub(crate) fn room(&self, name: &str) -> Result<u32, String> {
        self.room_number(name).ok_or_else(|| format!("no room {name:?}"))
    }

    pub(crate) fn is_member(&self, connection: &Connection, room: u32) -> bool {
        self.members.get(&connection.id).is_some_and(|member| member.rooms.contains(&room))
    }

    /// Adds the connection to the room: from now on it gets the room's chat.
    pub(crate) fn enter(&mut self, connection: &Arc<Connection>, number: u32) {
        let Some(member) = self.members.get_mut(&connection.id) else { return };
        if member.rooms.insert(number) {
            let room = &mut self.rooms[number as usize];
            room.members.push(connection.clone());
            let login = connection.nick().unwrap_or_default();
            room.tell(MembershipChange { login, joined: true, by: connection.id });
        }
    }

    /// Removes the connection from the room.
    pub(crate) fn exit(&mut self, connection: &Connection, room: u32) {
        if let Some(member) = self.members.get_mut(&connection.id) {
            member.rooms.remove(&room);
        }
        self.leave_room(connection, room);
    }

    fn leave_room(&mut self, connection: &Connection, room: u32) {
        let room = &mut self.rooms[room as usize];
        room.members.retain(|other| other.id != connection.id);
        let login = connection.nick().unwrap_or_default();
        room.tell(MembershipChange { login, joined: false, by: connection.id });
    }

    /// The made-up people in a room.
    pub(crate) fn names(&self, room: u32) -> &[String] {
        &self.crowd[..self.crowd.len().min(self.rooms[room as usize].crowd)]
    }

    /// Whether every room that can be joined has at least this many readers.
    pub(crate) fn all_rooms_have(&self, readers: usize) -> bool {
        self.rooms.iter().filter(|room| room.closed.is_none()).all(|room| room.members.len() >= readers)
    }

    /// Sends the JOINs and PARTs since the last call.
    pub(crate) fn flush_membership(&mut self) {
        for room in self.rooms.iter_mut().filter(|room| !room.pending.is_empty()) {
            let pending = std::mem::take(&mut room.pending);
            for member in room.members.iter().filter(|member| member.has(MEMBERSHIP)) {
                let others = pending.iter().filter(|change| change.by != member.id);
                let lines: String = others.map(|change| change.line(&room.name.name)).collect();
                member.reply(Bytes::from(lines));
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ accounts

    /// The account of a nick.
    pub(crate) fn account(&mut self, nick: &str, now_ms: u64) -> &mut Account {
        if self.accounts.len() >= ACCOUNTS_LIMIT && !self.accounts.contains_key(nick) {
            self.accounts.retain(|_, account| account.used_ms.saturating_add(3_600_000) > now_ms);
        }
        let account = self.accounts.entry(nick.to_owned()).or_default();
        account.used_ms = now_ms;
        account
    }

    /// Counts one room of a JOIN; returns false if the budget is overrun.
    pub(crate) fn admit_join(&mut self, connection: &Connection, now_ms: u64) -> bool {
        let Some(budget) = self.config.join_budget else { return true };
        let Some(member) = self.members.get_mut(&connection.id) else { return true };
        match member.account.clone() {
            None => member.joins.admit(now_ms, budget),
            Some(nick) => self.account(&nick, now_ms).joins.admit(now_ms, budget),
        }
    }

    /// Whether a fault swallows this JOIN.
    pub(crate) fn swallows_join(&mut self, connection: &Connection) -> bool {
        let Some(member) = self.members.get_mut(&connection.id) else { return false };
        member.joins_asked = member.joins_asked.wrapping_add(1);
        let asked = member.joins_asked;
        connection.outbox.effects(|effects| effects.partial_join_every.is_some_and(|every| asked.is_multiple_of(every)))
    }

    /// Whether the account may be in one more room.
    pub(crate) fn fits_room_cap(&self, connection: &Connection, room: u32) -> bool {
        let (Some(cap), Some(member)) = (self.config.room_cap, self.members.get(&connection.id)) else { return true };
        let Some(nick) = &member.account else { return true };
        if self.moderates(nick, room) {
            return true;
        }
        let same = self.members.values().filter(|other| other.account.as_ref() == Some(nick));
        let rooms: BTreeSet<_> = same.flat_map(|other| &other.rooms).copied().collect();
        rooms.contains(&room) || rooms.iter().filter(|room| !self.moderates(nick, **room)).count() < cap
    }

    /// Whether the account is moderator or broadcaster there.
    pub(crate) fn moderates(&self, nick: &str, room: u32) -> bool {
        self.rooms[room as usize].name.name == nick || self.config.moderators.iter().any(|other| other == nick)
    }

    /// Decides what happens to a message.
    pub(crate) fn send_verdict(
        &mut self,
        nick: &str,
        room: u32,
        moderates: bool,
        text: &[u8],
        now_ms: u64,
    ) -> SendVerdict {
        let limits = self.config.send_limits;
        self.account(nick, now_ms).send.send(now_ms, room, moderates, text, &limits)
    }

    /// A new id for a message that no generator made.
    pub(crate) fn new_id(&mut self) -> String {
        let mut id = Vec::with_capacity(36);
        self.rng.write_uuid(&mut id);
        String::from_utf8_lossy(&id).into_owned()
    }

    /// The random source of injected lines; the made-up chat has its own.
    pub(crate) fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    // ---------------------------------------------------------------------------------------------------- chat

    /// The time with the clock skew added.
    pub(crate) fn stamp(&self, unix_ms: i64) -> i64 {
        unix_ms.saturating_add(self.skew_ms)
    }

    /// Appends a line to the ledger and queues it for every reader of the room except its author.
    pub(crate) fn publish(
        &mut self,
        line: &ChatLine,
        origin: Origin,
        unix_ms: i64,
        author: Option<u64>,
    ) -> Result<(), LedgerFull> {
        let number = line.room as usize;
        let index = self.recorder.append(&self.channels[number], &line.bytes, unix_ms, origin)?;
        let room = &mut self.rooms[number];
        if let Some(change) = line.change {
            room.apply(change);
        }
        for reader in &room.members {
            if Some(reader.id) == author || (line.needs_commands && !reader.has(COMMANDS)) {
                continue;
            }
            if reader.has(TAGS) || line.body_at == 0 {
                reader.offer(index, &line.bytes);
            } else {
                reader.offer(index, &line.bytes.slice(line.body_at..));
            }
        }
        Ok(())
    }

    // -------------------------------------------------------------------------------------------------- faults

    /// Adds a standing fault and returns its number.
    pub(crate) fn add_standing(&mut self, select: Select, fault: Fault) -> u64 {
        self.next_standing += 1;
        self.standing.push(Standing { id: self.next_standing, select, fault });
        self.refresh_all();
        self.next_standing
    }

    /// Removes the standing faults that `ends` accepts.
    pub(crate) fn end_standing(&mut self, mut ends: impl FnMut(u64, &Select) -> bool) {
        self.standing.retain(|standing| !ends(standing.id, &standing.select));
        self.refresh_all();
    }

    fn refresh_all(&self) {
        self.members.values().for_each(|member| self.refresh_effects(&member.connection));
    }

    /// Combines the standing faults of one connection; called whenever the connection or the faults change.
    pub(crate) fn refresh_effects(&self, connection: &Connection) {
        let mut effects = Effects::default();
        for standing in self.standing.iter().filter(|standing| connection.matches(&standing.select)) {
            effects.add(&standing.fault, connection.id);
        }
        connection.outbox.set_effects(effects);
    }

    /// Ends all connections.
    pub(crate) fn close_all(&self, why: Close) {
        self.members.values().for_each(|member| member.connection.signal(Signal::Close(why)));
    }
}
