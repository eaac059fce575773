//! The peer in Rust: the same envelope, made by `tmi` and by structs that serde_json writes.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use uuid::Uuid;

/// Makes envelopes of PRIVMSG lines; keeps its buffers, as ours does.
#[derive(Debug)]
pub(crate) struct TmiBuilder {
    namespace: Uuid,
    name: Vec<u8>,
}

impl TmiBuilder {
    /// A builder of envelopes whose ids are in this namespace.
    pub(crate) fn new(namespace: [u8; 16]) -> Self {
        Self { namespace: Uuid::from_bytes(namespace), name: Vec::new() }
    }

    /// Appends the envelope of a PRIVMSG; `None` where the line is another or lacks what an envelope needs.
    pub(crate) fn build(&mut self, line: &str, received_at_ms: i64, out: &mut Vec<u8>) -> Option<()> {
        let message = tmi::IrcMessageRef::parse(line)?;
        if message.command() != tmi::Command::Privmsg {
            return None;
        }
        let tags = Known::of(&message);
        let said = message.text()?;
        let (text, is_action) = match said.strip_prefix("\u{1}ACTION ") {
            Some(rest) => (rest.strip_suffix('\u{1}').unwrap_or(rest), true),
            None => (said, false),
        };
        let message_id = unescape(tags.id?);
        self.name.clear();
        self.name.extend_from_slice(b"twitch:");
        self.name.extend_from_slice(message_id.as_bytes());
        let id = Uuid::new_v5(&self.namespace, &self.name);
        let login = message.prefix()?.nick?;
        let badges = badges(tags.badges);
        let envelope = Envelope {
            v: "1",
            id: Hyphenated(id),
            correlation_id: Hyphenated(id),
            trace_id: Simple(id),
            timestamp: time(tags.tmi_sent_ts?.parse().ok()?)?,
            kind: "external.chat.message.v1",
            source: Source {
                platform: "twitch",
                channel: message.channel()?.strip_prefix('#')?,
                channel_id: tags.room_id?,
            },
            user: User {
                id: tags.user_id.unwrap_or_default(),
                name: login,
                display_name: tags.display_name.filter(|name| !name.is_empty()).map_or(Cow::Borrowed(login), unescape),
                profile_image_url: "",
                role: "",
            },
            routing_slip: [],
            finalization_destination: "internal.finalizer.v1",
            payload: Payload {
                text,
                message_id,
                is_mod: tags.is_mod == Some("1"),
                is_subscriber: tags.subscriber == Some("1")
                    || badges.iter().any(|name| matches!(*name, "subscriber" | "founder")),
                badges,
                color: tags.color.unwrap_or_default(),
                emotes: emotes(tags.emotes.unwrap_or_default(), text)?,
                gifs: [],
                is_action,
                bits: tags.bits.filter(|bits| !bits.is_empty()).map_or(Some(0), |bits| bits.parse().ok())?,
                reply: tags.reply(),
                shared_chat: tags.shared_chat(),
                received_at: time(received_at_ms)?,
                raw: Raw { line, tags: Tags(&message) },
            },
        };
        serde_json::to_writer(out, &envelope).ok()
    }
}

/// The tags that an envelope needs, found in one pass.
#[derive(Default)]
struct Known<'a> {
    badges: Option<&'a str>,
    bits: Option<&'a str>,
    color: Option<&'a str>,
    display_name: Option<&'a str>,
    emotes: Option<&'a str>,
    id: Option<&'a str>,
    is_mod: Option<&'a str>,
    room_id: Option<&'a str>,
    subscriber: Option<&'a str>,
    tmi_sent_ts: Option<&'a str>,
    user_id: Option<&'a str>,
    reply: [Option<&'a str>; 9],
    source_id: Option<&'a str>,
    source_room_id: Option<&'a str>,
    source_badges: Option<&'a str>,
    source_only: Option<&'a str>,
    source_msg_id: Option<&'a str>,
}

impl<'a> Known<'a> {
    fn of(message: &tmi::IrcMessageRef<'a>) -> Self {
        let mut known = Self::default();
        for (key, value) in message.tags() {
            let slot = match key {
                "badges" => &mut known.badges,
                "bits" => &mut known.bits,
                "color" => &mut known.color,
                "display-name" => &mut known.display_name,
                "emotes" => &mut known.emotes,
                "id" => &mut known.id,
                "mod" => &mut known.is_mod,
                "room-id" => &mut known.room_id,
                "subscriber" => &mut known.subscriber,
                "tmi-sent-ts" => &mut known.tmi_sent_ts,
                "user-id" => &mut known.user_id,
                "reply-parent-msg-id" => &mut known.reply[0],
                "reply-parent-user-id" => &mut known.reply[1],
                "reply-parent-user-login" => &mut known.reply[2],
                "reply-parent-display-name" => &mut known.reply[3],
                "reply-parent-msg-body" => &mut known.reply[4],
                "reply-thread-parent-msg-id" => &mut known.reply[5],
                "reply-thread-parent-user-id" => &mut known.reply[6],
                "reply-thread-parent-user-login" => &mut known.reply[7],
                "reply-thread-parent-display-name" => &mut known.reply[8],
                "source-id" => &mut known.source_id,
                "source-room-id" => &mut known.source_room_id,
                "source-badges" => &mut known.source_badges,
                "source-only" => &mut known.source_only,
                "source-msg-id" => &mut known.source_msg_id,
                _ => continue,
            };
            *slot = Some(value);
        }
        known
    }

    fn reply(&self) -> Option<Reply<'a>> {
        self.reply[0].filter(|id| !id.is_empty())?;
        let [
            message_id,
            user_id,
            login,
            display_name,
            text,
            thread_message_id,
            thread_user_id,
            thread_login,
            thread_display_name,
        ] = self.reply.map(|value| unescape(value.unwrap_or_default()));
        Some(Reply {
            message_id,
            user_id,
            login,
            display_name,
            text,
            thread_message_id,
            thread_user_id,
            thread_login,
            thread_display_name,
        })
    }

    fn shared_chat(&self) -> Option<SharedChat<'a>> {
        let there = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
        if !there(self.source_id) && !there(self.source_room_id) {
            return None;
        }
        Some(SharedChat {
            source_id: self.source_id.unwrap_or_default(),
            source_room_id: self.source_room_id.unwrap_or_default(),
            source_badges: badges(self.source_badges),
            source_only: self.source_only == Some("1"),
            source_notice_type: self.source_msg_id.unwrap_or_default(),
        })
    }
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    v: &'static str,
    id: Hyphenated,
    correlation_id: Hyphenated,
    trace_id: Simple,
    timestamp: String,
    #[serde(rename = "type")]
    kind: &'static str,
    source: Source<'a>,
    user: User<'a>,
    routing_slip: [(); 0],
    finalization_destination: &'static str,
    payload: Payload<'a>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Source<'a> {
    platform: &'static str,
    channel: &'a str,
    channel_id: &'a str,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    id: &'a str,
    name: &'a str,
    display_name: Cow<'a, str>,
    profile_image_url: &'static str,
    role: &'static str,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    text: &'a str,
    message_id: Cow<'a, str>,
    badges: Vec<&'a str>,
    is_mod: bool,
    is_subscriber: bool,
    color: &'a str,
    emotes: Vec<Emote<'a>>,
    /// Lines that have GIFs differ, and are not measured.
    gifs: [(); 0],
    is_action: bool,
    bits: u64,
    reply: Option<Reply<'a>>,
    shared_chat: Option<SharedChat<'a>>,
    received_at: String,
    raw: Raw<'a>,
}

#[derive(serde::Serialize)]
struct Emote<'a> {
    id: &'a str,
    start: usize,
    end: usize,
    text: &'a str,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    message_id: Cow<'a, str>,
    user_id: Cow<'a, str>,
    login: Cow<'a, str>,
    display_name: Cow<'a, str>,
    text: Cow<'a, str>,
    thread_message_id: Cow<'a, str>,
    thread_user_id: Cow<'a, str>,
    thread_login: Cow<'a, str>,
    thread_display_name: Cow<'a, str>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct SharedChat<'a> {
    source_id: &'a str,
    source_room_id: &'a str,
    source_badges: Vec<&'a str>,
    source_only: bool,
    source_notice_type: &'a str,
}

#[derive(serde::Serialize)]
struct Raw<'a> {
    line: &'a str,
    tags: Tags<'a>,
}

/// Every tag, as a map.
struct Tags<'a>(&'a tmi::IrcMessageRef<'a>);

impl Serialize for Tags<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.tags() {
            map.serialize_entry(key, &unescape(value))?;
        }
        map.end()
    }
}

/// A UUID with hyphens, written without an allocation.
struct Hyphenated(Uuid);

impl Serialize for Hyphenated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.hyphenated().encode_lower(&mut [0; 36]))
    }
}

/// A UUID without hyphens.
struct Simple(Uuid);

impl Serialize for Simple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.simple().encode_lower(&mut [0; 32]))
    }
}

fn time(ms: i64) -> Option<String> {
    Some(format!("{:.3}", Timestamp::from_millisecond(ms).ok()?))
}

fn unescape(value: &str) -> Cow<'_, str> {
    tmi::maybe_unescape(value)
}

fn badges(tag: Option<&str>) -> Vec<&str> {
    let names = tag.unwrap_or_default().split(',').map(|badge| badge.split_once('/').map_or(badge, |(name, _)| name));
    names.filter(|name| !name.is_empty()).collect()
}

/// One entry per occurrence, in the order of the text; `None` where the tag does not fit the text.
fn emotes<'a>(tag: &'a str, text: &'a str) -> Option<Vec<Emote<'a>>> {
    let mut found = Vec::new();
    if tag.is_empty() {
        return Some(found);
    }
    for group in tag.split('/') {
        let (id, ranges) = group.rsplit_once(':')?;
        for range in ranges.split(',') {
            let (start, end) = range.split_once('-')?;
            found.push(Emote { id, start: start.parse().ok()?, end: end.parse().ok()?, text: "" });
        }
    }
    found.sort_by_key(|emote| emote.start);
    // The text is walked once: occurrences do not overlap.
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]).enumerate();
    for emote in &mut found {
        let (_, from) = places.find(|(number, _)| *number == emote.start)?;
        let last = emote.end;
        let (_, to) = places.by_ref().find(|(number, _)| *number > last)?;
        emote.text = &text[from..to];
    }
    Some(found)
}
