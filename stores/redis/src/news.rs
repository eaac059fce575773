//! News: what scripts publish of leases, and which of it was heard before.
//!
//! A server tells its own subscribers. In a cluster a plain PUBLISH, also inside a script, goes over the cluster's bus to the
//! subscribers of every node, so that whoever watches needs one node that lives, whichever it is. Subscribing to two of them
//! loses nothing while one of them dies, and brings everything twice.

use std::collections::HashMap;
use std::time::Duration;

use tenure_store::{LeaseKey, WakeChange};
use tokio::time::Instant;

use crate::names;

/// How long the second copy of a message may be behind the first.
const BEHIND: Duration = Duration::from_secs(2);

/// Of how many messages the second copy is waited for; what comes on top is handed on twice.
const AWAITED: usize = 8_192;

/// Reads a message: `freed NAME` or `taken NAME`, with the name of the lease.
pub(crate) fn read(message: &[u8]) -> Option<(LeaseKey, WakeChange)> {
    let (change, name) = std::str::from_utf8(message).ok()?.split_once(' ')?;
    let change = match change {
        "freed" => WakeChange::Freed,
        "taken" => WakeChange::Taken,
        _ => return None,
    };
    Some((names::key_of_lease(name)?, change))
}

/// Messages that came one way and have not come the other way yet. A hint too many costs a claim; so this need not be exact,
/// and forgets whatever may be wrong.
#[derive(Default)]
pub(crate) struct Twins {
    // How many times more often the first way brought it than the second, and since when.
    ahead: HashMap<(LeaseKey, WakeChange), (i32, Instant)>,
}

impl Twins {
    /// Whether what came this way, now, is news.
    pub(crate) fn is_news(&mut self, way: usize, key: &LeaseKey, change: WakeChange, now: Instant) -> bool {
        let step = if way == 0 { 1 } else { -1 };
        let twin = (key.clone(), change);
        let known = self.ahead.get(&twin).filter(|(_, since)| now < *since + BEHIND);
        let ahead = known.map_or(0, |(ahead, _)| *ahead);
        if ahead + step == 0 {
            self.ahead.remove(&twin);
        } else {
            if self.ahead.len() >= AWAITED {
                self.ahead.retain(|_, (_, since)| now < *since + BEHIND);
            }
            if self.ahead.len() < AWAITED {
                self.ahead.insert(twin, (ahead + step, now));
            }
        }
        ahead * step >= 0
    }

    /// One of the ways begins anew: what it brings no more must not be waited for.
    pub(crate) fn forget(&mut self) {
        self.ahead.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> LeaseKey {
        LeaseKey::new(text).unwrap()
    }

    /// What is told reads back, of names with spaces and braces too; what nobody tells is left alone.
    #[test]
    fn messages_are_read() {
        let key = key("my {key}");
        assert_eq!(read(b"freed my %7Bkey%7D"), Some((key.clone(), WakeChange::Freed)));
        assert_eq!(read(b"taken my %7Bkey%7D"), Some((key, WakeChange::Taken)));
        for odd in [&b"my"[..], b"", b"held my", b"freed ", b"freed \xff", b"freed {"] {
            assert_eq!(read(odd), None, "{odd:?}");
        }
    }

    /// Of two copies the first is news, whichever way it came; the same message later is news again.
    #[test]
    fn each_message_is_news_once() {
        let (mut twins, now, key) = (Twins::default(), Instant::now(), key("k"));
        let is_news = |twins: &mut Twins, way, change| twins.is_news(way, &key, change, now);
        for first in [0, 1] {
            let second = 1 - first;
            assert!(is_news(&mut twins, first, WakeChange::Freed) && is_news(&mut twins, first, WakeChange::Taken));
            assert!(is_news(&mut twins, first, WakeChange::Freed), "again, before the other way has brought the first");
            for change in [WakeChange::Freed, WakeChange::Taken, WakeChange::Freed] {
                assert!(!is_news(&mut twins, second, change), "{change:?}");
            }
            assert!(twins.ahead.is_empty());
        }
        assert!(is_news(&mut twins, 0, WakeChange::Freed));
        twins.forget();
        assert!(is_news(&mut twins, 1, WakeChange::Freed), "the first way may be another one now");
        assert!(twins.is_news(0, &key, WakeChange::Freed, now + BEHIND), "the second way has lost the one before");
    }

    /// What is remembered is bounded, and without memory everything is news.
    #[test]
    fn what_is_awaited_is_bounded() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        let is_news =
            |twins: &mut Twins, way, n: usize, at| twins.is_news(way, &key(&format!("{n}")), WakeChange::Freed, at);
        for n in 0..AWAITED + 100 {
            assert!(is_news(&mut twins, 0, n, now));
        }
        assert_eq!(twins.ahead.len(), AWAITED);
        assert!(!is_news(&mut twins, 1, 0, now) && is_news(&mut twins, 1, AWAITED + 1, now));
        assert!(is_news(&mut twins, 0, 1, now + BEHIND));
        assert!(is_news(&mut twins, 0, 2, now + BEHIND));
        assert!(twins.ahead.len() <= AWAITED);
    }
}
