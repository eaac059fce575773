//! The rarer lines: USERNOTICE, CLEARCHAT, CLEARMSG and partial ROOMSTATE.

use crate::chat::{Chat, ChatLine, flag, tag};
use crate::line::push_escaped;
use crate::random::push_number;
use crate::room::RoomChange;

impl Chat {
    pub(super) fn usernotice(&mut self, room: usize, now_ms: i64) -> ChatLine {
        let kind = self.rng.below(6);
        let by = self.rng.skewed(self.people.len());
        let to = self.rng.below(self.people.len());
        let months = self.rng.below(60) + 2;
        let with_text = matches!(kind, 1 | 5) && (kind == 5 || self.rng.per_mille(500));
        if with_text {
            self.generate(None);
        }
        let mut id = [0; 36];
        self.fill_id(&mut id);
        let Chat { people, rooms, scratch, text, emotes, .. } = self;
        let (who, other, name) = (&people[by], &people[to], &rooms[room]);
        let (msg_id, params, said) = match kind {
            0 => (
                "sub",
                ";msg-param-cumulative-months=1;msg-param-months=0;msg-param-should-share-streak=0;\
                 msg-param-sub-plan-name=Sim\\sSub;msg-param-sub-plan=1000"
                    .to_owned(),
                format!("{} subscribed at Tier 1.", who.display_name),
            ),
            1 => (
                "resub",
                format!(
                    ";msg-param-cumulative-months={months};msg-param-months=0;msg-param-should-share-streak=0;\
                     msg-param-sub-plan-name=Sim\\sSub;msg-param-sub-plan=Prime"
                ),
                format!("{} subscribed with Prime. They've subscribed for {months} months!", who.display_name),
            ),
            2 => (
                "subgift",
                format!(
                    ";msg-param-gift-months=1;msg-param-months={months};msg-param-recipient-display-name={};\
                     msg-param-recipient-id={};msg-param-recipient-user-name={};msg-param-sub-plan=1000",
                    other.display_name, other.id, other.login
                ),
                format!("{} gifted a Tier 1 sub to {}!", who.display_name, other.display_name),
            ),
            3 => (
                "raid",
                format!(
                    ";msg-param-displayName={};msg-param-login={};msg-param-viewerCount={}",
                    who.display_name,
                    who.login,
                    months * 11
                ),
                format!("{} raiders from {} have joined!", months * 11, who.display_name),
            ),
            4 => (
                "viewermilestone",
                format!(";msg-param-category=watch-streak;msg-param-copoReward=450;msg-param-value={months}"),
                format!("{} watched {months} consecutive streams and sparked a watch streak!", who.display_name),
            ),
            _ => ("announcement", ";msg-param-color=PRIMARY".to_owned(), String::new()),
        };
        scratch.clear();
        tag(scratch, b"@badge-info=", who.badge_info.as_bytes());
        tag(scratch, b";badges=", who.badges.as_bytes());
        tag(scratch, b";color=", who.color.as_bytes());
        tag(scratch, b";display-name=", who.display_name.as_bytes());
        scratch.extend_from_slice(b";emotes=");
        if with_text {
            text.write_emotes(scratch, emotes);
        }
        tag(scratch, b";flags=;id=", &id);
        tag(scratch, b";login=", who.login.as_bytes());
        tag(scratch, b";mod=", flag(who.moderator));
        tag(scratch, b";msg-id=", msg_id.as_bytes());
        scratch.extend_from_slice(params.as_bytes());
        scratch.extend_from_slice(b";room-id=");
        push_number(scratch, name.id);
        tag(scratch, b";subscriber=", flag(who.subscriber));
        scratch.extend_from_slice(b";system-msg=");
        push_escaped(scratch, said.as_bytes());
        scratch.extend_from_slice(b";tmi-sent-ts=");
        push_number(scratch, now_ms.max(0) as u64);
        scratch.extend_from_slice(b";user-id=");
        push_number(scratch, who.id);
        scratch.extend_from_slice(b";user-type=;vip=0 ");
        let body_at = scratch.len();
        tag(scratch, b":tmi.twitch.tv USERNOTICE #", name.name.as_bytes());
        if with_text {
            tag(scratch, b" :", text.bytes());
        }
        scratch.extend_from_slice(b"\r\n");
        self.line(room, body_at, true, None)
    }

    /// A time-out, a ban, or the whole room cleared.
    pub(super) fn clearchat(&mut self, room: usize, now_ms: i64) -> ChatLine {
        let kind = self.rng.below(20);
        let target = self.rng.skewed(self.people.len());
        let sent_ms = self.time_without_id(now_ms);
        let Chat { people, rooms, scratch, .. } = self;
        let (who, name) = (&people[target], &rooms[room]);
        scratch.clear();
        scratch.push(b'@');
        if kind > 5 {
            scratch.extend_from_slice(b"ban-duration=");
            push_number(scratch, [1, 10, 60, 180, 600][kind % 5]);
            scratch.push(b';');
        }
        scratch.extend_from_slice(b"room-id=");
        push_number(scratch, name.id);
        if kind > 0 {
            scratch.extend_from_slice(b";target-user-id=");
            push_number(scratch, who.id);
        }
        scratch.extend_from_slice(b";tmi-sent-ts=");
        push_number(scratch, sent_ms);
        scratch.push(b' ');
        let body_at = scratch.len();
        tag(scratch, b":tmi.twitch.tv CLEARCHAT #", name.name.as_bytes());
        if kind > 0 {
            tag(scratch, b" :", who.login.as_bytes());
        }
        scratch.extend_from_slice(b"\r\n");
        self.line(room, body_at, true, None)
    }

    /// Deletes the room's last message; `None` if there is no message yet. The room id is sometimes empty, as on
    /// Twitch.
    pub(super) fn clearmsg(&mut self, room: usize, now_ms: i64) -> Option<ChatLine> {
        let said = self.last[room].clone()?;
        let sent_ms = self.time_without_id(now_ms);
        let without_room = self.rng.per_mille(500);
        let Chat { people, rooms, scratch, .. } = self;
        let (who, name) = (&people[said.by], &rooms[room]);
        scratch.clear();
        tag(scratch, b"@login=", who.login.as_bytes());
        scratch.extend_from_slice(b";room-id=");
        if !without_room {
            push_number(scratch, name.id);
        }
        tag(scratch, b";target-msg-id=", &said.id);
        scratch.extend_from_slice(b";tmi-sent-ts=");
        push_number(scratch, sent_ms);
        scratch.push(b' ');
        let body_at = scratch.len();
        tag(scratch, b":tmi.twitch.tv CLEARMSG #", name.name.as_bytes());
        tag(scratch, b" :", &said.text);
        scratch.extend_from_slice(b"\r\n");
        Some(self.line(room, body_at, true, None))
    }

    /// A partial update: only the value that changed.
    pub(super) fn roomstate(&mut self, room: usize) -> ChatLine {
        let change = match self.rng.below(4) {
            0 => RoomChange::Slow([0, 3, 10, 30][self.rng.below(4)]),
            1 => RoomChange::SubsOnly(self.rng.per_mille(500)),
            2 => RoomChange::EmoteOnly(self.rng.per_mille(500)),
            _ => RoomChange::FollowersOnly([-1, 0, 10][self.rng.below(3)]),
        };
        let Chat { rooms, scratch, .. } = self;
        let name = &rooms[room];
        scratch.clear();
        scratch.push(b'@');
        scratch.extend_from_slice(change.to_string().as_bytes());
        scratch.extend_from_slice(b";room-id=");
        push_number(scratch, name.id);
        scratch.push(b' ');
        let body_at = scratch.len();
        tag(scratch, b":tmi.twitch.tv ROOMSTATE #", name.name.as_bytes());
        scratch.extend_from_slice(b"\r\n");
        self.line(room, body_at, true, Some(change))
    }

    fn time_without_id(&mut self, now_ms: i64) -> u64 {
        self.last_idless_ms = now_ms.max(self.last_idless_ms + 1).max(0);
        self.last_idless_ms as u64
    }
}
