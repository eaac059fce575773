//! Messages that the generator does not make: those of clients, and the odd lines of faults.

use bytes::Bytes;

use crate::chat::ChatLine;
use crate::fault::OddLine;
use crate::line::{Line, push_escaped};
use crate::random::{Rng, push_number};
use crate::room::{RoomName, user_number};

/// A message under construction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) login: &'a str,
    pub(crate) moderator: bool,
    pub(crate) text: &'a [u8],
    pub(crate) action: bool,
    /// The id of the message that this one answers.
    pub(crate) reply_to: Option<&'a [u8]>,
    /// Tags put before all others, each with its `;`.
    pub(crate) extra_tags: &'a str,
    pub(crate) sent_ms: i64,
}

impl Message<'_> {
    /// Formats the line under this id.
    pub(crate) fn line(&self, room: u32, name: &RoomName, id: &[u8]) -> ChatLine {
        let mut out = Vec::with_capacity(512 + self.text.len());
        let mod_flag = u8::from(self.moderator);
        let badges = if self.moderator { "moderator/1" } else { "" };
        let (extra, login) = (self.extra_tags, self.login);
        let tags =
            format!("@{extra}badge-info=;badges={badges};color=;display-name={login};emotes=;first-msg=0;flags=;id=");
        out.extend_from_slice(tags.as_bytes());
        out.extend_from_slice(id);
        if let Some(parent) = self.reply_to {
            out.extend_from_slice(b";reply-parent-msg-id=");
            push_escaped(&mut out, parent);
        }
        let tags = format!(";mod={mod_flag};returning-chatter=0;room-id={};subscriber=0;tmi-sent-ts=", name.id);
        out.extend_from_slice(tags.as_bytes());
        push_number(&mut out, self.sent_ms.max(0) as u64);
        out.extend_from_slice(b";turbo=0;user-id=");
        push_number(&mut out, user_number(login) % 1_000_000_000);
        out.extend_from_slice(b";user-type= ");
        let body_at = out.len();
        out.extend_from_slice(format!(":{login}!{login}@{login}.tmi.twitch.tv PRIVMSG #{} :", name.name).as_bytes());
        if self.action {
            out.extend_from_slice(b"\x01ACTION ");
        }
        out.extend_from_slice(self.text);
        out.extend_from_slice(if self.action { b"\x01\r\n" } else { b"\r\n" });
        ChatLine { room, bytes: Bytes::from(out), body_at, needs_commands: false, change: None }
    }
}

/// Formats an odd line.
pub(crate) fn odd_line(odd: OddLine, room: u32, name: &RoomName, sent_ms: i64, rng: &mut Rng) -> ChatLine {
    let mut id = Vec::new();
    rng.write_uuid(&mut id);
    let message = Message {
        login: "odd_kettle0",
        moderator: false,
        text: b"an ordinary text",
        action: false,
        reply_to: None,
        extra_tags: "",
        sent_ms,
    };
    let ordinary = String::from_utf8_lossy(&message.line(room, name, &id).bytes).into_owned();
    match odd {
        OddLine::InvalidUtf8 => Message { text: b"broken \xff\xc3\x28 text", ..message }.line(room, name, &id),
        OddLine::Nul => Message { text: b"before\0after", ..message }.line(room, name, &id),
        OddLine::UnknownTag => {
            Message { extra_tags: "+sim/odd=a\\sb;sim-flag;sim-empty=;", ..message }.line(room, name, &id)
        }
        OddLine::OverLong(bytes) => {
            let bare = message.line(room, name, &id).bytes.len() - message.text.len() - 2;
            let text = vec![b'x'; bytes.min(OddLine::LONGEST).saturating_sub(bare)];
            Message { text: &text, ..message }.line(room, name, &id)
        }
        OddLine::UnknownCommand => bare(room, ordinary.replacen(" PRIVMSG #", " SIMTHING #", 1)),
        OddLine::NoId => bare(room, ordinary.replacen(&tag("id", &id), "id=;", 1)),
        OddLine::NoIdentity => {
            let sent = tag("tmi-sent-ts", sent_ms.max(0).to_string().as_bytes());
            bare(room, ordinary.replacen(&tag("id", &id), "", 1).replacen(&sent, "", 1))
        }
        OddLine::NoHash => bare(
            room,
            format!(
                "@ban-duration=1;room-id={};target-user-id=1;tmi-sent-ts={sent_ms} :tmi.twitch.tv CLEARCHAT {} \
                 :odd_kettle0\r\n",
                name.id, name.name
            ),
        ),
        OddLine::NoChannel => bare(room, ordinary.replacen(&format!(" PRIVMSG #{} ", name.name), " PRIVMSG ", 1)),
        OddLine::NoCommand => bare(room, format!("{}\r\n", ordinary.split(' ').next().unwrap_or_default())),
    }
}

fn tag(key: &str, value: &[u8]) -> String {
    format!("{key}={};", String::from_utf8_lossy(value))
}

/// A line that all readers of the room get unchanged.
fn bare(room: u32, line: String) -> ChatLine {
    let body_at = Line::split(line.trim_end().as_bytes()).body_at;
    ChatLine { room, bytes: Bytes::from(line), body_at, needs_commands: false, change: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An over-long line has the length that was asked for, and every odd line still names its room and its id, but for
    /// those that are odd for not doing so.
    #[test]
    fn odd_lines_are_as_odd_as_asked() {
        let name = RoomName::new("room");
        let odds = [
            OddLine::InvalidUtf8,
            OddLine::Nul,
            OddLine::UnknownTag,
            OddLine::UnknownCommand,
            OddLine::OverLong(20_000),
            OddLine::NoId,
            OddLine::NoIdentity,
            OddLine::NoHash,
            OddLine::NoChannel,
            OddLine::NoCommand,
        ];
        for odd in odds {
            let line = odd_line(odd, 0, &name, 1, &mut Rng::new(1));
            let raw = &line.bytes[..line.bytes.len() - 2];
            let parsed = Line::split(raw);
            let nowhere = matches!(odd, OddLine::NoHash | OddLine::NoChannel | OddLine::NoCommand);
            assert_eq!(parsed.channel(), Some(&b"room"[..]).filter(|_| !nowhere), "{odd:?}");
            let nobody = matches!(odd, OddLine::NoId | OddLine::NoIdentity | OddLine::NoHash);
            assert_eq!(parsed.id().map(<[u8]>::len), Some(36).filter(|_| !nobody), "{odd:?}");
            assert_eq!(parsed.body_at, line.body_at, "{odd:?}");
            match odd {
                OddLine::InvalidUtf8 => assert!(std::str::from_utf8(raw).is_err()),
                OddLine::Nul => assert!(raw.contains(&0)),
                OddLine::UnknownTag => assert_eq!(parsed.tag(b"sim-flag"), Some(&b""[..])),
                OddLine::UnknownCommand => assert_eq!(parsed.command, b"SIMTHING"),
                OddLine::OverLong(bytes) => assert_eq!(raw.len(), bytes),
                OddLine::NoId => assert_eq!(parsed.tag(b"tmi-sent-ts"), Some(&b"1"[..])),
                OddLine::NoIdentity => assert_eq!(parsed.tag(b"tmi-sent-ts"), None),
                OddLine::NoHash => assert_eq!(parsed.params().next(), Some(&b"room"[..])),
                OddLine::NoChannel => assert_eq!(parsed.params().next(), Some(&b"an ordinary text"[..])),
                OddLine::NoCommand => assert_eq!(parsed.command, b""),
            }
        }
    }
}
