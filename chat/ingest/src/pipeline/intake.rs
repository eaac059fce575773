//! What comes into the pipeline: the reader's events, and the lines among them.

use bytes::Bytes;
use tenure_bus::{Followed, Message};
use tenure_core::Time;
use tenure_envelope::{Identity, Kind, channel_of};
use tenure_twitch::{LostReason, ParseError, ReaderEvent};

use super::Pipeline;
use super::outflow::tell_published;
use crate::bus_follower::BusFollower;
use crate::coverage::CoverageConfig;
use crate::gaps::{FoundGap, LINE_TOO_LONG};
use crate::read_spans::ReadSpans;
use crate::ring::{Entry, EntryKind};
use crate::unplaced::UnplacedReason;
use tenure_base_time::unix_millis;

impl Pipeline {
    /// A reader has begun: no channel counts as read yet.
    pub(super) fn reading_began(&mut self, now: Time) {
        self.read_spans = ReadSpans::new(self.config.channels.iter().map(String::as_str));
        self.unplaced.clear();
        self.uncovered_since = Some(now);
    }

    /// The reader has ended. Where nobody stopped it, this instance is without chat from now on, and soon not healthy.
    pub(super) fn reading_ended(&mut self, now: Time) {
        self.read_spans.ended();
        self.unplaced.clear();
        let stopped = self.standing_by.as_ref().is_some_and(|ends| ends.reading_ends);
        self.uncovered_since = (!stopped).then_some(now);
    }

    /// Follows the bus only while what others publish there matters. A leader whose publications go through learns from the
    /// acknowledgements what is on the bus, and would only be sent what it has published itself. When it must follow again, it
    /// resumes from the last position that it knew then.
    pub(super) fn update_following(&mut self, now: Time, bus_follower: &mut BusFollower) {
        let CoverageConfig { repairs, repair_after, .. } = self.config.coverage;
        if !repairs {
            return;
        }
        if self.coverage.needs_following(now) || self.gaps.overflowed() {
            if self.is_leader() {
                self.follow_until = now + repair_after;
            }
            bus_follower.resume();
        } else if let Some(pos) = self.position
            && now >= self.follow_until
        {
            bus_follower.pause(pos);
        }
    }

    /// A message is on the bus, whoever put it there.
    pub(super) fn appeared(&mut self, followed: &Followed) {
        let in_flight = self.coverage.ring().is_in_flight(&followed.id);
        let doubtful = !in_flight && self.coverage.may_have_published(&followed.id);
        if let Some(entry) = self.coverage.appeared(followed.id) {
            if doubtful {
                tell_published(&entry.message);
            }
            self.on_bus(&entry, followed.pos);
            self.read_spans.on_bus(&entry.message.channel, entry.read_at_ms, followed.pos);
        }
        self.gaps.appeared(&followed.id);
        self.position = Some(followed.pos);
        if let Some(term) = followed.term {
            self.coverage.observe(term);
        }
    }

    /// A line that this instance has read is on the bus at this position.
    pub(super) fn on_bus(&mut self, entry: &Entry, pos: u64) {
        self.bus_timeline.add(pos, entry.read_at_ms, unix_millis);
        if self.first.is_none() && entry.read_at_ms >= self.began_ms {
            self.first = Some(pos);
        }
    }

    /// A line that this instance has read was on the bus before, at this position: that proves by when this instance had begun to
    /// read.
    pub(super) fn on_bus_before(&mut self, entry: &Entry, pos: u64) {
        self.read_spans.on_bus(&entry.message.channel, entry.read_at_ms, pos);
        if entry.read_at_ms >= self.began_ms {
            self.first = Some(self.first.map_or(pos, |first| first.min(pos)));
        }
    }

    /// The span of a channel begins at this moment, for the first time or anew.
    pub(super) fn began(&mut self, at_ms: u64) {
        (self.began_ms, self.first) = (self.began_ms.max(at_ms), None);
    }

    pub(super) fn handle_event(&mut self, now: Time, event: ReaderEvent) {
        match event {
            ReaderEvent::Line { connection, line, received_at_unix_ms } => {
                self.read_spans.alive(connection, received_at_unix_ms);
                self.line(now, &line, received_at_unix_ms);
            }
            ReaderEvent::TooLong { connection, beginning, received_at_unix_ms } => {
                self.read_spans.alive(connection, received_at_unix_ms);
                self.too_long(now, connection, &beginning, received_at_unix_ms);
            }
            ReaderEvent::NoMessage { error, .. } => {
                self.received += 1;
                self.no_message(now, &error);
            }
            ReaderEvent::Protocol { lines, .. } => {
                self.received += lines;
                self.fates.known += lines;
            }
            ReaderEvent::Joined { connection, channel, at_unix_ms } => {
                self.placed(&channel);
                let before = self.read_spans.since_ms(&channel);
                let interruption = self.read_spans.joined(connection, &channel, at_unix_ms);
                if before.is_none() {
                    self.began(at_unix_ms);
                }
                if self.is_leader() {
                    if let Some(interruption) = interruption {
                        let line = self.bus_timeline.known_by(interruption.from_ms);
                        self.gaps.interrupted(now, interruption, self.clock_ahead(), line.map(|line| line.pos));
                    }
                    if let Some(covered) = self.awaiting.remove(&channel) {
                        self.gaps.taken_over(now, channel, covered, at_unix_ms, self.clock_ahead());
                    }
                }
            }
            ReaderEvent::ChannelLost { connection, channel, since_unix_ms, reason } => {
                self.read_spans.lost(connection, &channel, since_unix_ms, reason.code());
                if reason == LostReason::PutOut && self.read_spans.since_ms(&channel).is_none() {
                    self.not_placed(&channel, UnplacedReason::PutOut, &reason);
                }
            }
            ReaderEvent::Disconnected { connection, reason, last_alive_unix_ms } => {
                tracing::warn!(component = "reader", connection, errorCode = reason.code(), %reason, "chat connection ended");
                if let Some(last_alive) = last_alive_unix_ms {
                    self.read_spans.disconnected(connection, last_alive, reason.code());
                }
            }
            ReaderEvent::Alive { connection, at_unix_ms } => self.read_spans.alive(connection, at_unix_ms),
            ReaderEvent::Connected { connection, at_unix_ms } => {
                tracing::info!(component = "reader", connection, "chat connection is up");
                if std::mem::replace(&mut self.was_connected, true) {
                    self.snapshot.last_reconnect_at_ms = Some(at_unix_ms);
                }
            }
            ReaderEvent::JoinFailed { channel, failure, .. } => {
                self.not_placed(&channel, UnplacedReason::Refused(failure), &failure);
            }
            _ => {}
        }
    }

    /// A channel cannot be joined, which is told where it is news.
    fn not_placed(&mut self, channel: &str, reason: UnplacedReason, detail: &dyn std::fmt::Display) {
        if self.unplaced.note(channel, reason) {
            let code = reason.code();
            tracing::warn!(component = "reader", channel, reason = %code, %detail, "channel cannot be joined; asked for again now and then");
        }
    }

    /// A channel is joined, which is told where it could not be before.
    fn placed(&mut self, channel: &str) {
        if let Some(before) = self.unplaced.joined(channel) {
            let before = before.code();
            tracing::info!(
                component = "reader",
                channel,
                before,
                "channel could not be joined before, and is joined now"
            );
        }
    }

    fn line(&mut self, now: Time, line: &[u8], received_at_ms: u64) {
        self.received += 1;
        self.snapshot.received += 1;
        self.snapshot.last_line_at_ms = Some(received_at_ms);
        let parsed = match tenure_irc::parse(line) {
            Ok(parsed) => parsed,
            Err(error) => return self.no_message(now, &error),
        };
        self.scratch.clear();
        let Some(built) = self.builder.build(&parsed, received_at_ms, &mut self.scratch) else {
            return match Kind::of(&parsed) {
                Some(_) => self.refused(now, "no_channel", ""),
                None => self.fates.known += 1,
            };
        };
        if built.timestamp_ms != received_at_ms {
            self.clock_offset.observe_line(received_at_ms, built.timestamp_ms);
        }
        // Every reader keeps the states of its rooms, so that a new leader knows what has changed.
        if built.kind == Kind::Room && !self.rooms.changed(&parsed) {
            self.fates.known += 1;
            return;
        }
        let channel = self.names.of(&channel_of(&parsed));
        let kind = match built.identity {
            Identity::Live => EntryKind::LiveLine,
            Identity::Derived | Identity::Line => EntryKind::Line,
        };
        if kind == EntryKind::LiveLine && built.kind != Kind::Room && !self.is_leader() {
            // Only the leader may publish it, and without an id nobody can see whether it did.
            self.narrow_coverage(&channel, received_at_ms);
        }
        let message =
            Message { id: built.id, kind: built.kind.as_str(), channel, body: Bytes::copy_from_slice(&self.scratch) };
        let out = self.coverage.read(now, Entry { message, read_at: now, read_at_ms: received_at_ms, kind });
        self.on_forced_out(out);
    }

    /// A line that is longer than any client takes. Chat becomes a gap at the moment when it was sent, which every reader derives
    /// alike; without that moment only the leader publishes a gap. Where the beginning does not show what the line is, it may
    /// have been chat of any channel of the connection.
    fn too_long(&mut self, now: Time, connection: u32, beginning: &[u8], received_at_ms: u64) {
        self.received += 1;
        let parsed = tenure_irc::parse(beginning).ok();
        let channels = self.read_spans.read_by(connection);
        if parsed.is_none() && !channels.is_empty() {
            self.refusal_log.add(now, LINE_TOO_LONG, "");
            self.fates.gap += 1;
            for channel in channels {
                if self.is_leader() {
                    let found =
                        FoundGap::at(channel, received_at_ms, LINE_TOO_LONG).with_clock_ahead(self.clock_ahead());
                    self.add_gap(now, found, EntryKind::Gap, received_at_ms);
                } else {
                    self.narrow_coverage(&channel, received_at_ms);
                }
            }
            return;
        }
        let chat = parsed.filter(|line| Kind::of(line).is_some_and(|kind| kind != Kind::Room));
        let channel = chat.as_ref().map(channel_of).unwrap_or_default().into_owned();
        let Some(chat) = chat.filter(|_| !channel.is_empty()) else {
            return self.refused(now, LINE_TOO_LONG, &channel);
        };
        let sent_at_ms = tenure_envelope::sent_at_ms(&chat);
        self.refusal_log.add(now, LINE_TOO_LONG, &channel);
        self.fates.gap += 1;
        if sent_at_ms.is_none() && !self.is_leader() {
            return self.narrow_coverage(&channel, received_at_ms);
        }
        let at_ms = sent_at_ms.unwrap_or(received_at_ms);
        let kind = if sent_at_ms.is_some() { EntryKind::LineGap } else { EntryKind::Gap };
        self.add_gap(now, FoundGap::at(channel, at_ms, LINE_TOO_LONG), kind, received_at_ms);
    }

    fn no_message(&mut self, now: Time, error: &ParseError) {
        self.snapshot.malformed += 1;
        tracing::debug!(component = "reader", %error, "a line could not be parsed");
        self.refused(now, "no_message", "");
    }

    /// A line that is not published and belongs to no interval: it is counted and logged.
    fn refused(&mut self, now: Time, code: &'static str, channel: &str) {
        self.fates.refused += 1;
        self.refusal_log.add(now, code, channel);
    }
}
