//! The bounded queue of a connection's output, where the standing faults on lines act.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Notify;

use crate::fault::Effects;
use crate::lock;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Close {
    /// The client ended it, or its network did.
    Client,
    Cut(crate::fault::Cut),
    /// The queue was full: the client read too slowly.
    SlowReader,
    LoginFailed,
    LoginTimeout,
    PingTimeout,
    JoinBudget,
    AuthBudget,
    LineTooLong,
    /// The client sent something that is no WebSocket or TLS.
    BadFrame,
    Reconnect,
    HalfOpenOver,
    Shutdown,
}

impl Close {
    /// Whether the connection ends with RST rather than FIN.
    pub(crate) fn is_reset(self) -> bool {
        matches!(self, Close::Cut(crate::fault::Cut::Rst) | Close::HalfOpenOver | Close::SlowReader)
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Close::Client => "client",
            Close::Cut(crate::fault::Cut::Rst) => "cut_rst",
            Close::Cut(crate::fault::Cut::Fin) => "cut_fin",
            Close::SlowReader => "slow_reader",
            Close::LoginFailed => "login_failed",
            Close::LoginTimeout => "login_timeout",
            Close::PingTimeout => "ping_timeout",
            Close::JoinBudget => "join_budget",
            Close::AuthBudget => "auth_budget",
            Close::LineTooLong => "line_too_long",
            Close::BadFrame => "bad_frame",
            Close::Reconnect => "reconnect",
            Close::HalfOpenOver => "half_open_over",
            Close::Shutdown => "shutdown",
        })
    }
}

/// The output queue of one connection. If it is full the connection is closed, as Twitch does with a slow reader.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    wake: Notify,
    closing: Notify,
    limit: usize,
    counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    bytes: usize,
    /// A line that a reorder fault holds back until the next line.
    held: Option<Item>,
    /// Whether a batch was taken and is not yet wholly in the socket.
    in_flight: bool,
    offered: u32,
    effects: Effects,
    /// Why the connection closes once everything queued was sent.
    closing: Option<Close>,
    /// Whether the queue is discarded and takes nothing more.
    shut: bool,
}

/// Something to send: a chat line with its number, or replies of the protocol.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) bytes: Bytes,
    pub(crate) line: Option<u32>,
}

#[derive(Debug, Default)]
struct Counts {
    dropped: AtomicU64,
    doubled: AtomicU64,
    reordered: AtomicU64,
    replies: AtomicU64,
}

/// What faults did to the lines of one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutboxStats {
    /// Lines that a fault (drop, stall, half-open) withheld.
    pub dropped: u64,
    /// Lines that a fault sent twice.
    pub doubled: u64,
    /// Lines that a fault sent after their successor.
    pub reordered: u64,
    /// Replies of the protocol, each perhaps of several lines.
    pub replies: u64,
    /// Bytes waiting now.
    pub queued_bytes: usize,
}

impl Outbox {
    /// An empty queue that holds at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Outbox {
            state: Mutex::default(),
            wake: Notify::new(),
            closing: Notify::new(),
            limit,
            counts: Counts::default(),
        }
    }

    /// Queues a chat line unless a fault withholds it. Returns false if the queue is full: the connection is lost then.
    pub(crate) fn offer(&self, line: u32, bytes: &Bytes) -> bool {
        let mut state = lock(&self.state);
        if state.shut {
            return true;
        }
        state.offered = state.offered.wrapping_add(1);
        let effects = &state.effects;
        let missed = effects.drop.iter().any(|(every, offset)| line % every == *offset);
        if effects.stalled || missed {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let twice = effects.duplicate_every.is_some_and(|every| line.is_multiple_of(every));
        let later = effects.reorder_every.is_some_and(|every| state.offered.is_multiple_of(every));
        let item = Item { bytes: bytes.clone(), line: Some(line) };
        if later && state.held.is_none() {
            state.held = Some(item);
            self.counts.reordered.fetch_add(1, Ordering::Relaxed);
            drop(state);
            self.wake.notify_one();
            return true;
        }
        let was_empty = state.queue.is_empty();
        if twice {
            state.push(item.clone());
            self.counts.doubled.fetch_add(1, Ordering::Relaxed);
        }
        state.push(item);
        if let Some(held) = state.held.take() {
            state.push(held);
        }
        let fits = state.bytes <= self.limit;
        drop(state);
        if was_empty {
            self.wake.notify_one();
        }
        fits
    }

    /// Queues replies of the protocol. Returns false if the queue is full.
    pub(crate) fn reply(&self, bytes: Bytes) -> bool {
        let mut state = lock(&self.state);
        if state.shut || bytes.is_empty() {
            return true;
        }
        self.counts.replies.fetch_add(1, Ordering::Relaxed);
        state.push(Item { bytes, line: None });
        let fits = state.bytes <= self.limit;
        drop(state);
        self.wake.notify_one();
        fits
    }

    /// Closes the connection once everything queued was sent; queues nothing more.
    pub(crate) fn close_after_flush(&self, why: Close) {
        let mut state = lock(&self.state);
        state.closing.get_or_insert(why);
        state.shut = true;
        drop(state);
        self.wake.notify_one();
        self.closing.notify_one();
    }

    /// Waits until a close is requested. Cancel-safe.
    pub(crate) async fn closing(&self) -> Close {
        loop {
            if let Some(why) = lock(&self.state).closing {
                return why;
            }
            self.closing.notified().await;
        }
    }

    /// Discards the queue and queues nothing more; discarded lines count as dropped.
    pub(crate) fn shut(&self) {
        let mut state = lock(&self.state);
        let lines = state.queue.iter().chain(&state.held).filter(|item| item.line.is_some()).count();
        self.counts.dropped.fetch_add(lines as u64, Ordering::Relaxed);
        *state = State { shut: true, closing: state.closing, ..State::default() };
    }

    /// Sets the standing faults.
    pub(crate) fn set_effects(&self, effects: Effects) {
        lock(&self.state).effects = effects;
    }

    /// Reads the standing faults.
    pub(crate) fn effects<R>(&self, look: impl FnOnce(&Effects) -> R) -> R {
        look(&lock(&self.state).effects)
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        let state = lock(&self.state);
        state.queue.is_empty() && state.held.is_none() && !state.in_flight
    }

    /// Counts so far.
    pub(crate) fn stats(&self) -> OutboxStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        OutboxStats {
            dropped: read(&self.counts.dropped),
            doubled: read(&self.counts.doubled),
            reordered: read(&self.counts.reordered),
            replies: read(&self.counts.replies),
            queued_bytes: lock(&self.state).bytes,
        }
    }

    /// Waits for something to send and takes a batch: about `max_bytes`, or one item while a split fault stands. A
    /// further call confirms that the last batch was written. `Err` means that everything was sent and the connection
    /// must close. Cancel-safe.
    pub(crate) async fn take(&self, max_bytes: usize, batch: &mut Vec<Item>) -> Result<(), Close> {
        loop {
            let waiting = {
                let mut state = lock(&self.state);
                let one = state.effects.split.is_some();
                let mut bytes = 0;
                while let Some(item) = state.queue.pop_front() {
                    bytes += item.bytes.len();
                    batch.push(item);
                    if one || bytes >= max_bytes {
                        break;
                    }
                }
                state.bytes -= bytes;
                state.in_flight = !batch.is_empty();
                if !batch.is_empty() {
                    return Ok(());
                }
                if let (Some(why), None) = (state.closing, &state.held) {
                    return Err(why);
                }
                state.held.is_some()
            };
            if !waiting {
                self.wake.notified().await;
            } else if tokio::time::timeout(MAX_HOLD, self.wake.notified()).await.is_err() {
                let mut state = lock(&self.state);
                if let Some(held) = state.held.take() {
                    state.push(held);
                }
            }
        }
    }
}

/// How long a reorder fault holds a line back if no other line follows.
const MAX_HOLD: std::time::Duration = std::time::Duration::from_millis(200);

impl State {
    fn push(&mut self, item: Item) {
        self.bytes += item.bytes.len();
        self.queue.push_back(item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(effects: Effects, lines: std::ops::Range<u32>) -> (Vec<u32>, OutboxStats) {
        let outbox = Outbox::new(1 << 20);
        outbox.set_effects(effects);
        for line in lines {
            assert!(outbox.offer(line, &Bytes::from_static(b"x\r\n")));
        }
        let state = lock(&outbox.state);
        let sent = state.queue.iter().chain(&state.held).filter_map(|item| item.line).collect();
        drop(state);
        (sent, outbox.stats())
    }

    /// Each standing fault changes the lines that its name says, and no others.
    #[test]
    fn standing_faults_bite_where_they_should() {
        assert_eq!(sent(Effects::default(), 0..4).0, [0, 1, 2, 3]);
        assert!(sent(Effects { stalled: true, ..Effects::default() }, 0..4).0.is_empty());
        let (lines, stats) = sent(Effects { drop: vec![(3, 1)], ..Effects::default() }, 0..6);
        assert_eq!((lines, stats.dropped), (vec![0, 2, 3, 5], 2));
        let (lines, stats) = sent(Effects { duplicate_every: Some(2), ..Effects::default() }, 0..4);
        assert_eq!((lines, stats.doubled), (vec![0, 0, 1, 2, 2, 3], 2));
        let (lines, stats) = sent(Effects { reorder_every: Some(2), ..Effects::default() }, 0..6);
        assert_eq!((lines, stats.reordered), (vec![0, 2, 1, 4, 3, 5], 3));
    }

    /// A queue beyond its size says so; the caller closes the connection.
    #[test]
    fn a_full_queue_says_so() {
        let outbox = Outbox::new(10);
        assert!(outbox.offer(0, &Bytes::from_static(b"1234567890")));
        assert!(!outbox.offer(1, &Bytes::from_static(b"1")));
        outbox.shut();
        assert!(outbox.is_empty());
        assert_eq!(outbox.stats().dropped, 2);
        assert!(outbox.offer(2, &Bytes::from_static(b"1")), "a closed queue takes nothing and is never full");
        assert!(outbox.is_empty());
    }
}
