//! What comes into the pipeline: the reader's events, and the lines among them.

use bytes::Bytes;
use tenure_bus::{Followed, Message};
use tenure_core::Time;
use tenure_envelope::{Identity, Kind};
use tenure_twitch::ReaderEvent;

use super::Pipeline;
use crate::cover::Cover;
use crate::coverage::CoverageConfig;
use crate::follower::Following;
use crate::ring::Entry;

impl Pipeline {
    /// A reader has begun: nothing is known of what was before.
    pub(super) fn reading_began(&mut self, now: Time) {
        self.cover = Cover::new(self.config.channels.iter().map(String::as_str));
        self.uncovered_since = Some(now);
    }

    /// The reader has ended. Where nobody stopped it, this instance is without chat from now on, and soon not healthy.
    pub(super) fn reading_ended(&mut self, now: Time) {
        self.cover.ended();
        let stopped = self.standing_by.as_ref().is_some_and(|ends| ends.reading_ends);
        self.uncovered_since = (!stopped).then_some(now);
    }

    /// Follows the bus where what others publish there matters, and rests elsewhere: a leader in good order learns
    /// from its acknowledgements what is on the bus, and would be sent only what it has published itself. When it must
    /// follow again, it goes on from where the bus was while all was still in order.
    pub(super) fn mind_following(&mut self, now: Time, following: &mut Following) {
        let CoverageConfig { repairs, repair_after, .. } = self.config.coverage;
        if !repairs {
            return;
        }
        if self.coverage.needs_following(now) || self.gaps.overflowed() {
            if self.is_leader() {
                self.follow_until = now + repair_after;
            }
            following.go_on();
        } else if let Some(pos) = self.position
            && now >= self.follow_until
        {
            following.rest(pos);
        }
    }

    /// A message is on the bus, whoever put it there.
    pub(super) fn appeared(&mut self, followed: &Followed) {
        self.coverage.appeared(followed.id);
        self.gaps.appeared(&followed.id);
        self.position = Some(followed.pos);
        if let Some(term) = followed.term {
            self.coverage.observe(term);
        }
    }

    pub(super) fn event(&mut self, now: Time, event: ReaderEvent) {
        match event {
            ReaderEvent::Line { connection, line, received_at_unix_ms } => {
                self.cover.alive(connection, received_at_unix_ms);
                self.line(now, &line, received_at_unix_ms);
            }
            ReaderEvent::Joined { connection, channel, at_unix_ms } => {
                let interruption = self.cover.joined(connection, &channel, at_unix_ms);
                if self.is_leader() {
                    if let Some(interruption) = interruption {
                        self.gaps.interrupted(now, interruption);
                    }
                    if let Some(from_ms) = self.awaiting.remove(&channel) {
                        self.uncovered(now, channel, from_ms, at_unix_ms);
                    }
                }
            }
            ReaderEvent::ChannelLost { connection, channel, since_unix_ms, reason } => {
                self.cover.lost(connection, &channel, since_unix_ms, reason.code());
            }
            ReaderEvent::Disconnected { connection, reason, last_alive_unix_ms } => {
                tracing::warn!(component = "reader", connection, errorCode = reason.code(), %reason, "chat connection ended");
                if let Some(last_alive) = last_alive_unix_ms {
                    self.cover.disconnected(connection, last_alive, reason.code());
                }
            }
            ReaderEvent::Alive { connection, at_unix_ms } => self.cover.alive(connection, at_unix_ms),
            ReaderEvent::Connected { connection, at_unix_ms } => {
                tracing::info!(component = "reader", connection, "chat connection is up");
                if std::mem::replace(&mut self.was_connected, true) {
                    self.snapshot.last_reconnect_at_ms = Some(at_unix_ms);
                }
            }
            ReaderEvent::JoinFailed { channel, verdict, .. } => {
                tracing::warn!(component = "reader", channel, errorCode = "join_failed", verdict = %verdict, "join failed");
            }
            _ => {}
        }
    }

    fn line(&mut self, now: Time, line: &[u8], received_at_ms: u64) {
        self.snapshot.received += 1;
        self.snapshot.last_line_at_ms = Some(received_at_ms);
        let parsed = match tenure_irc::parse(line) {
            Ok(parsed) => parsed,
            Err(error) => {
                self.snapshot.malformed += 1;
                tracing::debug!(component = "reader", %error, "a line could not be parsed");
                return;
            }
        };
        self.scratch.clear();
        let Some(built) = self.builder.build(&parsed, received_at_ms, &mut self.scratch) else { return };
        // Every reader keeps the states of its rooms, so that a new leader knows what has changed.
        if built.kind == Kind::Room && !self.rooms.changed(&parsed) {
            return;
        }
        let channel = parsed.channel().and_then(|name| name.strip_prefix(b"#")).unwrap_or_default();
        let message = Message {
            id: built.id,
            kind: built.kind.as_str(),
            channel: self.names.of(channel),
            body: Bytes::copy_from_slice(&self.scratch),
        };
        let live = built.identity == Identity::Live;
        let out = self.coverage.read(now, Entry { message, read_at: now, read_at_ms: received_at_ms, live });
        self.let_go(out);
    }
}
