//! How long SQLite may wait for locks: until a moment that each call sets anew, on a clock that counts through sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use tenure_base_time::{Time, now};

/// The moment until which a connection waits for locks, shared with its busy handler.
#[derive(Clone, Debug)]
pub(crate) struct LockDeadline(Arc<AtomicU64>);

impl LockDeadline {
    /// So long from now.
    pub(crate) fn new(wait: Duration) -> LockDeadline {
        let deadline = LockDeadline(Arc::default());
        deadline.renew(wait);
        deadline
    }

    /// So long from now, whatever was said before.
    pub(crate) fn renew(&self, wait: Duration) {
        self.0.store((now() + wait).as_nanos(), Ordering::Relaxed);
    }

    /// What is left of the wait.
    pub(crate) fn left(&self) -> Duration {
        Time::from_nanos(self.0.load(Ordering::Relaxed)).since(now())
    }

    /// Whether the moment has come.
    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Makes the connection wait so long for locks, from its next call on.
    pub(crate) fn install(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let deadline = self.clone();
        connection.busy_handler(Some(move |tries| {
            let waiting = !deadline.is_over();
            if waiting {
                std::thread::sleep(Duration::from_millis(if tries < 20 { 1 } else { 5 }));
            }
            waiting
        }))
    }
}
