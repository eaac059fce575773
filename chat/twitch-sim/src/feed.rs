//! Feeds generated or replayed lines to the rooms, at a rate, from the start rule to the limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::chat::{Chat, ChatLine};
use crate::chat_state::ChatState;
use crate::config::StartRule;
use crate::ledger::Origin;
use crate::line::Line;
use crate::lock;
use crate::replay::Replay;
use crate::shared::Shared;

/// The source of the lines.
#[derive(Debug)]
pub(crate) enum LineSource {
    Generated(Box<Chat>),
    Replayed(std::vec::IntoIter<ChatLine>),
}

impl LineSource {
    /// The lines of a file; `room` gives the number of a room.
    pub(crate) fn replayed(replay: Replay, room: impl Fn(&str) -> Option<u32>) -> Self {
        let line = |(name, bytes): (String, bytes::Bytes)| {
            let parsed = Line::split(&bytes[..bytes.len() - 2]);
            let common = matches!(parsed.command, b"PRIVMSG" | b"JOIN" | b"PART");
            Some(ChatLine { room: room(&name)?, body_at: parsed.body_at, needs_commands: !common, change: None, bytes })
        };
        LineSource::Replayed(replay.lines.into_iter().filter_map(line).collect::<Vec<_>>().into_iter())
    }

    fn origin(&self) -> Origin {
        match self {
            LineSource::Generated(_) => Origin::Generated,
            LineSource::Replayed(_) => Origin::Replayed,
        }
    }

    /// Appends at least one line; returns false where none is left.
    fn next(&mut self, stamp_ms: i64, out: &mut Vec<ChatLine>) -> bool {
        let before = out.len();
        match self {
            // One draw may give no line (a deletion where nothing was said yet); a later one does.
            LineSource::Generated(chat) => (0..1000).any(|_| {
                chat.next(stamp_ms, out);
                out.len() > before
            }),
            LineSource::Replayed(lines) => lines.next().map(|line| out.push(line)).is_some(),
        }
    }
}

/// The shortest pause between two batches.
const TICK: Duration = Duration::from_millis(5);

/// How much of a delay is caught up. The rest is dropped, so that a pause does not end in a flood.
const CATCH_UP: Duration = Duration::from_secs(2);

/// The most lines in one batch, or twice what the rate asks for if that is more: catching up must not overrun the
/// queues of readers that keep up.
const BATCH: u64 = 500;

/// Runs the chat to its end.
pub(crate) async fn run(shared: Arc<Shared>, source: LineSource) {
    let over = tokio::select! {
        over = feed(&shared, source) => over,
        () = shared.stop_chat.cancelled() => ChatState::Stopped,
        () = shared.shutdown.cancelled() => ChatState::Stopped,
    };
    if over == ChatState::LedgerFull {
        shared.counts.ledger_full.store(true, Ordering::Relaxed);
        tracing::warn!(limit = shared.config.ledger_bytes, "the ledger is full: the chat stops");
    }
    shared.chat.send_replace(over);
}

async fn feed(shared: &Arc<Shared>, mut source: LineSource) -> ChatState {
    if let StartRule::WhenClients(readers) = shared.config.start {
        while !lock(&shared.world).all_rooms_have(readers) {
            sleep(Duration::from_millis(10)).await;
        }
    }
    shared.chat.send_replace(ChatState::Running);
    let (rate, limit) = (shared.config.rate, shared.config.limit.unwrap_or(u64::MAX));
    let batch_limit = BATCH.max((2.0 * rate * TICK.as_secs_f64()) as u64);
    let mut began = Instant::now();
    let (mut sent, mut sent_since) = (0u64, 0u64);
    let mut batch = Vec::new();
    let mut waiting = Vec::new().into_iter();
    while sent < limit {
        if rate <= 0.0 {
            return std::future::pending().await;
        }
        let due = (began.elapsed().as_secs_f64() * rate) as u64 + 1;
        if due.saturating_sub(sent_since) as f64 > rate * CATCH_UP.as_secs_f64() + 1.0 {
            shared.counts.behind.fetch_add(due - sent_since - 1, Ordering::Relaxed);
            (began, sent_since) = (Instant::now(), 0);
            continue;
        }
        let mut missing = due.saturating_sub(sent_since).min(limit - sent).min(batch_limit);
        if missing > 0 {
            let now = shared.now();
            let mut world = lock(&shared.world);
            while missing > 0 {
                let Some(line) = waiting.next() else {
                    if !source.next(world.stamp(now.unix_ms), &mut batch) {
                        return ChatState::Finished;
                    }
                    waiting = std::mem::take(&mut batch).into_iter();
                    continue;
                };
                if world.publish(&line, source.origin(), now.unix_ms, None).is_err() {
                    return ChatState::LedgerFull;
                }
                (missing, sent, sent_since) = (missing - 1, sent + 1, sent_since + 1);
            }
        }
        let next_due = Duration::from_secs_f64(sent_since as f64 / rate).saturating_sub(began.elapsed());
        sleep(next_due.max(TICK)).await;
    }
    ChatState::Finished
}

/// Sends the pending JOINs and PARTs to the members, in batches.
pub(crate) async fn tell_membership(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = sleep(shared.config.membership_interval.max(TICK)) => lock(&shared.world).flush_membership(),
            () = shared.shutdown.cancelled() => return,
        }
    }
}
