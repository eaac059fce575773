//! The server's side of the protocol for one connection: takes a line, queues replies, changes the world.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::config::is_login;
use crate::connection::{COMMANDS, Connection, MEMBERSHIP, TAGS};
use crate::fault::Closed;
use crate::limits::SendVerdict;
use crate::line::Line;
use crate::message::Message;
use crate::outbox::Close;
use crate::room::user_number;
use crate::world::{Now, World};

/// The longest message in characters; the rest is cut off.
const TEXT_LIMIT: usize = 500;

/// The identity of a connection, and what it has asked for so far.
#[derive(Debug)]
pub(crate) struct Session {
    connection: Arc<Connection>,
    pass: Option<Vec<u8>>,
    nick: Option<String>,
    /// Set when the client is welcomed.
    login: Option<Login>,
    replies: String,
}

#[derive(Clone, Debug)]
struct Login {
    nick: String,
    anonymous: bool,
}

impl Session {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Session { connection, pass: None, nick: None, login: None, replies: String::new() }
    }

    /// Handles one line. `Some` means that the connection ends once the replies are sent.
    pub(crate) fn line(&mut self, world: &mut World, line: &[u8], now: Now) -> Option<Close> {
        let parsed = Line::split(line);
        let first = parsed.params().next().unwrap_or_default();
        let close = match parsed.command.to_ascii_uppercase().as_slice() {
            b"" | b"USER" => None,
            b"CAP" => self.cap(&parsed),
            b"PASS" => {
                if self.login.is_none() {
                    self.pass = Some(first.to_vec());
                }
                self.try_login(world, now)
            }
            b"NICK" => self.nick(world, first, now),
            b"PING" => self.ping(parsed.params().next()),
            b"PONG" => {
                self.connection.pongs.fetch_add(1, Ordering::Relaxed);
                None
            }
            b"QUIT" => Some(Close::Client),
            command if self.login.is_some() => match command {
                b"JOIN" => self.join(world, first, now),
                b"PART" => self.part(world, first),
                b"PRIVMSG" => self.privmsg(world, &parsed, now),
                _ => self.unknown(command),
            },
            _ => None,
        };
        self.send();
        close
    }

    /// Queues all replies so far as one write.
    fn send(&mut self) {
        if !self.replies.is_empty() {
            self.connection.reply(Bytes::copy_from_slice(self.replies.as_bytes()));
            self.replies.clear();
        }
    }

    /// Adds a reply, with its tags if the client asked for tags.
    fn push(&mut self, tags: &str, line: std::fmt::Arguments<'_>) {
        if !tags.is_empty() && self.connection.has(TAGS) {
            let _ = write!(self.replies, "@{tags} ");
        }
        let _ = write!(self.replies, "{line}\r\n");
    }

    fn cap(&mut self, line: &Line<'_>) -> Option<Close> {
        const KNOWN: [(&str, u8); 3] =
            [("twitch.tv/commands", COMMANDS), ("twitch.tv/membership", MEMBERSHIP), ("twitch.tv/tags", TAGS)];
        let mut params = line.params();
        match params.next().unwrap_or_default().to_ascii_uppercase().as_slice() {
            b"LS" => {
                let names = KNOWN.map(|(name, _)| name).join(" ");
                self.push("", format_args!(":tmi.twitch.tv CAP * LS :{names}"));
            }
            b"LIST" => {
                let held = KNOWN.iter().filter(|(_, cap)| self.connection.has(*cap));
                let names = held.map(|(name, _)| *name).collect::<Vec<_>>().join(" ");
                self.push("", format_args!(":tmi.twitch.tv CAP * LIST :{names}"));
            }
            b"REQ" => {
                let asked: Vec<_> = params.map(String::from_utf8_lossy).collect();
                let asked = asked.join(" ");
                let asked = asked.trim();
                let caps: Option<u8> = asked
                    .split_whitespace()
                    .map(|name| KNOWN.iter().find(|(known, _)| *known == name).map(|(_, cap)| *cap))
                    .try_fold(0, |all, cap| cap.map(|cap| all | cap));
                let verdict = match caps {
                    Some(caps) => {
                        self.connection.caps.fetch_or(caps, Ordering::Relaxed);
                        "ACK"
                    }
                    None => "NAK",
                };
                self.push("", format_args!(":tmi.twitch.tv CAP * {verdict} :{asked}"));
            }
            _ => {}
        }
        None
    }

    fn nick(&mut self, world: &mut World, nick: &[u8], now: Now) -> Option<Close> {
        if self.login.is_some() {
            return None;
        }
        if !is_login(nick) {
            return self.refuse("Improperly formatted auth");
        }
        let nick = String::from_utf8_lossy(nick).to_ascii_lowercase();
        let strict = world.config.strict_login_order && self.pass.is_none() && !is_anonymous(&nick);
        if strict {
            return self.refuse("Improperly formatted auth");
        }
        self.connection.set_nick(&nick);
        self.nick = Some(nick);
        world.refresh_effects(&self.connection);
        self.try_login(world, now)
    }

    fn refuse(&mut self, why: &str) -> Option<Close> {
        self.push("", format_args!(":tmi.twitch.tv NOTICE * :{why}"));
        Some(Close::LoginFailed)
    }

    /// Logs in as soon as the nick and, for an account, the token are known, in any order.
    fn try_login(&mut self, world: &mut World, now: Now) -> Option<Close> {
        let nick = self.nick.clone().filter(|_| self.login.is_none())?;
        let anonymous = is_anonymous(&nick);
        if !anonymous && self.pass.is_none() {
            return None;
        }
        if let Some(budget) = world.config.auth_budget
            && !world.account(&nick, now.monotonic_ms).auth.admit(now.monotonic_ms, budget)
        {
            return Some(Close::AuthBudget);
        }
        if !anonymous {
            let Some(token) = self.pass.as_deref().and_then(|pass| pass.strip_prefix(b"oauth:")) else {
                return self.refuse("Improperly formatted auth");
            };
            let bad = world.config.bad_tokens.iter().any(|bad| bad.as_bytes() == token);
            if bad || token.is_empty() || world.expired_logins.contains(&nick) {
                return self.refuse("Login authentication failed");
            }
        }
        for (numeric, text) in [
            ("001", ":Welcome, GLHF!"),
            ("002", ":Your host is tmi.twitch.tv"),
            ("003", ":This server is rather new"),
            ("004", ":-"),
            ("375", ":-"),
            ("372", ":You are in a maze of twisty passages, all alike."),
            ("376", ":>"),
        ] {
            self.push("", format_args!(":tmi.twitch.tv {numeric} {nick} {text}"));
        }
        if !anonymous && self.connection.has(COMMANDS) {
            let id = user_number(&nick) % 1_000_000_000;
            let tags = format!("badge-info=;badges=;color=;display-name={nick};emote-sets=0;user-id={id};user-type=");
            self.push(&tags, format_args!(":tmi.twitch.tv GLOBALUSERSTATE"));
        }
        world.logged_in(&self.connection, &nick, anonymous);
        self.login = Some(Login { nick, anonymous });
        None
    }

    /// A bare PING, as web clients send it, gets a bare PONG, because some clients understand no other.
    fn ping(&mut self, text: Option<&[u8]>) -> Option<Close> {
        if !self.connection.outbox.effects(|effects| effects.mute_pongs) {
            match text.map(String::from_utf8_lossy) {
                Some(text) => self.push("", format_args!(":tmi.twitch.tv PONG tmi.twitch.tv :{text}")),
                None => self.push("", format_args!("PONG")),
            }
        }
        None
    }

    fn unknown(&mut self, command: &[u8]) -> Option<Close> {
        let nick = self.login.as_ref().map_or("*", |login| &login.nick).to_owned();
        let command = String::from_utf8_lossy(command);
        self.push("", format_args!(":tmi.twitch.tv 421 {nick} {command} :Unknown command"));
        None
    }

    fn join(&mut self, world: &mut World, names: &[u8], now: Now) -> Option<Close> {
        let login = self.login.clone()?;
        for name in names.split(|byte| *byte == b',') {
            let Some(name) = name.strip_prefix(b"#") else { continue };
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            if !world.admit_join(&self.connection, now.monotonic_ms) {
                return Some(Close::JoinBudget);
            }
            if world.swallows_join(&self.connection) {
                continue;
            }
            // A JOIN of a room that does not exist gets no answer.
            let Some(room) = world.room_number(&name) else { continue };
            if let Some(how) = world.rooms[room as usize].closed {
                self.refuse_join(&name, how);
                continue;
            }
            if world.is_member(&self.connection, room) {
                continue;
            }
            if !world.fits_room_cap(&self.connection, room) {
                if self.connection.has(COMMANDS) {
                    let notice = format_args!(
                        ":tmi.twitch.tv NOTICE #{name} :You are connected to too many chat channels. Please leave one and \
                         try again."
                    );
                    self.push("msg-id=msg_concurrent_channel_limit_reached", notice);
                }
                continue;
            }
            self.join_one(world, &login, room);
            // The replies are queued before the room's chat can reach the connection.
            self.send();
            world.enter(&self.connection, room);
        }
        None
    }

    fn refuse_join(&mut self, name: &str, how: Closed) {
        let (tags, text) = match how {
            Closed::Renamed => return,
            Closed::Suspended => {
                ("msg-id=msg_channel_suspended", "This channel does not exist or has been suspended.".to_owned())
            }
            Closed::Banned => ("msg-id=msg_banned", format!("You are permanently banned from talking in {name}.")),
        };
        if self.connection.has(COMMANDS) {
            self.push(tags, format_args!(":tmi.twitch.tv NOTICE #{name} :{text}"));
        }
    }

    fn join_one(&mut self, world: &mut World, login: &Login, number: u32) {
        let room = &world.rooms[number as usize];
        let (nick, name) = (&login.nick, &room.name.name);
        self.push("", format_args!(":{nick}!{nick}@{nick}.tmi.twitch.tv JOIN #{name}"));
        let everyone = self.connection.has(MEMBERSHIP) && room.tells_membership();
        if everyone {
            for names in world.names(number).chunks(20) {
                self.push("", format_args!(":{nick}.tmi.twitch.tv 353 {nick} = #{name} :{}", names.join(" ")));
            }
        }
        self.push("", format_args!(":{nick}.tmi.twitch.tv 353 {nick} = #{name} :{nick}"));
        self.push("", format_args!(":{nick}.tmi.twitch.tv 366 {nick} #{name} :End of /NAMES list"));
        if self.connection.has(COMMANDS) {
            if !login.anonymous {
                let tags = self.user_state(world, number, None);
                self.push(&tags, format_args!(":tmi.twitch.tv USERSTATE #{name}"));
            }
            self.push(&room.state_tags(), format_args!(":tmi.twitch.tv ROOMSTATE #{name}"));
        }
    }

    fn user_state(&self, world: &World, room: u32, id: Option<&str>) -> String {
        let nick = self.login.as_ref().map_or("", |login| &login.nick);
        let moderates = world.moderates(nick, room);
        let badges = if moderates { "moderator/1" } else { "" };
        let id = id.map(|id| format!("id={id};")).unwrap_or_default();
        let (flag, kind) = if moderates { (1, "mod") } else { (0, "") };
        format!(
            "badge-info=;badges={badges};color=;display-name={nick};emote-sets=0;{id}mod={flag};subscriber=0;user-type={kind}"
        )
    }

    fn part(&mut self, world: &mut World, names: &[u8]) -> Option<Close> {
        let nick = self.login.as_ref()?.nick.clone();
        for name in names.split(|byte| *byte == b',') {
            let name = String::from_utf8_lossy(name.strip_prefix(b"#").unwrap_or(name)).to_ascii_lowercase();
            let Some(room) = world.room_number(&name).filter(|room| world.is_member(&self.connection, *room)) else {
                continue;
            };
            world.exit(&self.connection, room);
            self.push("", format_args!(":{nick}!{nick}@{nick}.tmi.twitch.tv PART #{name}"));
        }
        None
    }

    /// Sends an account's message to all others in the room; the author gets only a USERSTATE.
    fn privmsg(&mut self, world: &mut World, line: &Line<'_>, now: Now) -> Option<Close> {
        let login = self.login.clone().filter(|login| !login.anonymous)?;
        let name = String::from_utf8_lossy(line.channel()?).to_ascii_lowercase();
        let room = world.room_number(&name)?;
        let text = line.params().nth(1).filter(|text| !text.is_empty())?;
        let wrapped = text.strip_prefix(b"\x01ACTION ").map(|text| text.strip_suffix(b"\x01").unwrap_or(text));
        let me = text.strip_prefix(b"/me ").or_else(|| text.strip_prefix(b".me "));
        let (text, action) = wrapped.or(me).map_or((text, false), |text| (text, true));
        if !action && text[0] == b'/' {
            let word = String::from_utf8_lossy(text.split(|byte| *byte == b' ').next()?).into_owned();
            let notice = format_args!(":tmi.twitch.tv NOTICE #{name} :Unrecognized command: {word}");
            self.push("msg-id=unrecognized_cmd", notice);
            return None;
        }
        let text = String::from_utf8_lossy(text).chars().take(TEXT_LIMIT).collect::<String>();
        let moderates = world.moderates(&login.nick, room);
        match world.send_verdict(&login.nick, room, moderates, text.as_bytes(), now.monotonic_ms) {
            SendVerdict::Ignored => return None,
            SendVerdict::Duplicate => {
                let notice = format_args!(
                    ":tmi.twitch.tv NOTICE #{name} :Your message was not sent because it is identical to the previous \
                     one you sent, less than 30 seconds ago."
                );
                self.push("msg-id=msg_duplicate", notice);
                return None;
            }
            SendVerdict::Sent => {}
        }
        let id = world.new_id();
        let message = Message {
            login: &login.nick,
            moderator: moderates,
            text: text.as_bytes(),
            action,
            reply_to: line.tag(b"reply-parent-msg-id").filter(|id| !id.is_empty()),
            extra_tags: "",
            sent_ms: world.stamp(now.unix_ms),
        };
        let chat = message.line(room, &world.rooms[room as usize].name, id.as_bytes());
        world.publish(&chat, crate::ledger::Origin::Client, now.unix_ms, Some(self.connection.id)).ok()?;
        if self.connection.has(COMMANDS) {
            let mut tags = self.user_state(world, room, Some(&id));
            if let Some(nonce) = line.tag(b"client-nonce") {
                tags = format!("{};client-nonce={}", tags, String::from_utf8_lossy(nonce));
            }
            self.push(&tags, format_args!(":tmi.twitch.tv USERSTATE #{name}"));
        }
        None
    }
}

/// Whether this nick reads without an account.
pub(crate) fn is_anonymous(nick: &str) -> bool {
    nick.strip_prefix("justinfan")
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}
