//! Writes the payloads of the four types that a line can have.

use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tenure_irc::Message;

use crate::anomaly::{Anomalies, Anomaly};
use crate::emotes::{self, Occurrence};
use crate::gifs;
use crate::json::{self, Escaping};
use crate::line_escaping::LineEscaping;
use crate::tags::{Key, Scratch, Values, parse_number};
use crate::time::rfc3339;

/// The parts that a payload is built from.
pub(crate) struct Parts<'a, 'l> {
    pub(crate) line: &'a Message<'l>,
    /// The line's text: what was said, or who or what a moderation is about; still with the wrapper that `/me` puts
    /// around it.
    pub(crate) text: Option<&'l [u8]>,
    pub(crate) values: &'a Values<'l>,
    pub(crate) escaping: LineEscaping,
    pub(crate) scratch: &'a Scratch,
    pub(crate) emotes: &'a mut Vec<Occurrence>,
    pub(crate) anomalies: &'a mut Anomalies,
}

impl Parts<'_, '_> {
    /// PRIVMSG: what was said.
    pub(crate) fn message(&mut self, out: &mut Vec<u8>) {
        self.anomalies.add_if(self.text.is_none(), Anomaly::MissingText);
        self.said(Offsets::FromText, out);
        self.reply(out);
        self.shared_chat(out);
    }

    /// USERNOTICE: what happened, and what was said about it.
    pub(crate) fn notice(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"noticeType\":\"");
        self.values.write(Key::MsgId, out);
        out.extend_from_slice(b"\",\"systemText\":\"");
        self.values.write(Key::SystemMsg, out);
        out.extend_from_slice(b"\",\"params\":");
        self.scratch.write_params(out);
        out.push(b',');
        self.said(Offsets::FromWrapper, out);
        self.shared_chat(out);
    }

    /// CLEARCHAT and CLEARMSG: what was taken away.
    pub(crate) fn moderation(&mut self, out: &mut Vec<u8>) {
        let text = self.text.unwrap_or_default();
        let single = self.line.command() == b"CLEARMSG";
        let action: &[u8] = match (single, self.values.get(Key::BanDuration)) {
            (true, _) => b"delete",
            (false, _) if text.is_empty() => b"clear",
            (false, Some(_)) => b"timeout",
            (false, None) => b"ban",
        };
        out.extend_from_slice(b"\"action\":\"");
        out.extend_from_slice(action);
        out.extend_from_slice(b"\",\"targetUserId\":\"");
        self.values.write(Key::TargetUserId, out);
        out.extend_from_slice(b"\",\"targetLogin\":\"");
        if single {
            self.values.write(Key::Login, out);
        } else {
            json::text(out, text, self.escaping.rest);
        }
        out.extend_from_slice(b"\",\"targetMessageId\":\"");
        self.values.write(Key::TargetMsgId, out);
        out.extend_from_slice(b"\",\"durationSeconds\":");
        match self.number(Key::BanDuration) {
            Some(seconds) => json::number(out, seconds),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"text\":\"");
        if single {
            json::text(out, without_action(text).0, self.escaping.rest);
        }
        out.push(b'"');
    }

    /// ROOMSTATE: the settings that the line holds.
    pub(crate) fn room(&mut self, out: &mut Vec<u8>) {
        let before = out.len();
        for (name, key) in [("emoteOnly", Key::EmoteOnly), ("r9k", Key::R9k), ("subsOnly", Key::SubsOnly)] {
            if self.values.get(key).is_some() {
                self.setting(name, before, out);
                json::boolean(out, self.values.flag(key));
            }
        }
        // Twitch says -1 where followers-only mode is off.
        if self.values.get(Key::FollowersOnly) == Some(b"-1") {
            self.setting("followersOnlyMinutes", before, out);
            out.extend_from_slice(b"-1");
        } else if let Some(minutes) = self.number(Key::FollowersOnly) {
            self.setting("followersOnlyMinutes", before, out);
            json::number(out, minutes);
        }
        if let Some(seconds) = self.number(Key::Slow) {
            self.setting("slowSeconds", before, out);
            json::number(out, seconds);
        }
    }

    /// Writes what every payload ends with, and ends the envelope.
    pub(crate) fn finish(&mut self, received_at_ms: u64, out: &mut Vec<u8>) {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(b"\"receivedAt\":\"");
        out.extend_from_slice(&rfc3339(received_at_ms));
        out.extend_from_slice(b"\",\"raw\":{\"line");
        if self.escaping.line == Escaping::Repair {
            out.extend_from_slice(b"Base64\":\"");
            base64(self.line.raw(), out);
        } else {
            out.extend_from_slice(b"\":\"");
            json::text(out, self.line.raw(), self.escaping.line);
        }
        out.extend_from_slice(b"\",\"tags\":");
        self.scratch.write_members(out);
        out.push(b'}');
        self.anomalies.write(out);
        out.extend_from_slice(b"}}");
    }

    /// Writes what message and notice have in common.
    fn said(&mut self, offsets: Offsets, out: &mut Vec<u8>) {
        let values = self.values;
        let (text, is_action) = without_action(self.text.unwrap_or_default());
        out.extend_from_slice(b"\"text\":\"");
        json::text(out, text, self.escaping.rest);
        out.extend_from_slice(b"\",\"messageId\":\"");
        values.write(Key::Id, out);
        out.extend_from_slice(b"\",\"badges\":");
        let holder = badges(values.text(Key::Badges), values.escaping(), out);
        out.extend_from_slice(b",\"isMod\":");
        json::boolean(out, holder.moderates || values.flag(Key::Mod));
        out.extend_from_slice(b",\"isSubscriber\":");
        json::boolean(out, holder.subscribed || values.flag(Key::Subscriber));
        out.extend_from_slice(b",\"color\":\"");
        let color = values.text(Key::Color);
        if is_color(color) {
            out.extend_from_slice(color);
        } else {
            self.anomalies.add_if(!color.is_empty(), Anomaly::BadColor);
        }
        out.extend_from_slice(b"\",\"emotes\":");
        let tags = (values.text(Key::Emotes), values.text(Key::Gifs));
        let lead = if is_action && offsets == Offsets::FromWrapper { WRAPPER_LEAD } else { 0 };
        match core::str::from_utf8(text) {
            Ok(valid) => self.pictures(tags, (valid, self.escaping.rest), lead, out),
            Err(_) if tags.0.is_empty() && tags.1.is_empty() => {
                out.extend_from_slice(b"[]");
                out.extend_from_slice(gifs::NONE);
            }
            Err(_) => self.pictures(tags, (&String::from_utf8_lossy(text), Escaping::Escape), lead, out),
        }
        out.extend_from_slice(b",\"isAction\":");
        json::boolean(out, is_action);
        out.extend_from_slice(b",\"bits\":");
        json::number(out, self.number(Key::Bits).unwrap_or(0));
    }

    /// Writes the emotes and the GIFs of a text, from the opening bracket of the former on.
    fn pictures(&mut self, (emotes, gifs): (&[u8], &[u8]), text: (&str, Escaping), lead: usize, out: &mut Vec<u8>) {
        let escaping = self.values.escaping();
        emotes::write(out, (emotes, escaping), text, lead, self.emotes, self.anomalies);
        gifs::write(out, (gifs, escaping), text.0, self.anomalies);
    }

    fn reply(&self, out: &mut Vec<u8>) {
        const MEMBERS: [(&[u8], Key); 9] = [
            (b",\"reply\":{\"messageId\":\"", Key::ReplyParentMsgId),
            (b"\",\"userId\":\"", Key::ReplyParentUserId),
            (b"\",\"login\":\"", Key::ReplyParentUserLogin),
            (b"\",\"displayName\":\"", Key::ReplyParentDisplayName),
            (b"\",\"text\":\"", Key::ReplyParentMsgBody),
            (b"\",\"threadMessageId\":\"", Key::ReplyThreadParentMsgId),
            (b"\",\"threadUserId\":\"", Key::ReplyThreadParentUserId),
            (b"\",\"threadLogin\":\"", Key::ReplyThreadParentUserLogin),
            (b"\",\"threadDisplayName\":\"", Key::ReplyThreadParentDisplayName),
        ];
        if self.values.get(Key::ReplyParentMsgId).is_none() {
            return out.extend_from_slice(b",\"reply\":null");
        }
        for (member, key) in MEMBERS {
            out.extend_from_slice(member);
            self.values.write(key, out);
        }
        out.extend_from_slice(b"\"}");
    }

    fn shared_chat(&self, out: &mut Vec<u8>) {
        let values = self.values;
        if values.get(Key::SourceRoomId).is_none() && values.get(Key::SourceId).is_none() {
            return out.extend_from_slice(b",\"sharedChat\":null");
        }
        out.extend_from_slice(b",\"sharedChat\":{\"sourceId\":\"");
        values.write(Key::SourceId, out);
        out.extend_from_slice(b"\",\"sourceRoomId\":\"");
        values.write(Key::SourceRoomId, out);
        out.extend_from_slice(b"\",\"sourceBadges\":");
        badges(values.text(Key::SourceBadges), values.escaping(), out);
        out.extend_from_slice(b",\"sourceOnly\":");
        json::boolean(out, values.flag(Key::SourceOnly));
        out.extend_from_slice(b",\"sourceNoticeType\":\"");
        values.write(Key::SourceMsgId, out);
        out.extend_from_slice(b"\"}");
    }

    fn setting(&self, name: &str, before: usize, out: &mut Vec<u8>) {
        if out.len() > before {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
    }

    /// The tag's number; `None` where it is absent, or is no number that every JSON reader can hold, which is noted.
    fn number(&mut self, key: Key) -> Option<u64> {
        let digits = self.values.get(key)?;
        let number = parse_number(digits).filter(|number| *number < 1 << 53);
        self.anomalies.add_if(number.is_none(), Anomaly::BadNumber);
        number
    }
}

/// The place from which Twitch counts the emote ranges of a text that was said with `/me`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offsets {
    /// From the beginning of the text: PRIVMSG.
    FromText,
    /// From within the wrapper, so that ranges are shifted to the right: USERNOTICE (twitchdev/issues#175).
    FromWrapper,
}

/// By how many code points the ranges are shifted: `ACTION` and the space behind it.
const WRAPPER_LEAD: usize = 7;

/// The text without the wrapper that `/me` puts around it, and whether there was one.
fn without_action(text: &[u8]) -> (&[u8], bool) {
    let Some(rest) = text.strip_prefix(b"\x01ACTION") else { return (text, false) };
    let inner = rest.strip_suffix(b"\x01").unwrap_or(rest);
    match inner {
        [] => (inner, true),
        [b' ', said @ ..] => (said, true),
        _ => (text, false),
    }
}

/// What a user's badges say of the user.
#[derive(Default)]
struct BadgeRoles {
    subscribed: bool,
    /// Also true for lead moderators, who come without the tag `mod`.
    moderates: bool,
}

/// Writes the names of `name/version,name/version`.
fn badges(tag: &[u8], escaping: Escaping, out: &mut Vec<u8>) -> BadgeRoles {
    let mut holder = BadgeRoles::default();
    out.push(b'[');
    let mut separator: &[u8] = b"\"";
    for badge in tag.split(|byte| *byte == b',') {
        let name = badge.split(|byte| *byte == b'/').next().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        match name {
            b"subscriber" | b"founder" => holder.subscribed = true,
            b"moderator" | b"lead_moderator" => holder.moderates = true,
            _ => {}
        }
        out.extend_from_slice(separator);
        json::tag_value(out, name, escaping);
        out.push(b'"');
        separator = b",\"";
    }
    out.push(b']');
    holder
}

fn is_color(color: &[u8]) -> bool {
    matches!(color, [b'#', digits @ ..] if digits.len() == 6 && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Writes base64 without an allocation: three bytes at a time into four characters.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, b'=');
    // The room is exactly what the encoding takes.
    let written = STANDARD.encode_slice(bytes, &mut out[start..]).unwrap_or(0);
    out.truncate(start + written);
}
