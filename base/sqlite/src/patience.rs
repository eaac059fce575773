//! How long SQLite may wait for locks: until a moment that each call sets anew, on a clock that counts through sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

/// The moment until which a connection waits, shared with its busy handler.
#[derive(Clone, Debug)]
pub(crate) struct Patience(Arc<AtomicU64>);

impl Patience {
    /// For so long from now.
    pub(crate) fn new(span: Duration) -> Patience {
        let patience = Patience(Arc::default());
        patience.renew(span);
        patience
    }

    /// For so long from now, whatever was said before.
    pub(crate) fn renew(&self, span: Duration) {
        let until = now_nanos().saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        self.0.store(until, Ordering::Relaxed);
    }

    /// Whether the moment has come.
    pub(crate) fn is_over(&self) -> bool {
        now_nanos() >= self.0.load(Ordering::Relaxed)
    }

    /// Makes the connection wait so long for locks, from its next call on.
    pub(crate) fn install(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        let patience = self.clone();
        connection.busy_handler(Some(move |tries| {
            let waiting = !patience.is_over();
            if waiting {
                std::thread::sleep(Duration::from_millis(if tries < 20 { 1 } else { 5 }));
            }
            waiting
        }))
    }
}

fn now_nanos() -> u64 {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let at = rustix::time::clock_gettime(clock);
    let nanos = i128::from(at.tv_sec) * 1_000_000_000 + i128::from(at.tv_nsec);
    u64::try_from(nanos).unwrap_or(0)
}
