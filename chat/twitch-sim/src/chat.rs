//! Chat from a seed, in the measured shape of real chat: sizes, emotes, replies, shared chat, moderation.
//!
//! Two generators with the same seed and rooms give the same lines apart from `tmi-sent-ts`, whoever listens and
//! whatever fails meanwhile.

mod events;
mod text;
pub(crate) mod vocabulary;

use std::sync::Arc;

use bytes::Bytes;

use crate::chat::text::Text;
use crate::chat::vocabulary::{Chatter, Emote};
use crate::line::push_escaped;
use crate::random::{Rng, push_number};
use crate::room::{RoomChange, RoomName};

/// One line of chat, formatted once for all its readers.
#[derive(Clone, Debug)]
pub(crate) struct ChatLine {
    /// The room's number.
    pub(crate) room: u32,
    /// The whole line with CR LF.
    pub(crate) bytes: Bytes,
    /// Where the line's body begins, behind its tags; readers without the tags capability get the body alone.
    pub(crate) body_at: usize,
    /// Whether only readers with the commands capability get the line.
    pub(crate) needs_commands: bool,
    /// The room setting that the line announces as changed.
    pub(crate) change: Option<RoomChange>,
}

/// Generates chat lines.
#[derive(Debug)]
pub(crate) struct Chat {
    rng: Rng,
    rooms: Arc<[RoomName]>,
    people: Vec<Chatter>,
    emotes: Vec<Emote>,
    /// The last message of each room, for replies and deletions.
    last: Vec<Option<Said>>,
    text: Text,
    scratch: Vec<u8>,
    ids: Vec<u8>,
    /// The time of the last line without an id. Such lines are told apart by their time alone, so no two may share one.
    last_idless_ms: i64,
}

#[derive(Clone, Debug)]
struct Said {
    id: [u8; 36],
    by: usize,
    text: Vec<u8>,
}

impl Chat {
    /// The chat of this seed in these rooms; `people` is the size of the crowd.
    pub(crate) fn new(seed: u64, rooms: Arc<[RoomName]>, people: usize) -> Self {
        Chat {
            rng: Rng::fork(seed, 3),
            last: vec![None; rooms.len()],
            rooms,
            people: vocabulary::chatters(seed, people.max(2)),
            emotes: vocabulary::emotes(seed),
            text: Text::default(),
            scratch: Vec::with_capacity(4096),
            ids: Vec::new(),
            last_idless_ms: 0,
        }
    }

    /// Appends the next line, or several where one message goes to rooms that share their chat; nothing if there are no
    /// rooms.
    pub(crate) fn next(&mut self, now_ms: i64, out: &mut Vec<ChatLine>) {
        if self.rooms.is_empty() {
            return;
        }
        let room = self.rng.skewed(self.rooms.len());
        match self.rng.below(1000) {
            0..10 => out.push(self.usernotice(room, now_ms)),
            10..14 => out.push(self.clearchat(room, now_ms)),
            14..16 => out.extend(self.clearmsg(room, now_ms)),
            16..17 => out.push(self.roomstate(room)),
            17..22 if self.rooms.len() > 1 => self.shared(room, now_ms, out),
            _ => {
                let by = self.rng.skewed(self.people.len());
                let reply = self.rng.per_mille(15).then(|| self.last[room].clone()).flatten();
                let action = self.rng.per_mille(3);
                self.generate(reply.as_ref());
                out.push(self.message(room, by, now_ms, reply.as_ref(), action, None));
            }
        }
    }

    fn generate(&mut self, reply: Option<&Said>) {
        let mention = reply.map(|said| self.people[said.by].display_name.as_str());
        self.text.generate(&mut self.rng, &self.emotes, mention);
    }

    /// The same message in two or three rooms: each copy with its own id, all naming the source.
    fn shared(&mut self, room: usize, now_ms: i64, out: &mut Vec<ChatLine>) {
        let by = self.rng.skewed(self.people.len());
        self.generate(None);
        let mut source = [0; 36];
        self.fill_id(&mut source);
        let copies = 2 + self.rng.below(2.min(self.rooms.len() - 1));
        for nth in 0..copies {
            let target = (room + nth) % self.rooms.len();
            let line = self.message(target, by, now_ms, None, false, Some((source, room)));
            out.push(line);
        }
    }

    fn fill_id(&mut self, id: &mut [u8; 36]) {
        self.ids.clear();
        self.rng.write_uuid(&mut self.ids);
        id.copy_from_slice(&self.ids);
    }

    fn message(
        &mut self,
        room: usize,
        by: usize,
        now_ms: i64,
        reply: Option<&Said>,
        action: bool,
        source: Option<([u8; 36], usize)>,
    ) -> ChatLine {
        let mut id = [0; 36];
        match source {
            // The copy in the room where it was written keeps the id.
            Some((source, origin)) if origin == room => id = source,
            _ => self.fill_id(&mut id),
        }
        let Chat { rng, people, rooms, scratch, text, emotes, .. } = self;
        let (who, name) = (&people[by], &rooms[room]);
        scratch.clear();
        tag(scratch, b"@badge-info=", who.badge_info.as_bytes());
        tag(scratch, b";badges=", who.badges.as_bytes());
        if rng.per_mille(5) && !action {
            scratch.extend_from_slice(b";bits=");
            push_number(scratch, [1, 10, 50, 100, 500, 1000][rng.below(6)]);
        }
        if rng.per_mille(600) {
            scratch.extend_from_slice(b";client-nonce=");
            rng.write_hex(scratch, 32);
        }
        tag(scratch, b";color=", who.color.as_bytes());
        tag(scratch, b";display-name=", who.display_name.as_bytes());
        scratch.extend_from_slice(b";emotes=");
        text.write_emotes(scratch, emotes);
        tag(scratch, b";first-msg=", flag(rng.per_mille(8)));
        tag(scratch, b";flags=", if rng.per_mille(10) { b"0-2:P.3" } else { b"" });
        tag(scratch, b";id=", &id);
        tag(scratch, b";mod=", flag(who.moderator));
        if let Some(said) = reply {
            write_reply(scratch, said, &people[said.by]);
        }
        tag(scratch, b";returning-chatter=", flag(rng.per_mille(5)));
        scratch.extend_from_slice(b";room-id=");
        push_number(scratch, name.id);
        if let Some((source, origin)) = source {
            tag(scratch, b";source-badge-info=", who.badge_info.as_bytes());
            tag(scratch, b";source-badges=", who.badges.as_bytes());
            tag(scratch, b";source-id=", &source);
            scratch.extend_from_slice(b";source-only=0;source-room-id=");
            push_number(scratch, rooms[origin].id);
        }
        tag(scratch, b";subscriber=", flag(who.subscriber));
        scratch.extend_from_slice(b";tmi-sent-ts=");
        push_number(scratch, now_ms.max(0) as u64);
        tag(scratch, b";turbo=", flag(who.turbo));
        scratch.extend_from_slice(b";user-id=");
        push_number(scratch, who.id);
        tag(scratch, b";user-type=", if who.moderator { b"mod " } else { b" " });
        let body_at = scratch.len();
        for part in [":", &who.login, "!", &who.login, "@", &who.login, ".tmi.twitch.tv PRIVMSG #", &name.name, " :"] {
            scratch.extend_from_slice(part.as_bytes());
        }
        if action {
            scratch.extend_from_slice(b"\x01ACTION ");
        }
        scratch.extend_from_slice(text.bytes());
        scratch.extend_from_slice(if action { b"\x01\r\n" } else { b"\r\n" });
        self.last[room] = Some(Said { id, by, text: text.bytes().to_vec() });
        self.line(room, body_at, false, None)
    }

    fn line(&self, room: usize, body_at: usize, needs_commands: bool, change: Option<RoomChange>) -> ChatLine {
        let bytes = Bytes::copy_from_slice(&self.scratch);
        ChatLine { room: room as u32, bytes, body_at, needs_commands, change }
    }
}

fn tag(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.extend_from_slice(key);
    out.extend_from_slice(value);
}

fn flag(on: bool) -> &'static [u8] {
    if on { b"1" } else { b"0" }
}

fn write_reply(out: &mut Vec<u8>, said: &Said, by: &Chatter) {
    tag(out, b";reply-parent-display-name=", by.display_name.as_bytes());
    out.extend_from_slice(b";reply-parent-msg-body=");
    push_escaped(out, &said.text);
    tag(out, b";reply-parent-msg-id=", &said.id);
    out.extend_from_slice(b";reply-parent-user-id=");
    push_number(out, by.id);
    tag(out, b";reply-parent-user-login=", by.login.as_bytes());
    tag(out, b";reply-thread-parent-msg-id=", &said.id);
    tag(out, b";reply-thread-parent-user-login=", by.login.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Line;

    fn lines(seed: u64, count: usize, now_ms: i64) -> Vec<ChatLine> {
        let rooms: Arc<[RoomName]> = (1..=20).map(|n| RoomName::new(&format!("room{n}"))).collect();
        let mut chat = Chat::new(seed, rooms, 500);
        let mut out = Vec::new();
        while out.len() < count {
            chat.next(now_ms + out.len() as i64, &mut out);
        }
        out
    }

    fn without_time(line: &ChatLine) -> String {
        let text = String::from_utf8(line.bytes.to_vec()).unwrap();
        let Some(at) = text.find("tmi-sent-ts=") else { return text };
        let end = text[at..].find([';', ' ']).map_or(text.len(), |end| at + end);
        format!("{}{}", &text[..at], &text[end..])
    }

    /// The same seed gives the same lines at another time; another seed gives other lines.
    #[test]
    fn a_seed_repeats_its_chat_apart_from_the_time() {
        let first: Vec<_> = lines(42, 5_000, 1_700_000_000_000).iter().map(without_time).collect();
        let again: Vec<_> = lines(42, 5_000, 1_800_000_000_000).iter().map(without_time).collect();
        let other: Vec<_> = lines(43, 5_000, 1_700_000_000_000).iter().map(without_time).collect();
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    /// Sizes and shares lie where captured chat has them.
    #[test]
    fn the_shape_is_that_of_real_chat() {
        let lines = lines(1, 20_000, 1_700_000_000_000);
        let mut sizes: Vec<_> = lines.iter().map(|line| line.bytes.len() - 2).collect();
        sizes.sort_unstable();
        let (median, p99, max) = (sizes[sizes.len() / 2], sizes[sizes.len() * 99 / 100], sizes[sizes.len() - 1]);
        assert!((420..=880).contains(&median), "median {median}");
        assert!((700..=1_600).contains(&p99), "p99 {p99}");
        assert!(max < 3_000, "max {max}");
        let texts: Vec<_> = lines
            .iter()
            .filter(|line| Line::split(&line.bytes).command == b"PRIVMSG")
            .map(|line| String::from_utf8(line.bytes[..line.bytes.len() - 2].to_vec()).unwrap())
            .collect();
        let share = |count: usize| count * 1000 / texts.len();
        let count = |test: &dyn Fn(&str) -> bool| share(texts.iter().filter(|text| test(text)).count());
        assert!((960..=990).contains(&(texts.len() * 1000 / lines.len())), "messages");
        assert!((80..=120).contains(&count(&|text| text.ends_with('\u{E0000}'))), "U+E0000");
        assert!((8..=22).contains(&count(&|text| text.contains("reply-parent-msg-id="))), "replies");
        assert!((1..=6).contains(&count(&|text| text.contains("\u{1}ACTION "))), "actions");
        assert!((2..=9).contains(&count(&|text| text.contains(";bits="))), "bits");
        assert!((4..=20).contains(&count(&|text| text.contains(";source-id="))), "shared");
        assert!((150..=600).contains(&count(&|text| !text.contains(";emotes=;"))), "emotes");
    }

    /// Every emote range, read as code points of the text, names its emote.
    #[test]
    fn emote_ranges_are_code_points() {
        let names: std::collections::HashMap<_, _> =
            vocabulary::emotes(9).into_iter().map(|emote| (emote.id, emote.name)).collect();
        let mut seen = 0;
        for line in lines(9, 3_000, 1) {
            let parsed = Line::split(&line.bytes[..line.bytes.len() - 2]);
            let (Some(emotes), Some(text)) = (parsed.tag(b"emotes"), parsed.text()) else { continue };
            let points: Vec<char> = std::str::from_utf8(text).unwrap().chars().collect();
            for group in std::str::from_utf8(emotes).unwrap().split('/').filter(|group| !group.is_empty()) {
                let (id, ranges) = group.split_once(':').unwrap();
                for range in ranges.split(',') {
                    let (first, last) = range.split_once('-').unwrap();
                    let found: String =
                        points[first.parse().unwrap()..=last.parse::<usize>().unwrap()].iter().collect();
                    assert_eq!(found, names[id]);
                    seen += 1;
                }
            }
        }
        assert!(seen > 1_000, "{seen}");
    }

    /// Ids never repeat, and a line without id differs from all others by its time.
    #[test]
    fn every_line_can_be_told_apart() {
        let mut ids = std::collections::HashSet::new();
        let mut raw = std::collections::HashSet::new();
        for line in lines(5, 20_000, 1_700_000_000_000) {
            let parsed = Line::split(&line.bytes);
            match parsed.id() {
                Some(id) => assert!(ids.insert(id.to_vec()), "an id came twice"),
                None if parsed.command == b"ROOMSTATE" => {}
                None => assert!(raw.insert(line.bytes.clone()), "a line without id came twice"),
            }
        }
    }
}
